"""Random traces of tenants' requests: what isolation and non-interference are tested with.

An `Operation` is drawn from a seed; `resolve` turns it into the very `Request` that is sent, with ids that answers named
before. Every tenant asks the same questions; what is its own carries its own canary.
"""

from __future__ import annotations

import hashlib
import json
import random as chance
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fakes import FakeGateway, FakeUpstream, SeededRandom

#: Real waits end nothing early here, however busy the machine is.
PATIENT = {
    "index_load_timeout_s": 30, "embed_timeout_s": 30, "queue_wait_s": 30, "feed_poll_s": 30, "record_flush_s": 10,
}  # fmt: skip

NOUNS = ("alpine", "coastal", "hidden", "northern", "salty", "volcanic")
ORDERS = (
    "please tell me how very deep the {noun} mountain lake by our old summer house really is",
    "please tell me how very deep the {noun} mountain lake by our old summer house is really",
    "please tell me really how very deep the {noun} mountain lake by our old summer house is",
    "who painted the {noun} harbour with the three small boats in the morning light",
    "what is the {noun} harbour with the three small boats used for in the winter months",
)
STEERING = ("no-store", "no-cache", "only-if-cached", "max-age=60", "max-age=0", "max-age=100000")
KINDS = (
    ("chat", 60), ("lookup", 6), ("put", 6), ("list", 5), ("get", 6), ("delete", 4), ("invalidate", 3), ("stats", 2),
    ("feedback", 4), ("policy", 2), ("policies", 1), ("keys", 1), ("key", 1), ("models", 1), ("embed", 1), ("bad", 2),
)  # fmt: skip
#: What shows the platform's own numbering (docs/explanation/safety.md), so it is left out where runs are compared.
PLATFORM_KINDS = (("audit", 2), ("tenants", 1))


@dataclass(frozen=True, slots=True)
class Canaries:
    """128 bits each: *text* is sealed wherever it is stored, *label* stands in tags and names."""

    text: str
    label: str

    @classmethod
    def draw(cls, source: chance.Random) -> Canaries:
        return cls(source.randbytes(16).hex(), source.randbytes(16).hex())


@dataclass(slots=True)
class Known:
    """What one tenant has been told of: ids that its later requests name."""

    entries: list[str] = field(default_factory=list)
    hits: list[str] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """One step of a trace: who does what; *number* picks among ids and variants."""

    tenant: int
    kind: str
    number: int
    foreign: bool


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent."""

    tenant: int
    method: str
    path: str
    content: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """All that the caller receives."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def everything(self) -> bytes:
        return b"\n".join((*(name + b": " + value for name, value in self.headers), self.body))


class LabelledRandom(SeededRandom):
    """Chance that depends on a label alone and not on who drew before: so two runs can be compared byte for byte."""

    def label(self, label: str) -> None:
        self._source = chance.Random(label)


def draw_operation(source: chance.Random, tenant: int, kinds: Sequence[tuple[str, int]]) -> Operation:
    names, weights = zip(*kinds, strict=True)
    kind = source.choices(names, weights)[0]
    return Operation(tenant, kind, source.getrandbits(32), source.random() < 0.15)


class TellingUpstream(FakeUpstream):
    """Answers with the canary of whoever asks, told by its salt: equal questions of two tenants get unequal answers."""

    def __init__(self) -> None:
        super().__init__()
        self.canaries: dict[str, Canaries] = {}

    async def _work(self, request: dict[str, Any], salt: str) -> None:
        await super()._work(request, salt)
        # Nothing is awaited between here and the answer's text, so concurrent requests do not meet.
        own = self.canaries[salt]
        self.answer = lambda asked: f"{own.text} says: {asked['messages'][-1].get('content')}"

    def _response(self, request: dict[str, Any]) -> dict[str, Any]:
        # A number that counts all tenants' calls would be a channel between them.
        named = hashlib.sha256(json.dumps(request).encode()).hexdigest()[:12]
        return {**super()._response(request), "id": f"chatcmpl-{named}"}


async def introduce(gateway: FakeGateway, upstream: TellingUpstream, canaries: Sequence[Canaries]) -> None:
    """Tell *upstream* whose salt is whose."""
    for tenant, own in zip(gateway.tenants, canaries, strict=True):
        upstream.canaries[(await gateway.gateway.tenants.get(tenant.id)).salt] = own


def resolve(operation: Operation, own: Canaries, known: Sequence[Known]) -> Request:
    """Turn *operation* into a request, by what the tenants *known* have been told so far."""
    source = chance.Random(operation.number)
    whose = known[operation.tenant]
    if operation.foreign:
        others = [other for other in known if other is not whose and other.entries]
        whose = source.choice(others) if others else whose
    entry = source.choice(whose.entries) if whose.entries else "ent_0000000000000"
    hit = source.choice(whose.hits) if whose.hits else "hit_" + "a" * 26
    method, path, body = _call(operation.kind, source, own, entry, hit)
    headers = (
        [("cache-control", source.choice(STEERING))] if operation.kind == "chat" and source.random() < 0.25 else []
    )
    content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    if content is not None:
        headers.append(("content-type", "application/json"))
    return Request(operation.tenant, method, path, content, tuple(headers))


