"""Entries of the pool, put there by hand: attested by the signing runner, stored as what the pool itself publishes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from crypto.statement import EvidenceReference
from server.pool.build import PoolParts
from server.pool.principal import Pool
from server.pool.storing import Publication
from server.ports import Int8Matrix, JsonObject
from server.reuse.fingerprint import PoolMode, identify
from server.reuse.payload import Alias, provenance_to_json
from server.reuse.policy import ReusePolicy
from server.reuse.quantise import quantise
from server.reuse.receipt_making import Receiptable
from server.reuse.request import ChatRequest, Steering
from server.setup import set_policy
from tenants.identifiers import EntryId
from tests.fakes import FakeGateway
from tests.signing_runner import SigningRunner

#: With these settings a fake gateway has a pool, which does nothing by itself while a test lasts.
POOL_SETTINGS: dict[str, Any] = {"pool_models": ("fake-model",), "pool_interval_s": 3600}
#: The release that every such entry names; nobody looks for it but a verifier.
RELEASE = EvidenceReference("pool-release", "sha256:" + "5e" * 32)


@dataclass(frozen=True, slots=True)
class Item:
    """What to put: the text that was answered, what it is matched by, and the text of the vector that it is found by."""

    text: str
    aliases: tuple[str, ...] = ()
    mode: PoolMode = "pooled"
    found_by: str | None = None
    system: str | None = None
    evidence: tuple[EvidenceReference, ...] = (RELEASE,)
    attested: bool = True

    @property
    def messages(self) -> list[JsonObject]:
        """The conversation that was answered."""
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        return [*system, {"role": "user", "content": self.text}]


def parts_of(gateway: FakeGateway) -> PoolParts:
    """Return the parts of a gateway's pool."""
    parts = gateway.gateway.pooling.parts
    assert parts is not None
    return parts


def open_pool(gateway: FakeGateway, **policy: Any) -> Pool:
    """Return the pool of *gateway*, made with `POOL_SETTINGS`, after giving it a policy with these fields."""
    pool = parts_of(gateway).pool
    gateway.gateway.database.write_now(
        lambda connection: set_policy(
            connection, pool.id, ReusePolicy(**policy), actor="test", now_ms=gateway.clock.now_ms()
        )
    )
    gateway.gateway.tenants.forget(pool.id)
    return pool


def vector_of(gateway: FakeGateway, text: str) -> Int8Matrix:
    """Return the quantised vector of *text*, shape (dimension,)."""
    row: Int8Matrix = quantise(gateway.embedder.embed([text]))[0]
    return row


async def put_pool_entry(gateway: FakeGateway, runner: SigningRunner, item: Item) -> EntryId:
    """Have *runner* answer *item* for the pool, and store it as the pool's; it is found at once."""
    parts, pool = gateway.gateway, await parts_of(gateway).pool.context()
    maker, model = parts.proving.maker, parts.models.resolve("fake-model")
    asked = maker.ask(pool, evidence=item.evidence)
    body: JsonObject = {"model": "fake-model", "messages": item.messages}
    completion = await runner.complete({**body, "hitproof_statement": asked}, tenant_salt=pool.salt)
    provenance = completion.provenance
    assert provenance is not None and model.runner is not None
    about = Receiptable(item.messages, {}, completion.response, "fake-model", model.model_version)
    receipt = (
        maker.accept(pool, about, provenance, model.runner, evidence=item.evidence)
        if item.attested
        else maker.declare(pool, about)
    )
    identity = identify(
        ChatRequest(body, Steering()),
        model_version=model.model_version,
        embedder_digest=gateway.embedder.digest,
        lookup_key=pool.lookup_key,
    )
    publication = Publication(
        mode=item.mode,
        # No entry takes the place of another, whatever they answer.
        identity=replace(identity, exact_key=parts.state.random.token_bytes(32)),
        messages=item.messages if item.mode == "pooled" else item.messages[:-1],
        parameters={},
        response=completion.response,
        receipt=receipt,
        provenance=provenance_to_json(provenance) if item.mode == "pooled" else None,
        aliases=tuple(Alias.of(text, vector_of(gateway, text)) for text in item.aliases or (item.text,)),
        vector=vector_of(gateway, item.found_by or item.text),
        model="fake-model",
        model_version=model.model_version,
        reported="",
        prompt_tokens=12,
        output_tokens=30,
        cost_micro=72,
        created_at_ms=gateway.clock.now_ms(),
    )
    stored = await parts_of(gateway).storer.store(pool, publication, lambda _connection, _entry: None)
    return stored.entry
