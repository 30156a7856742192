"""What a gateway is given from outside: keys, models, time and chance. Tests give fakes, `server.serving` the real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from crypto.ed25519 import Signer
from privacy.noise import NoiseSampler
from privacy.opendp_noise import OpenDpNoise
from server.clock import SystemClock, SystemRandom
from server.embedding.select import CoveringEmbedder
from server.ports import Clock, RandomSource
from server.upstream.directory import BuildUpstream
from tenants.key_providers import KeyProvider


@dataclass(frozen=True, slots=True)
class Outside:
    """What a gateway is given from outside: keys, models, and the ports that tests replace.

    *signer* is the gateway's own key, under which it declares receipts; a runner's key is never here.
    """

    key_provider: KeyProvider
    pepper: bytes
    embedder: CoveringEmbedder
    build_upstream: BuildUpstream
    signer: Signer
    clock: Clock = field(default_factory=SystemClock)
    random: RandomSource = field(default_factory=SystemRandom)
    noise: NoiseSampler = field(default_factory=OpenDpNoise)
    on_fatal: Callable[[BaseException], None] | None = None
