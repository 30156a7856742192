"""Everything that runs: gateway, runner, store, command line."""
