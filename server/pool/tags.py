"""What votes are filed under: tags that nobody can tell from chance without the pool's keys, and their sealed content.

An organisation's tag is keyed by the epoch's vote key and goes with it when the epoch closes. The tag by which a question
votes once in a period must outlive epochs: it is keyed by a tenant key of the pool.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any, Final

import orjson

from crypto.canonical import encode_fields
from server.ports import RandomSource
from server.store.vote_keys import VOTES
from server.store.votes import TAG_BYTES
from tenants.data_keys import WrappedDataKey
from tenants.errors import UnsealError
from tenants.identifiers import OrganisationId
from tenants.key_providers import KeyProvider
from tenants.sealing import DataKey, SealContext, seal, unseal

VOTER_DOMAIN: Final = "hitproof/pool-voter/v1"
VOTED_DOMAIN: Final = "hitproof/pool-voted/v1"
SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Vote:
    """What one place is for: the *text* that would be released, under a profile; *vector* where means are made of them."""

    text: str
    profile: str
    vector: bytes | None


def open_vote_key(provider: KeyProvider, wrapped: WrappedDataKey) -> DataKey:
    """Return the vote key of an epoch; raises `SealedError`."""
    return DataKey(wrapped.epoch, provider.unwrap(wrapped.wrapped, tenant=wrapped.tenant, epoch=wrapped.epoch))


def voter_tag(key: DataKey, organisation: OrganisationId) -> bytes:
    """Return the tag of *organisation* in the epoch of the vote *key*."""
    return _tag(key.secret, VOTER_DOMAIN, organisation.encode())


def voted_tag(key: bytes, period: int, organisation: OrganisationId, text: str) -> bytes:
    """Return the tag of a normalised *text* of *organisation* in a budget period; *key* is the pool's key `voted`."""
    return _tag(key, VOTED_DOMAIN, period.to_bytes(8, "big"), organisation.encode(), text.encode())


def seal_vote(key: DataKey, voter: bytes, vote: Vote, *, random: RandomSource) -> bytes:
    """Seal *vote* for one voter of the key's epoch."""
    vector = None if vote.vector is None else vote.vector.hex()
    plain = orjson.dumps({"profile": vote.profile, "text": vote.text, "vector": vector})
    return seal(key, _place(key, voter), plain, random=random)


def open_vote(key: DataKey, voter: bytes, sealed: bytes) -> Vote:
    """Open what `seal_vote` sealed; raises `UnsealError`."""
    found: Any = orjson.loads(unseal(key, _place(key, voter), sealed))
    try:
        vector = None if found["vector"] is None else bytes.fromhex(found["vector"])
        return Vote(found["text"], found["profile"], vector)
    except (KeyError, TypeError, ValueError):
        raise UnsealError("the sealed vote holds something else than a vote") from None


def _place(key: DataKey, voter: bytes) -> SealContext:
    return SealContext(tenant=VOTES, entry=key.epoch, field=f"vote/{voter.hex()}", schema_version=SCHEMA_VERSION)


def _tag(key: bytes, domain: str, *parts: bytes) -> bytes:
    return hmac.digest(key, encode_fields(domain, *parts), "sha256")[:TAG_BYTES]
