"""The tables, as SQLAlchemy Core sees them; migrations/versions/ makes them.

Every table that holds something of a tenant has `tenant_id` and is reached only through a repository built with that
tenant (`server.store.scoped`); tests/house/test_tenant_scope.py holds the house to it.

Evolution rule: expand, backfill, contract. A column is added nullable or with a default, filled, and only then relied on;
two releases in a row must be able to run on one schema.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

from server.store.log_tables import announced_policies as announced_policies
from server.store.log_tables import applicability as applicability
from server.store.log_tables import audit_jobs as audit_jobs
from server.store.log_tables import evidence as evidence
from server.store.log_tables import hits as hits
from server.store.log_tables import log_checkpoints as log_checkpoints
from server.store.log_tables import log_lease as log_lease
from server.store.log_tables import log_leaves as log_leaves
from server.store.log_tables import receipts as receipts
from server.store.log_tables import signer_models as signer_models
from server.store.log_tables import signers as signers
from server.store.log_tables import status_lists as status_lists
from server.store.log_tables import well_formedness as well_formedness
from server.store.pool_tables import pool_answers as pool_answers
from server.store.pool_tables import pool_epochs as pool_epochs
from server.store.pool_tables import pool_items as pool_items
from server.store.pool_tables import pool_profiles as pool_profiles
from server.store.pool_tables import pool_releases as pool_releases
from server.store.pool_tables import pool_suppressions as pool_suppressions
from server.store.pool_tables import pool_voted as pool_voted
from server.store.pool_tables import pool_votes as pool_votes
from server.store.pool_tables import privacy_budgets as privacy_budgets
from server.store.pool_tables import privacy_spendings as privacy_spendings
from server.store.pool_tables import shares as shares
from server.store.pool_tables import vote_keys as vote_keys
from server.store.schema import metadata as metadata
from server.store.schema import sequence

organisations = Table(
    "organisations",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("created_at_ms", BigInteger, nullable=False),
)

tenants = Table(
    "tenants",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("organisation_id", ForeignKey("organisations.id"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("status", String(20), nullable=False, comment="active | suspended | erased"),
    Column("quota", Text, nullable=False, comment="canonical JSON of tenants.quotas.Quota"),
    Column("created_at_ms", BigInteger, nullable=False),
    Index(None, "organisation_id", "name", unique=True),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String(20), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=True, comment="null: a platform key"),
    Column("mac", LargeBinary(32), nullable=False),
    Column("role", String(40), nullable=False),
    Column("scopes", Text, nullable=False, comment="JSON list"),
    Column("label", String(200), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("created_by", String(40), nullable=False),
    Column("expires_at_ms", BigInteger, nullable=True),
    Column("revoked_at_ms", BigInteger, nullable=True),
    Column("last_used_day", String(10), nullable=True, comment="coarse on purpose"),
    Index(None, "tenant_id"),
)

data_keys = Table(
    "data_keys",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("kek_id", String(80), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "epoch"),
)

policies = Table(
    "policies",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("document", Text, nullable=False, comment="canonical JSON of server.reuse.policy.ReusePolicy"),
    Column("digest", String(80), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("created_by", String(40), nullable=False),
    PrimaryKeyConstraint("tenant_id", "version"),
)

upstreams = Table(
    "upstreams",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("kind", String(20), nullable=False, comment="openai | vllm | runner"),
    Column("base_url", String(2000), nullable=False),
    Column("key_reference", String(400), nullable=True, comment="env:NAME or file:PATH, never the key itself"),
    Column("allow_private", Boolean, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("alias", String(200), primary_key=True, comment="what clients put into `model`"),
    Column("upstream", ForeignKey("upstreams.name"), nullable=False),
    Column("requested", String(200), nullable=False, comment="what the upstream calls it"),
    Column("model_version", String(80), nullable=True, comment="the active version, once known"),
    Column("reported", String(200), nullable=True, comment="the name that the upstream last answered with"),
    Column("input_price_micro", BigInteger, nullable=False, comment="per million prompt tokens"),
    Column("output_price_micro", BigInteger, nullable=False, comment="per million output tokens"),
    Column("created_at_ms", BigInteger, nullable=False),
)

model_versions = Table(
    "model_versions",
    metadata,
    Column("model_version", String(80), nullable=False),
    Column("reported", String(200), nullable=False),
    Column("status", String(20), nullable=False, comment="active | superseded | revoked"),
    Column("manifest", Text, nullable=True, comment="canonical JSON; null where the signer did not load the model"),
    Column("first_seen_at_ms", BigInteger, nullable=False),
    Column("publisher", Text, nullable=True, comment="the publisher's signature: a Sigstore bundle"),
    PrimaryKeyConstraint("model_version", "reported"),
)

_NOT_STATED = text("embedding_statement IS NULL AND receipt_id IS NOT NULL AND vector IS NOT NULL AND state = 'live'")

entries = Table(
    "entries",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False, comment="time and chance, 63 bits"),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("exact_key", LargeBinary(32), nullable=False, comment="keyed hash: equal only within one tenant"),
    Column("kind", String(20), nullable=False, comment="answer | subresult | kv_prefix"),
    Column("source", String(20), nullable=False, comment="runner | upstream | client"),
    Column("derivation", String(20), nullable=False, comment="none | adapted | composed"),
    Column("parents", Text, nullable=False, comment="JSON list of {statement, relation}"),
    Column("model", String(200), nullable=False),
    Column("model_version", String(80), nullable=False),
    Column("reported", String(200), nullable=False),
    Column("embedder", String(80), nullable=True),
    Column("state", String(20), nullable=False, comment="live | quarantined"),
    Column("state_reason", String(200), nullable=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("last_hit_at_ms", BigInteger, nullable=False),
    Column("hit_count", Integer, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("cost_micro", BigInteger, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("payload", LargeBinary, nullable=False, comment="sealed: question and response"),
    Column("vector", LargeBinary, nullable=True, comment="sealed: int8 components"),
    Column("receipt_id", String(40), nullable=True),
    Column("embedding_statement", String(40), nullable=True, comment="its row of evidence"),
    # A live key is unique per tenant; quarantined rows keep theirs beside it.
    Index(
        "uq_entries_live_exact_key",
        "tenant_id",
        "exact_key",
        unique=True,
        sqlite_where=text("state = 'live'"),
        postgresql_where=text("state = 'live'"),
    ),
    Index(None, "tenant_id", "fingerprint"),
    Index(None, "tenant_id", "model_version"),
    Index(None, "tenant_id", "last_hit_at_ms"),
    Index(None, "expires_at_ms"),
    # What `server.reuse.embedding_statements` walks through.
    Index("ix_entries_not_stated", "id", sqlite_where=_NOT_STATED, postgresql_where=_NOT_STATED),
)

entry_tags = Table(
    "entry_tags",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("tag", String(100), nullable=False),
    Column("entry_id", BigInteger, ForeignKey("entries.id", ondelete="CASCADE"), nullable=False),
    PrimaryKeyConstraint("tenant_id", "tag", "entry_id"),
    Index(None, "entry_id"),
)

feed = Table(
    "feed",
    metadata,
    Column("seq", sequence, primary_key=True, autoincrement=True),
    Column("tenant_id", String(40), nullable=False),
    Column("fingerprint", LargeBinary(32), nullable=True, comment="null: the whole tenant"),
    Column("operation", String(10), nullable=False, comment="add | remove | refresh | drop"),
    Column("entry_id", BigInteger, nullable=True),
    Column("at_ms", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

lookups = Table(
    "lookups",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("key_id", String(20), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("model", String(200), nullable=False),
    Column("outcome", String(10), nullable=False),
    Column("tier", String(10), nullable=True),
    Column("reason", String(100), nullable=False),
    Column("entry_id", BigInteger, nullable=True),
    Column("policy_version", Integer, nullable=False),
    Column("detail", LargeBinary, nullable=True, comment="sealed: query vector, candidates, scores, verdicts"),
    Column("label", String(10), nullable=True, comment="right | wrong"),
    Column("label_kind", String(20), nullable=True, comment="equal | embedding | feedback"),
    Column("labelled_at_ms", BigInteger, nullable=True),
    Index(None, "tenant_id", "at_ms"),
    Index(None, "expires_at_ms"),
)

usage = Table(
    "usage",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("day", String(10), nullable=False),
    Column("key_id", String(20), nullable=False),
    Column("model", String(200), nullable=False),
    Column("outcome", String(10), nullable=False),
    Column("tier", String(10), nullable=False, comment="empty unless a hit"),
    Column("requests", BigInteger, nullable=False),
    Column("saved_prompt_tokens", BigInteger, nullable=False),
    Column("saved_output_tokens", BigInteger, nullable=False),
    Column("saved_micro", BigInteger, nullable=False),
    Column("latency_us", BigInteger, nullable=False, comment="total, to be divided by requests"),
    PrimaryKeyConstraint("tenant_id", "day", "key_id", "model", "outcome", "tier"),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("seq", sequence, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("tenant_id", String(40), nullable=True),
    Column("action", String(80), nullable=False),
    Column("target", String(200), nullable=False),
    Column("detail", Text, nullable=False, comment="canonical JSON, no secrets"),
    Column("previous_hash", LargeBinary(32), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    sqlite_autoincrement=True,
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key_id", String(20), nullable=False),
    Column("idempotency_key", String(255), nullable=False),
    Column("request_digest", LargeBinary(32), nullable=False),
    Column("status", Integer, nullable=True, comment="null while the first request is in flight"),
    Column("response", LargeBinary, nullable=True),
    Column("created_at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("key_id", "idempotency_key"),
)

meta = Table(
    "meta",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("value", Text, nullable=False),
)
