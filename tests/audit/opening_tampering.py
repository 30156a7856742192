"""Ways to open an algebraic commitment to a vector that it is not to, number 67 of the list.

The house signs and logs what it likes, with its runners' keys too. What it does not have is a second vector or seed
for a commitment that was made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.audit.applicability_tampering import IDENTITY, off_curve, outside_subgroup, told
from tests.audit.bundles import World
from tests.audit.proofs import DIMENSION, SIZE, SUITE, ProofSide
from tests.audit.tampering import Attempt, Case

OPENINGS: list[Case] = []
UNKNOWN = "sha256:" + "7" * 64


def case(name: str, reason: str = "opening_mismatch") -> Callable[[Callable[[], Attempt]], None]:
    """Enter the function below as the case *name*, refused for *reason*."""
    return lambda make: OPENINGS.append(Case(name, make, frozenset([reason])))


def opened(line: dict[str, Any] | None = None, **statement: Any) -> Attempt:
    """Let a commitment be opened by a line of which fields were changed, or about a statement whose fields were."""

    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        receipt = world.receipts[1]
        closeness.add_vector(receipt, world.runners[0], **statement)
        closeness.open_commitment(receipt.digest, **(line or {}))

    return told(happen)


@case("67a-commitment-opened-by-another-seed")
def _() -> Attempt:
    return opened({"salt": bytes(32)})


def restated(closeness: ProofSide, world: World) -> tuple[str, list[int]]:
    """Have the runner sign a salted commitment to one vector beside C, which is to another; return statement and the one."""
    receipt = world.receipts[1]
    made = closeness.add_vector(receipt, world.runners[0])
    flipped = [-made.vector[0], *made.vector[1:]]
    world.add_embedding(receipt, world.runners[0], vector=flipped, commitment=made.commitment.hex(), suite=SUITE.name)
    return next(reversed(world.statements)), flipped


@case("67b-commitment-opened-to-the-vector-that-is-opened-beside-and-not-its-own")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        statement, flipped = restated(closeness, world)
        closeness.open_commitment(world.receipts[1].digest, statement=statement, value=flipped)

    return told(happen)


@case("67c-two-commitments-of-one-statement-opened-to-two-vectors")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        statement, _ = restated(closeness, world)
        closeness.open_commitment(world.receipts[1].digest, statement=statement)

    return told(happen)


@case("67d-commitment-opened-that-the-statement-does-not-have")
def _() -> Attempt:
    return opened(commitment=None, suite=None)


@case("67e-commitment-of-a-statement-that-is-not-here-opened", "opening_unknown")
def _() -> Attempt:
    return opened({"statement": UNKNOWN})


@case("67f-commitment-opened-to-a-vector-with-a-zero-behind")
def _() -> Attempt:
    def happen(closeness: ProofSide, world: World, policy: str) -> None:
        receipt = world.receipts[1]
        made = closeness.add_vector(receipt, world.runners[0])
        closeness.open_commitment(receipt.digest, value=[*made.vector, 0])

    return told(happen)


@case("67g-commitment-opened-to-a-component-that-is-none")
def _() -> Attempt:
    return opened({"value": [SIZE + 256] * DIMENSION})


@case("67h-commitment-opened-that-is-the-identity")
def _() -> Attempt:
    return opened(commitment=IDENTITY.hex())


@case("67i-commitment-opened-that-lies-outside-the-subgroup")
def _() -> Attempt:
    return opened(commitment=outside_subgroup().hex())


@case("67j-commitment-opened-that-is-no-point")
def _() -> Attempt:
    return opened(commitment=off_curve().hex())
