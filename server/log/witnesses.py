"""Ask witnesses to cosign a checkpoint (c2sp.org/tlog-witness), all at once, each under a time limit.

A witness that is away costs its cosignature, never a checkpoint; it is asked again, less and less often. One that has
seen more leaves, or other ones, than we hold tells us that we have lost or changed history: then we stop signing.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

import httpx2
import structlog

from crypto.checkpoint import SignedCheckpoint, append_cosignature, parse_checkpoint, parse_decimal, verify_cosignatures
from crypto.errors import Error, VerificationError
from crypto.merkle import SIZE_MAX, NodeSource, consistency_proof
from crypto.note import WITNESS_ALGORITHM, VerifierKey, parse_vkey
from server.log.errors import LogRefusal, WitnessError
from server.ports import Clock

log = structlog.get_logger()

WITNESSES_MAX: Final = 32
#: A witness tells us where it is at most twice: once for the size we guessed, once if it moved in between.
TRIES_MAX: Final = 3
ANSWER_BYTES_MAX: Final = 1 << 16
SIZE_TYPE: Final = "text/x.tlog.size"
BACKOFF_MAX_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class WitnessAddress:
    """Where a witness answers, and its key."""

    url: str
    key: VerifierKey


@dataclass(frozen=True, slots=True)
class WitnessAnswer:
    """What came back from a witness."""

    status: int
    content_type: str
    body: bytes


class Post(Protocol):
    """Sends a request to a witness."""

    def __call__(self, url: str, body: bytes) -> WitnessAnswer:
        """Post *body*; raises `WitnessError`."""
        ...


def parse_witness(text: str) -> WitnessAddress:
    """Read `URL VKEY`, as settings write it; raises `WitnessError` that says what to change."""
    url, _, vkey = text.strip().partition(" ")
    if not url.startswith(("https://", "http://")) or not vkey:
        raise WitnessError(f"log_witnesses: {text[:80]!r} is not a URL and a verifier key")
    try:
        key = parse_vkey(vkey.strip())
    except VerificationError as error:
        raise WitnessError(f"log_witnesses: the key of {url}: {error}") from None
    if key.algorithm != WITNESS_ALGORITHM:
        raise WitnessError(f"log_witnesses: the key of {url} is a log's, not a witness's")
    return WitnessAddress(url.rstrip("/"), key)


@dataclass(slots=True)
class _Standing:
    """What is known of one witness: the size it cosigned last, and when to ask it again."""

    address: WitnessAddress
    size: int = 0
    failures: int = 0
    ask_at_s: float = field(default=0.0)


class Witnesses:
    """The witnesses of one log."""

    def __init__(self, addresses: Sequence[WitnessAddress], post: Post, clock: Clock) -> None:
        """Raises `WitnessError` for more than `WITNESSES_MAX`, or a key that stands twice."""
        if len(addresses) > WITNESSES_MAX or len({one.key.public_key for one in addresses}) != len(addresses):
            raise WitnessError(f"log_witnesses: at most {WITNESSES_MAX} witnesses, each under a key of its own")
        self._standings = [_Standing(address) for address in addresses]
        self._post = post
        self._clock = clock

    def count(self, note: str) -> int:
        """Return how many of the witnesses have cosigned *note*."""
        signed = parse_checkpoint(note)
        return sum(self._has_cosigned(signed, standing) for standing in self._standings)

    def cosign(self, note: str, node: NodeSource) -> list[str]:
        """Return the signature lines of witnesses that cosigned *note* now; *node* reads the tree that it is over.

        Raises `LogRefusal` where a witness has seen another history than ours.
        """
        signed, now_s = parse_checkpoint(note), self._clock.monotonic_s()
        due = [one for one in self._standings if one.ask_at_s <= now_s and not self._has_cosigned(signed, one)]
        if not due:
            return []
        with ThreadPoolExecutor(len(due), thread_name_prefix="hitproof-witness") as pool:
            asked = [(one, pool.submit(self._ask, one, signed, node)) for one in due]
        lines = []
        for standing, future in asked:
            try:
                lines.append(future.result())
                standing.failures = 0
            except WitnessError as error:
                standing.failures += 1
                standing.ask_at_s = now_s + min(BACKOFF_MAX_S, 2.0 ** min(standing.failures, 10) / 2)
                log.warning("witness_failed", witness=standing.address.key.name, error=str(error))
        return lines

    def _has_cosigned(self, signed: SignedCheckpoint, standing: _Standing) -> bool:
        try:
            return bool(verify_cosignatures(signed, [standing.address.key], self._clock.now_ms()))
        except VerificationError:
            return False  # From the future, after a clock was set back: it is asked for a new one.

    def _ask(self, standing: _Standing, signed: SignedCheckpoint, node: NodeSource) -> str:
        size, name = signed.checkpoint.size, standing.address.key.name
        for _try in range(TRIES_MAX):
            proof = consistency_proof(standing.size, size, node) if standing.size else []
            answer = self._post(f"{standing.address.url}/add-checkpoint", encode_request(standing.size, proof, signed))
            if answer.status == 200:
                line = self._own_line(standing, signed, answer.body)
                standing.size = size
                return line
            if answer.status == 422:
                raise LogRefusal(
                    f"the witness {name} finds that our {size} leaves do not continue the {standing.size} it knows",
                    reason="witness_disagrees",
                )
            if answer.status != 409:
                raise WitnessError(f"it answers with status {answer.status}")
            standing.size = _size_told(name, answer, asked=standing.size, ours=size)
        raise WitnessError("its size changes each time it is asked")

    def _own_line(self, standing: _Standing, signed: SignedCheckpoint, body: bytes) -> str:
        """Return the witness's line out of its answer, checked; lines of other keys are passed over."""
        try:
            for line in body.decode().splitlines(keepends=True):
                extended = parse_checkpoint(append_cosignature(signed.text, line))
                if verify_cosignatures(extended, [standing.address.key], self._clock.now_ms()):
                    return line
        except (Error, UnicodeDecodeError) as error:
            raise WitnessError(f"its cosignature does not hold: {error}") from None
        raise WitnessError("its answer has no cosignature under its key")


