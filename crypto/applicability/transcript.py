"""The Fiat–Shamir transcript: everything said so far, hashed under labels with lengths, and the challenges drawn from it.

Format: docs/formats.md, "Transcript". The statement goes in first and whole, so no part of it can be chosen after a
challenge. A challenge is 512 bits reduced modulo r, whose bias is below 2^-256.
"""

from __future__ import annotations

import hashlib
from typing import Final

from ..canonical import digest_fields, encode_fields
from .encoding import encode_scalar
from .suites import ORDER

_START: Final = "hitproof/transcript/v1"
_ABSORB: Final = "hitproof/transcript-absorb/v1"
_CHALLENGE: Final = "hitproof/transcript-challenge/v1"


class Transcript:
    """What prover and verifier have said; both keep one and must come to the same challenges."""

    __slots__ = ("_state",)

    def __init__(self, state: bytes) -> None:
        self._state = state

    @classmethod
    def start(cls, label: str, *fields: bytes) -> Transcript:
        """Begin with a label and the whole statement."""
        return cls(digest_fields(_START, label.encode("ascii"), *fields))

    def absorb(self, name: str, data: bytes) -> None:
        """Take in what the prover sent under *name*."""
        self._state = digest_fields(_ABSORB, self._state, name.encode("ascii"), data)

    def challenge(self, name: str) -> int:
        """Draw the challenge *name*, a scalar, and take it in as well."""
        drawn = hashlib.sha512(encode_fields(_CHALLENGE, self._state, name.encode("ascii"))).digest()
        value = int.from_bytes(drawn, "big") % ORDER
        self.absorb(name, encode_scalar(value))
        return value