def _call(kind: str, source: chance.Random, own: Canaries, entry: str, hit: str) -> tuple[str, str, Any]:
    tag = source.choice((own.label, f"{own.label}/{source.randrange(3)}", "common"))
    pages = ("limit=3", f"tag={tag}", f"limit=2&after={entry}")
    calls: dict[str, Any] = {
        "chat": lambda: ("POST", "/v1/chat/completions", _chat(source, own, tag)),
        "lookup": lambda: ("POST", "/v1/cache/lookup", _chat(source, own, tag)),
        "put": lambda: ("POST", "/v1/cache/entries", _put(source, own, tag)),
        "list": lambda: ("GET", f"/v1/cache/entries?{source.choice(pages)}", None),
        "get": lambda: ("GET", f"/v1/cache/entries/{entry}", None),
        "delete": lambda: ("DELETE", f"/v1/cache/entries/{entry}", None),
        "invalidate": lambda: ("POST", "/v1/cache/invalidate", _invalidation(source, tag, entry)),
        "stats": lambda: ("GET", "/v1/cache/stats", None),
        "feedback": lambda: ("POST", "/v1/cache/feedback", {"hit": hit, "verdict": source.choice(("good", "bad"))}),
        "policy": lambda: ("POST", "/admin/v1/policies", {"policy": _policy(source)}),
        "policies": lambda: ("GET", "/admin/v1/policies", None),
        "keys": lambda: ("GET", "/admin/v1/keys", None),
        "key": lambda: ("POST", "/admin/v1/keys", {"role": "application", "label": own.label}),
        "models": lambda: ("GET", "/v1/models", None),
        "embed": lambda: ("POST", "/v1/embeddings", {"input": f"{own.text} in words"}),
        "bad": lambda: ("POST", "/v1/chat/completions", _bad(source, own)),
        "audit": lambda: ("GET", "/admin/v1/audit-log?limit=500", None),
        "tenants": lambda: ("GET", "/admin/v1/tenants", None),
    }  # fmt: skip
    found: tuple[str, str, Any] = calls[kind]()
    return found


def _conversation(source: chance.Random, own: Canaries) -> dict[str, Any]:
    question = source.choice(ORDERS).format(noun=source.choice(NOUNS))
    messages: list[dict[str, Any]] = []
    if source.random() < 0.2:
        messages.append({"role": "system", "content": source.choice(("Be brief.", f"You serve {own.text}."))})
    if source.random() < 0.15:
        messages += [{"role": "user", "content": "Hello there"}, {"role": "assistant", "content": "Hello, and you?"}]
    if source.random() < 0.2:
        question = f"{question} {own.text}"
    return {"model": "fake-model", "messages": [*messages, {"role": "user", "content": question}]}


def _chat(source: chance.Random, own: Canaries, tag: str) -> dict[str, Any]:
    body = _conversation(source, own)
    if source.random() < 0.35:
        body["stream"] = True
        if source.random() < 0.5:
            body["stream_options"] = {"include_usage": True}
    if source.random() < 0.1:
        body["tools"] = [{"type": "function", "function": {"name": f"f_{own.label}", "parameters": {}}}]
    if source.random() < 0.15:
        body["temperature"] = source.choice((0, 0.5, 1, 2))
    if source.random() < 0.05:
        body["user"] = own.label
    if source.random() < 0.4:
        body["hitproof"] = source.choice(
            ({"tags": [tag]}, {"ttl": source.choice((1, 60, 90_000))}, {"threshold": 0.99})
        )
    return body


def _put(source: chance.Random, own: Canaries, tag: str) -> dict[str, Any]:
    return {**_conversation(source, own), "answer": f"{own.text} put {source.random()}", "tags": [tag]}


def _invalidation(source: chance.Random, tag: str, entry: str) -> dict[str, Any]:
    what = source.choice(({"tag": tag}, {"entry": entry}, {"older_than_s": 3_600}, {"all": True}))
    sure = source.random() < 0.5
    return {**what, "dry_run": not sure, **({"confirm": "remove everything"} if sure and "all" in what else {})}


def _policy(source: chance.Random) -> dict[str, Any]:
    return {
        "mode": source.choice(("static", "static", "static", "exact", "shadow", "off")),
        "threshold_ten_thousandths": source.choice((8_000, 9_000, 9_900)),
        "ttl_s": source.choice((60, 86_400)),
        "entries_max": source.choice((5, 100)),
        "audit_share_ten_thousandths": source.choice((0, 5_000)),
    }


def _bad(source: chance.Random, own: Canaries) -> Any:
    return source.choice(
        (
            b'{"model": "fake-model", "messages": [',
            {"model": own.label, "messages": [{"role": "user", "content": own.text}]},
            {"model": "fake-model", "messages": [{"role": "user", "content": own.text}], own.label: 1},
            {"model": "fake-model", "messages": []},
        )
    )


async def send(gateway: FakeGateway, request: Request) -> Reply:
    """Send as the request's tenant and read everything that comes back."""
    headers = [("authorization", f"Bearer {gateway.tenants[request.tenant].key}"), *request.headers]
    response = await gateway.client.request(request.method, request.path, content=request.content, headers=headers)
    return Reply(response.status_code, tuple(response.headers.raw), response.content)


def learn(known: Known, reply: Reply) -> None:
    """Take note of the ids and outcomes that a reply names."""
    for account in accounts_of(reply.body):
        outcome = f"{account.get('outcome')}/{account.get('tier')}"
        known.outcomes[outcome] = known.outcomes.get(outcome, 0) + 1
        if account.get("hit"):
            known.hits.append(account["hit"])
        if account.get("entry"):
            known.entries.append(account["entry"])
    known.entries, known.hits = known.entries[-12:], known.hits[-6:]


def accounts_of(body: bytes) -> list[dict[str, Any]]:
    """Return the `hitproof` objects of a whole or streamed answer."""
    lines = body.split(b"\n\n") if body.startswith(b"data: ") else [body]
    found = []
    for line in lines:
        try:
            value = json.loads(line.removeprefix(b"data: "))
        except ValueError:
            continue
        if isinstance(value, dict) and isinstance(value.get("hitproof"), dict):
            found.append(value["hitproof"])
    return found
