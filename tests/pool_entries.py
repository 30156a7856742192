"""Entries of the pool, put there by hand: attested by the signing runner, sealed under the pool's own keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection

from crypto.similarity import is_matchable
from crypto.statement import EvidenceReference
from server.identifiers import new_entry_id
from server.index.partitions import PartitionKey
from server.ports import Int8Matrix, JsonObject
from server.reuse.alias_book import AliasBook, AliasReader
from server.reuse.fingerprint import PoolMode, identify, pool_fingerprint
from server.reuse.payload import Alias, EntryPayload, EntryTerms, provenance_to_json, seal_payload, seal_vector
from server.reuse.policy import ReusePolicy
from server.reuse.pool_tier import PoolTier
from server.reuse.quantise import norms_squared, quantise
from server.reuse.receipt_making import Receiptable
from server.reuse.request import ChatRequest, Steering
from server.reuse.sight import Asked
from server.reuse.tenant_directory import TenantContext, TenantDirectory
from server.setup import create_organisation, create_tenant, set_policy
from server.store.entries import EntryRepository
from server.store.platform import PlatformRepository
from server.store.pool_items import POOL_TENANT_META
from server.store.records import NewEntry
from tenants.identifiers import EntryId, TenantId
from tenants.quotas import Quota
from tests.fakes import FakeGateway
from tests.signing_runner import SigningRunner

DAY_S = 86_400
#: The release that every such entry names; nobody looks for it but a verifier.
RELEASE = EvidenceReference("pool-release", "sha256:" + "5e" * 32)


@dataclass(frozen=True, slots=True)
class Item:
    """What to put: the released text or answered question, what it is matched by, and under which vector it is found."""

    text: str
    aliases: tuple[str, ...] = ()
    mode: PoolMode = "pooled"
    found_by: str | None = None
    system: str | None = None
    parameters: JsonObject | None = None
    evidence: tuple[EvidenceReference, ...] = (RELEASE,)
    attested: bool = True
    ttl_s: int = 30 * DAY_S

    @property
    def messages(self) -> list[JsonObject]:
        """The conversation that was answered."""
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        return [*system, {"role": "user", "content": self.text}]


def vector_of(gateway: FakeGateway, text: str) -> Int8Matrix:
    """Return the quantised vector of *text*, shape (dimension,)."""
    row: Int8Matrix = quantise(gateway.embedder.embed([text]))[0]
    return row


async def put_pool_entry(gateway: FakeGateway, pool: TenantContext, runner: SigningRunner, item: Item) -> EntryId:
    """Have the runner answer *item* for the pool, and store it as the pool's; it is found at once."""
    parts, now_ms = gateway.gateway, gateway.clock.now_ms()
    asked = parts.proving.maker.ask(pool, evidence=item.evidence)
    body: JsonObject = {"model": "fake-model", "messages": item.messages, **(item.parameters or {})}
    completion = await runner.complete({**body, "hitproof_statement": asked}, tenant_salt=pool.salt)
    assert completion.provenance is not None
    model = parts.models.resolve("fake-model")
    assert model.runner is not None
    about = Receiptable(item.messages, item.parameters or {}, completion.response, "fake-model", model.model_version)
    receipt = (
        parts.proving.maker.accept(pool, about, completion.provenance, model.runner, evidence=item.evidence)
        if item.attested
        else parts.proving.maker.declare(pool, about)
    )
    request = ChatRequest(body, Steering())
    identity = identify(
        request,
        model_version=model.model_version,
        embedder_digest=gateway.embedder.digest,
        lookup_key=pool.lookup_key,
    )
    entry, fingerprint = (
        new_entry_id(now_ms, gateway.gateway.state.random),
        pool_fingerprint(item.mode, identity.fingerprint),
    )
    vector = vector_of(gateway, item.found_by or item.text)
    assert is_matchable(int(norms_squared(vector[np.newaxis])[0]))
    payload = EntryPayload(
        messages=item.messages if item.mode == "pooled" else item.messages[:-1],
        parameters=item.parameters or {},
        facts=None,
        norm_squared=None,
        response=completion.response,
        provenance=provenance_to_json(completion.provenance) if item.mode == "pooled" else None,
        openings=receipt.openings,
        terms=EntryTerms(model.model_version, "", "runner", now_ms, now_ms + item.ttl_s * 1000),
        aliases=tuple(Alias.of(text, vector_of(gateway, text)) for text in item.aliases or (item.text,)),
    )
    place: dict[str, Any] = {
        "key": pool.data_key, "tenant": pool.id, "entry": entry, "random": gateway.gateway.state.random
    }  # fmt: skip
    row = NewEntry(
        id=entry,
        fingerprint=fingerprint,
        exact_key=entry.to_bytes(32, "big"),
        kind="answer",
        source="runner",
        derivation="none",
        parents="[]",
        model="fake-model",
        model_version=model.model_version,
        reported="",
        embedder=gateway.embedder.digest,
        created_at_ms=now_ms,
        expires_at_ms=now_ms + item.ttl_s * 1000,
        prompt_tokens=12,
        output_tokens=30,
        cost_micro=72,
        size_bytes=2000,
        payload=seal_payload(payload, **place),
        vector=seal_vector(vector, **place),
        tags=(),
        receipt_id=receipt.id,
    )

    def write(connection: Connection) -> None:
        parts.proving.writer.add_receipt(connection, pool, receipt, entry)
        EntryRepository(connection, pool.id).add(row)

    await parts.database.write(write)
    await parts.partitions.add(PartitionKey(pool.id, fingerprint), np.array([entry]), vector[np.newaxis])
    return entry


@dataclass(frozen=True, slots=True)
class HandmadePool:
    """A pool that is a tenant like any other, made by hand."""

    id: TenantId
    directory: TenantDirectory

    async def context(self) -> TenantContext:
        return await self.directory.get(self.id)


def open_pool(gateway: FakeGateway, **policy: Any) -> HandmadePool:
    """Make the pool of *gateway*, with these fields in its policy, and have it read; call it once."""
    parts, state, now_ms = gateway.gateway, gateway.gateway.state, gateway.clock.now_ms()

    def make(connection: Connection) -> TenantId:
        organisation = create_organisation(
            connection, "hitproof pool", actor="test", now_ms=now_ms, random=state.random
        )
        tenant = create_tenant(
            connection, organisation.id, "pool", quota=Quota(), provider=state.key_provider, actor="test",
            now_ms=now_ms, random=state.random,
        )  # fmt: skip
        set_policy(connection, tenant.id, ReusePolicy(**policy), actor="test", now_ms=now_ms)
        PlatformRepository(connection).set_meta(POOL_TENANT_META, tenant.id)
        return tenant.id

    pool = HandmadePool(parts.database.write_now(make), parts.tenants)
    state.engine._pool = PoolTier(
        pool,
        parts.database,
        parts.partitions,
        state.telemetry,
        gateway.clock,
        is_poolable=_is_plain,
        book=AliasBook(AliasReader(parts.database, parts.opener).load, aliases_max=1000),
        opener=parts.opener,
        receipts=parts.proving.checker,
        quarantine=parts.quarantine,
    )
    return pool


def _is_plain(asked: Asked) -> bool:
    return len(asked.request.messages) == 1
