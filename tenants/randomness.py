"""Take randomness from a source that is not trusted to work: it fails loudly or gives what was asked for."""

from __future__ import annotations

from typing import Final, Protocol

from tenants.errors import RandomnessError

#: From here on, equal bytes throughout mean a stuck source (chance below 2^-120), not bad luck. NIST SP 800-90B 4.4.1.
STUCK_BYTES_MIN: Final = 16


class RandomSource(Protocol):
    """Cryptographic randomness."""

    def token_bytes(self, count: int) -> bytes:
        """Return *count* unpredictable bytes."""
        ...


def draw(random: RandomSource, count: int) -> bytes:
    """Return *count* random bytes; raises `RandomnessError` when the source fails, falls short or repeats one byte."""
    try:
        drawn = random.token_bytes(count)
    except (OSError, NotImplementedError) as error:
        raise RandomnessError(
            f"the operating system gives no randomness ({type(error).__name__}); nothing was made, try again"
        ) from None
    if len(drawn) != count:
        raise RandomnessError(f"the source of randomness gave {len(drawn)} bytes instead of {count}; nothing was made")
    if count >= STUCK_BYTES_MIN and drawn.count(drawn[0]) == count:
        raise RandomnessError("the source of randomness repeats one byte; nothing was made, mend the source")
    return drawn
