"""`python -m server.cli` is the command `hitproof`."""

from server.cli import main

main()