def encode_request(old_size: int, proof: Sequence[bytes], signed: SignedCheckpoint) -> bytes:
    """Return the body of `add-checkpoint`."""
    lines = [f"old {old_size}", *(base64.b64encode(one).decode() for one in proof), ""]
    return ("\n".join(lines) + "\n" + signed.text).encode()


def _size_told(name: str, answer: WitnessAnswer, *, asked: int, ours: int) -> int:
    told = None
    if answer.content_type.partition(";")[0].strip() == SIZE_TYPE and len(answer.body) <= 20:
        told = parse_decimal(answer.body.decode("ascii", "replace").removesuffix("\n"), SIZE_MAX)
    if told is None:
        if asked == ours:
            raise _other_history(name, ours)
        raise WitnessError("it answers with a conflict and no size")
    if told == asked:
        raise _other_history(name, told)
    if told > ours:
        raise LogRefusal(
            f"the witness {name} has cosigned {told} leaves of this log, and we hold {ours}: the database and this "
            "machine's state were both restored from an older backup. Restore newer ones, or take the witness out of "
            "log_witnesses if it is not to be believed",
            reason="witness_ahead",
        )
    return told


def _other_history(name: str, size: int) -> LogRefusal:
    return LogRefusal(
        f"the witness {name} has cosigned another tree of {size} leaves of this log", reason="witness_disagrees"
    )


def http_post(timeout_s: float, clock: Clock) -> Post:
    """Return what posts over HTTP: no proxies from the environment, no redirects, a bounded answer in bounded time."""

    def post(url: str, body: bytes) -> WitnessAnswer:
        deadline_s = clock.monotonic_s() + 2 * timeout_s
        try:
            with (
                httpx2.Client(trust_env=False, follow_redirects=False, timeout=timeout_s) as client,
                client.stream("POST", url, content=body, headers={"content-type": "text/plain"}) as response,
            ):
                content_type = response.headers.get("content-type", "")
                return WitnessAnswer(response.status_code, content_type, _bounded(response, clock, deadline_s))
        except httpx2.HTTPError as error:
            raise WitnessError(f"it cannot be reached ({type(error).__name__})") from None

    return post


def _bounded(response: httpx2.Response, clock: Clock, deadline_s: float) -> bytes:
    found = b""
    for part in response.iter_bytes():
        found += part
        if len(found) > ANSWER_BYTES_MAX or clock.monotonic_s() > deadline_s:
            raise WitnessError("its answer is too large or too slow")
    return found
