"""The tables of what is proved: the log and its outbox, receipts, hits, evidence, signers and their standing.

Only `server.store.tables`, which gathers all tables, imports this.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
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

from server.store.schema import metadata, sequence

#: The transactional outbox and, once it has its index, the log itself: whoever writes a receipt writes its leaf with it.
log_leaves = Table(
    "log_leaves",
    metadata,
    Column("seq", sequence, primary_key=True, autoincrement=True),
    Column("kind", Integer, nullable=False, comment="crypto.leaf.LeafKind"),
    Column("tenant_id", String(40), nullable=True),
    Column("leaf", LargeBinary(74), nullable=False),
    Column("body", LargeBinary, nullable=True, comment="envelope or body; null after an erasure"),
    Column("leaf_index", BigInteger, nullable=True, unique=True, comment="null: not sequenced yet"),
    Column("at_ms", BigInteger, nullable=False),
    Index(
        "ix_log_leaves_unsequenced",
        "seq",
        sqlite_where=text("leaf_index IS NULL"),
        postgresql_where=text("leaf_index IS NULL"),
    ),
    Index(None, "tenant_id"),
    sqlite_autoincrement=True,
)

receipts = Table(
    "receipts",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("seq", BigInteger, ForeignKey("log_leaves.seq"), nullable=False),
    Column("statement_digest", LargeBinary(32), nullable=False),
    Column("entry_id", BigInteger, nullable=True),
    Column("grade", String(20), nullable=False, comment="declared | attested"),
    Column("model_version", String(80), nullable=False),
    Column("key_id", String(64), nullable=False, comment="the signer's"),
    Column("issued_at_ms", BigInteger, nullable=False),
    Index(None, "tenant_id", "issued_at_ms"),
    Index(None, "tenant_id", "entry_id"),
    Index(None, "seq"),
)

hits = Table(
    "hits",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("receipt_id", String(40), nullable=False),
    Column("tier", String(10), nullable=False),
    Column("record", LargeBinary, nullable=False, comment="crypto.hit.HitRecord, canonical"),
    Column("batch_seq", BigInteger, nullable=True, comment="the batch's leaf; null: not in one yet"),
    Column("position", Integer, nullable=True, comment="in its batch"),
    Column("query_vector", LargeBinary, nullable=True, comment="sealed: int8 components; null: exact, or not kept"),
    Index(None, "tenant_id", "at_ms"),
    Index(None, "batch_seq"),
    Index(
        "ix_hits_unbatched",
        "tenant_id",
        "id",
        sqlite_where=text("batch_seq IS NULL"),
        postgresql_where=text("batch_seq IS NULL"),
    ),
    # Receipts of the pool answer many tenants; each of them may ask for those that answered it.
    Index(
        "ix_hits_of_pool",
        "receipt_id",
        "tenant_id",
        sqlite_where=text("tier = 'pool'"),
        postgresql_where=text("tier = 'pool'"),
    ),
    # What can still be proved, or opened, and what is to be forgotten in its time.
    Index(
        "ix_hits_with_query_vector",
        "tenant_id",
        "at_ms",
        "id",
        sqlite_where=text("query_vector IS NOT NULL"),
        postgresql_where=text("query_vector IS NOT NULL"),
    ),
)

evidence = Table(
    "evidence",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("seq", BigInteger, ForeignKey("log_leaves.seq"), nullable=False),
    Column("receipt_id", String(40), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("opening", LargeBinary, nullable=True, comment="sealed"),
    Column("created_at_ms", BigInteger, nullable=False),
    Index(None, "tenant_id", "receipt_id"),
)

well_formedness = Table(
    "well_formedness",
    metadata,
    Column("evidence_id", String(40), primary_key=True, comment="the embedding statement's"),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("seq", BigInteger, ForeignKey("log_leaves.seq"), nullable=False),
    Column("document", LargeBinary, nullable=False, comment="crypto.applicability.documents.WellFormedness, canonical"),
    Column("created_at_ms", BigInteger, nullable=False),
)

applicability = Table(
    "applicability",
    metadata,
    Column("hit_id", String(40), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("evidence_id", String(40), nullable=False, comment="the embedding statement's"),
    Column("seq", BigInteger, ForeignKey("log_leaves.seq"), nullable=False),
    Column(
        "document",
        LargeBinary,
        nullable=False,
        comment="sealed: crypto.applicability.documents.Applicability, canonical",
    ),
    Column("created_at_ms", BigInteger, nullable=False),
    Index(None, "tenant_id", "evidence_id", "created_at_ms"),
)

signers = Table(
    "signers",
    metadata,
    Column("key_id", String(64), primary_key=True),
    Column("public_key", LargeBinary(32), nullable=False),
    Column("role", String(10), nullable=False, comment="runner | gateway"),
    Column("name", String(200), nullable=False),
    Column("status", String(20), nullable=False, comment="active | retired | compromised"),
    Column("since_index", BigInteger, nullable=True, comment="its receipts count below this leaf index"),
    Column("first_seen_at_ms", BigInteger, nullable=False),
)

signer_models = Table(
    "signer_models",
    metadata,
    Column("key_id", ForeignKey("signers.key_id"), nullable=False),
    Column("model_version", String(80), nullable=False),
    PrimaryKeyConstraint("key_id", "model_version"),
)

log_checkpoints = Table(
    "log_checkpoints",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("through_seq", BigInteger, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("note", Text, nullable=False),
    Column("witnesses", Integer, nullable=False, comment="how many cosigned"),
    Column("signed_at_ms", BigInteger, nullable=False),
    Index(None, "witnesses", "size"),
)

log_lease = Table(
    "log_lease",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("holder", String(80), nullable=False),
    Column("token", BigInteger, nullable=False, comment="grows with every new holder"),
    Column("expires_at_ms", BigInteger, nullable=False),
)

announced_policies = Table(
    "announced_policies",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", String(80), nullable=False),
    Column("document", Text, nullable=False),
    Column("seq", BigInteger, ForeignKey("log_leaves.seq"), nullable=False),
    PrimaryKeyConstraint("tenant_id", "epoch", "version"),
)

status_lists = Table(
    "status_lists",
    metadata,
    Column("digest", String(80), primary_key=True),
    Column("document", Text, nullable=False),
    Column("seq", BigInteger, ForeignKey("log_leaves.seq"), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index(None, "seq"),
)

audit_jobs = Table(
    "audit_jobs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("state", String(10), nullable=False, comment="running | done | failed"),
    Column("done", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("scope", Text, nullable=False, comment="canonical JSON"),
    Column("file", Text, nullable=True),
    Column("error", Text, nullable=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Index(None, "tenant_id", "created_at_ms"),
)
