"""The tables of the pool and of the ledger: votes, releases, what was released, spendings, consent to share.

Only `server.store.tables`, which gathers all tables, imports this. Votes, items and spendings have no `tenant_id` on
purpose: a vote is an organisation's, under a keyed tag that nobody without the pool's key can tell apart from chance, an
item is the pool's own, and a spending is an organisation's, kept for ever because its numbers may have no gap. What a
tenant consented to (`shares`) or does not want to see again (`pool_suppressions`) is the tenant's and goes with it.
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
    UniqueConstraint,
    text,
)

from server.store.schema import metadata

pool_profiles = Table(
    "pool_profiles",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("system", Text, nullable=True, comment="public system text"),
    Column("parameters", Text, nullable=False, comment="canonical JSON"),
    Column("created_at_ms", BigInteger, nullable=False),
)

vote_keys = Table(
    "vote_keys",
    metadata,
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("kek_id", String(80), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
)

pool_votes = Table(
    "pool_votes",
    metadata,
    Column("epoch", BigInteger, nullable=False),
    Column("voter", LargeBinary(16), nullable=False, comment="keyed tag of the organisation"),
    Column("place", Integer, nullable=False, comment="0 to C - 1"),
    Column("sealed", LargeBinary, nullable=False, comment="under the epoch's vote key"),
    # No number of its own: the order in which organisations asked is nobody's business.
    PrimaryKeyConstraint("epoch", "voter", "place"),
)

pool_voted = Table(
    "pool_voted",
    metadata,
    Column("period", BigInteger, nullable=False),
    Column("tag", LargeBinary(16), nullable=False, comment="keyed tag of organisation and normalised text"),
    PrimaryKeyConstraint("period", "tag"),
)

pool_releases = Table(
    "pool_releases",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False, comment="1, 2, 3 without a gap"),
    Column("mode", String(10), nullable=False, comment="pooled | noised"),
    Column("epoch", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("state", String(10), nullable=False, comment="spending | released | void"),
    Column("unit", String(20), nullable=False, comment="question | organisation | entry"),
    Column("vector_source", String(20), nullable=False, comment="released_text | dp_mean | noised"),
    Column("organisations", Integer, nullable=False, comment="how many were charged"),
    Column("reason", String(200), nullable=True),
    Column("document", Text, nullable=True, comment="crypto.release.Release, canonical; null while spending"),
    Column("digest", String(80), nullable=True),
    Column("seq", BigInteger, ForeignKey("log_leaves.seq"), nullable=True),
    Column("holder", String(80), nullable=False, comment="the process that paid for it"),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("finished_at_ms", BigInteger, nullable=True),
    UniqueConstraint("mode", "epoch", "attempt"),
    # What is paid for comes out or is void before anything else is paid for: the ledger's order rests on it.
    Index(
        "uq_pool_releases_one_spending",
        "state",
        unique=True,
        sqlite_where=text("state = 'spending'"),
        postgresql_where=text("state = 'spending'"),
    ),
)

pool_epochs = Table(
    "pool_epochs",
    metadata,
    Column("epoch", BigInteger, nullable=False),
    Column("mode", String(10), nullable=False, comment="pooled | noised"),
    Column("state", String(10), nullable=False, comment="open | released | empty | exhausted"),
    Column("reason", String(200), nullable=True),
    Column("release", BigInteger, ForeignKey("pool_releases.number"), nullable=True),
    Column("at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("epoch", "mode"),
)

privacy_spendings = Table(
    "privacy_spendings",
    metadata,
    Column("organisation_id", ForeignKey("organisations.id"), nullable=False),
    Column("number", BigInteger, nullable=False, comment="1, 2, 3 without a gap, per organisation"),
    Column("pseudonym", String(32), nullable=False, comment="the organisation's in the log"),
    Column("period", BigInteger, nullable=False),
    Column("release", BigInteger, ForeignKey("pool_releases.number"), nullable=False),
    Column("epsilon_micro", BigInteger, nullable=False),
    Column("rho_nano", BigInteger, nullable=False),
    Column("delta_atto", BigInteger, nullable=False),
    Column("document", Text, nullable=False, comment="crypto.spending.Spending, canonical"),
    Column("digest", String(80), nullable=False),
    Column("seq", BigInteger, ForeignKey("log_leaves.seq"), nullable=False),
    PrimaryKeyConstraint("organisation_id", "number"),
    # One payment of an organisation for one release: whoever tries twice is refused by the database itself.
    UniqueConstraint("release", "organisation_id"),
    Index(None, "organisation_id", "period"),
    Index(None, "pseudonym"),
)

privacy_budgets = Table(
    "privacy_budgets",
    metadata,
    Column("organisation_id", ForeignKey("organisations.id"), nullable=False),
    Column("from_period", BigInteger, nullable=False),
    Column("epsilon_micro", BigInteger, nullable=False),
    Column("rho_nano", BigInteger, nullable=False),
    Column("delta_atto", BigInteger, nullable=False),
    PrimaryKeyConstraint("organisation_id", "from_period"),
)

pool_items = Table(
    "pool_items",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False, comment="time and chance, as an entry's"),
    Column("release", BigInteger, ForeignKey("pool_releases.number"), nullable=False),
    Column("mode", String(10), nullable=False, comment="pooled | noised"),
    Column("profile", String(40), nullable=False),
    Column("sealed", LargeBinary, nullable=True, comment="JSON: texts, vectors; null once it is withdrawn"),
    Column("state", String(10), nullable=False, comment="selected | answered | live | refused | withdrawn"),
    Column("reason", String(200), nullable=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("live_at_ms", BigInteger, nullable=True),
    Index(None, "state", "id"),
    Index(None, "release"),
)

pool_answers = Table(
    "pool_answers",
    metadata,
    Column("item_id", BigInteger, ForeignKey("pool_items.id", ondelete="CASCADE"), nullable=False),
    Column("model", String(200), nullable=False, comment="alias"),
    Column("state", String(10), nullable=False, comment="wanted | held | live | refused | withdrawn"),
    Column("held", LargeBinary, nullable=True, comment="sealed: an answer in quarantine"),
    Column("entry_id", BigInteger, nullable=True, comment="the pool's entry, once it is live"),
    Column("reason", String(200), nullable=True),
    PrimaryKeyConstraint("item_id", "model"),
    Index(None, "state", "item_id"),
    Index(None, "entry_id"),
)

shares = Table(
    "shares",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("entry_id", BigInteger, nullable=False, comment="the tenant's own entry"),
    Column("state", String(10), nullable=False, comment="labelled | published | revoked | refused"),
    Column("reason", String(200), nullable=True),
    Column("epsilon_milli", Integer, nullable=False, comment="of this entry's embedding"),
    Column("aliases", LargeBinary, nullable=True, comment="sealed: questions that the tenant wrote"),
    Column("item_id", BigInteger, ForeignKey("pool_items.id"), nullable=True, comment="what it became in the pool"),
    Column("at_ms", BigInteger, nullable=False, comment="of the last change"),
    PrimaryKeyConstraint("tenant_id", "entry_id"),
    Index(None, "state", "tenant_id", "entry_id"),
    Index(None, "item_id"),
)

pool_suppressions = Table(
    "pool_suppressions",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column(
        "entry_id",
        BigInteger,
        ForeignKey("entries.id", ondelete="CASCADE"),
        nullable=False,
        comment="the pool's entry that this tenant does not want to see again",
    ),
    PrimaryKeyConstraint("tenant_id", "entry_id"),
    Index(None, "entry_id"),
)
