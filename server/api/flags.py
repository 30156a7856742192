"""Yes or no in a query: four ways to write it, and no others."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Flag: TypeAlias = Literal["0", "1", "false", "true"]

TRUE: Final = ("1", "true")
