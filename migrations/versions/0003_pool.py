"""The pool and the ledger: votes, releases, what was released, spendings, consent to share.

Revision: 0003
After: 0002
"""

from alembic import op
import sqlalchemy as sa


revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('pool_profiles',
    sa.Column('name', sa.String(length=40), nullable=False),
    sa.Column('system', sa.Text(), nullable=True, comment='public system text'),
    sa.Column('parameters', sa.Text(), nullable=False, comment='canonical JSON'),
    sa.Column('created_at_ms', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_pool_profiles'))
    )
    op.create_table('pool_voted',
    sa.Column('period', sa.BigInteger(), nullable=False),
    sa.Column('tag', sa.LargeBinary(length=16), nullable=False, comment='keyed tag of organisation and normalised text'),
    sa.PrimaryKeyConstraint('period', 'tag', name=op.f('pk_pool_voted'))
    )
    op.create_table('pool_votes',
    sa.Column('epoch', sa.BigInteger(), nullable=False),
    sa.Column('voter', sa.LargeBinary(length=16), nullable=False, comment='keyed tag of the organisation'),
    sa.Column('place', sa.Integer(), nullable=False, comment='0 to C - 1'),
    sa.Column('sealed', sa.LargeBinary(), nullable=False, comment="under the epoch's vote key"),
    sa.PrimaryKeyConstraint('epoch', 'voter', 'place', name=op.f('pk_pool_votes'))
    )
    op.create_table('vote_keys',
    sa.Column('epoch', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('wrapped', sa.LargeBinary(), nullable=False),
    sa.Column('kek_id', sa.String(length=80), nullable=False),
    sa.Column('created_at_ms', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('epoch', name=op.f('pk_vote_keys'))
    )
    op.create_table('pool_releases',
    sa.Column('number', sa.BigInteger(), autoincrement=False, nullable=False, comment='1, 2, 3 without a gap'),
    sa.Column('mode', sa.String(length=10), nullable=False, comment='pooled | noised'),
    sa.Column('epoch', sa.BigInteger(), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('state', sa.String(length=10), nullable=False, comment='spending | released | void'),
    sa.Column('unit', sa.String(length=20), nullable=False, comment='question | organisation | entry'),
    sa.Column('vector_source', sa.String(length=20), nullable=False, comment='released_text | dp_mean | noised'),
    sa.Column('organisations', sa.Integer(), nullable=False, comment='how many were charged'),
    sa.Column('reason', sa.String(length=200), nullable=True),
    sa.Column('document', sa.Text(), nullable=True, comment='crypto.release.Release, canonical; null while spending'),
    sa.Column('digest', sa.String(length=80), nullable=True),
    sa.Column('seq', sa.BigInteger(), nullable=True),
    sa.Column('holder', sa.String(length=80), nullable=False, comment='the process that paid for it'),
    sa.Column('created_at_ms', sa.BigInteger(), nullable=False),
    sa.Column('finished_at_ms', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['seq'], ['log_leaves.seq'], name=op.f('fk_pool_releases_seq')),
    sa.PrimaryKeyConstraint('number', name=op.f('pk_pool_releases')),
    sa.UniqueConstraint('mode', 'epoch', 'attempt', name=op.f('uq_pool_releases_mode_epoch_attempt'))
    )
    with op.batch_alter_table('pool_releases', schema=None) as batch_op:
        batch_op.create_index('uq_pool_releases_one_spending', ['state'], unique=True, sqlite_where=sa.text("state = 'spending'"), postgresql_where=sa.text("state = 'spending'"))

    op.create_table('privacy_budgets',
    sa.Column('organisation_id', sa.String(length=40), nullable=False),
    sa.Column('from_period', sa.BigInteger(), nullable=False),
    sa.Column('epsilon_micro', sa.BigInteger(), nullable=False),
    sa.Column('rho_nano', sa.BigInteger(), nullable=False),
    sa.Column('delta_atto', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['organisation_id'], ['organisations.id'], name=op.f('fk_privacy_budgets_organisation_id')),
    sa.PrimaryKeyConstraint('organisation_id', 'from_period', name=op.f('pk_privacy_budgets'))
    )
    op.create_table('pool_epochs',
    sa.Column('epoch', sa.BigInteger(), nullable=False),
    sa.Column('mode', sa.String(length=10), nullable=False, comment='pooled | noised'),
    sa.Column('state', sa.String(length=10), nullable=False, comment='open | released | empty | exhausted'),
    sa.Column('reason', sa.String(length=200), nullable=True),
    sa.Column('release', sa.BigInteger(), nullable=True),
    sa.Column('at_ms', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['release'], ['pool_releases.number'], name=op.f('fk_pool_epochs_release')),
    sa.PrimaryKeyConstraint('epoch', 'mode', name=op.f('pk_pool_epochs'))
    )
    op.create_table('pool_items',
    sa.Column('id', sa.BigInteger(), autoincrement=False, nullable=False, comment="time and chance, as an entry's"),
    sa.Column('release', sa.BigInteger(), nullable=False),
    sa.Column('mode', sa.String(length=10), nullable=False, comment='pooled | noised'),
    sa.Column('profile', sa.String(length=40), nullable=False),
    sa.Column('sealed', sa.LargeBinary(), nullable=True, comment='JSON: texts, vectors; null once it is withdrawn'),
    sa.Column('state', sa.String(length=10), nullable=False, comment='selected | answered | live | refused | withdrawn'),
    sa.Column('reason', sa.String(length=200), nullable=True),
    sa.Column('created_at_ms', sa.BigInteger(), nullable=False),
    sa.Column('live_at_ms', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['release'], ['pool_releases.number'], name=op.f('fk_pool_items_release')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_pool_items'))
    )
    with op.batch_alter_table('pool_items', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_pool_items_release'), ['release'], unique=False)
        batch_op.create_index(batch_op.f('ix_pool_items_state_id'), ['state', 'id'], unique=False)

    op.create_table('privacy_spendings',
    sa.Column('organisation_id', sa.String(length=40), nullable=False),
    sa.Column('number', sa.BigInteger(), nullable=False, comment='1, 2, 3 without a gap, per organisation'),
    sa.Column('pseudonym', sa.String(length=32), nullable=False, comment="the organisation's in the log"),
    sa.Column('period', sa.BigInteger(), nullable=False),
    sa.Column('release', sa.BigInteger(), nullable=False),
    sa.Column('epsilon_micro', sa.BigInteger(), nullable=False),
    sa.Column('rho_nano', sa.BigInteger(), nullable=False),
    sa.Column('delta_atto', sa.BigInteger(), nullable=False),
    sa.Column('document', sa.Text(), nullable=False, comment='crypto.spending.Spending, canonical'),
    sa.Column('digest', sa.String(length=80), nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['organisation_id'], ['organisations.id'], name=op.f('fk_privacy_spendings_organisation_id')),
    sa.ForeignKeyConstraint(['release'], ['pool_releases.number'], name=op.f('fk_privacy_spendings_release')),
    sa.ForeignKeyConstraint(['seq'], ['log_leaves.seq'], name=op.f('fk_privacy_spendings_seq')),
    sa.PrimaryKeyConstraint('organisation_id', 'number', name=op.f('pk_privacy_spendings')),
    sa.UniqueConstraint('release', 'organisation_id', name=op.f('uq_privacy_spendings_release_organisation_id'))
    )
    with op.batch_alter_table('privacy_spendings', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_privacy_spendings_organisation_id_period'), ['organisation_id', 'period'], unique=False)
        batch_op.create_index(batch_op.f('ix_privacy_spendings_pseudonym'), ['pseudonym'], unique=False)

    op.create_table('pool_answers',
    sa.Column('item_id', sa.BigInteger(), nullable=False),
    sa.Column('model', sa.String(length=200), nullable=False, comment='alias'),
    sa.Column('state', sa.String(length=10), nullable=False, comment='wanted | held | live | refused | withdrawn'),
    sa.Column('held', sa.LargeBinary(), nullable=True, comment='sealed: an answer in quarantine'),
    sa.Column('entry_id', sa.BigInteger(), nullable=True, comment="the pool's entry, once it is live"),
    sa.Column('reason', sa.String(length=200), nullable=True),
    sa.ForeignKeyConstraint(['item_id'], ['pool_items.id'], name=op.f('fk_pool_answers_item_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('item_id', 'model', name=op.f('pk_pool_answers'))
    )
    with op.batch_alter_table('pool_answers', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_pool_answers_entry_id'), ['entry_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_pool_answers_state_item_id'), ['state', 'item_id'], unique=False)

    op.create_table('pool_suppressions',
    sa.Column('tenant_id', sa.String(length=40), nullable=False),
    sa.Column('entry_id', sa.BigInteger(), nullable=False, comment="the pool's entry that this tenant does not want to see again"),
    sa.ForeignKeyConstraint(['entry_id'], ['entries.id'], name=op.f('fk_pool_suppressions_entry_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name=op.f('fk_pool_suppressions_tenant_id')),
    sa.PrimaryKeyConstraint('tenant_id', 'entry_id', name=op.f('pk_pool_suppressions'))
    )
    with op.batch_alter_table('pool_suppressions', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_pool_suppressions_entry_id'), ['entry_id'], unique=False)

    op.create_table('shares',
    sa.Column('tenant_id', sa.String(length=40), nullable=False),
    sa.Column('entry_id', sa.BigInteger(), nullable=False, comment="the tenant's own entry"),
    sa.Column('state', sa.String(length=10), nullable=False, comment='labelled | published | revoked | refused'),
    sa.Column('reason', sa.String(length=200), nullable=True),
    sa.Column('epsilon_milli', sa.Integer(), nullable=False, comment="of this entry's embedding"),
    sa.Column('aliases', sa.LargeBinary(), nullable=True, comment='sealed: questions that the tenant wrote'),
    sa.Column('item_id', sa.BigInteger(), nullable=True, comment='what it became in the pool'),
    sa.Column('at_ms', sa.BigInteger(), nullable=False, comment='of the last change'),
    sa.ForeignKeyConstraint(['item_id'], ['pool_items.id'], name=op.f('fk_shares_item_id')),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name=op.f('fk_shares_tenant_id')),
    sa.PrimaryKeyConstraint('tenant_id', 'entry_id', name=op.f('pk_shares'))
    )
    with op.batch_alter_table('shares', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_shares_item_id'), ['item_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_shares_state_tenant_id_entry_id'), ['state', 'tenant_id', 'entry_id'], unique=False)

    of_pool = sa.text("tier = 'pool'")
    op.create_index('ix_hits_of_pool', 'hits', ['receipt_id', 'tenant_id'], unique=False, sqlite_where=of_pool, postgresql_where=of_pool)


def downgrade() -> None:
    op.drop_index('ix_hits_of_pool', table_name='hits')
    with op.batch_alter_table('shares', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_shares_state_tenant_id_entry_id'))
        batch_op.drop_index(batch_op.f('ix_shares_item_id'))

    op.drop_table('shares')
    with op.batch_alter_table('pool_suppressions', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_pool_suppressions_entry_id'))

    op.drop_table('pool_suppressions')
    with op.batch_alter_table('pool_answers', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_pool_answers_state_item_id'))
        batch_op.drop_index(batch_op.f('ix_pool_answers_entry_id'))

    op.drop_table('pool_answers')
    with op.batch_alter_table('privacy_spendings', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_privacy_spendings_pseudonym'))
        batch_op.drop_index(batch_op.f('ix_privacy_spendings_organisation_id_period'))

    op.drop_table('privacy_spendings')
    with op.batch_alter_table('pool_items', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_pool_items_state_id'))
        batch_op.drop_index(batch_op.f('ix_pool_items_release'))

    op.drop_table('pool_items')
    op.drop_table('pool_epochs')
    op.drop_table('privacy_budgets')
    with op.batch_alter_table('pool_releases', schema=None) as batch_op:
        batch_op.drop_index('uq_pool_releases_one_spending', sqlite_where=sa.text("state = 'spending'"), postgresql_where=sa.text("state = 'spending'"))

    op.drop_table('pool_releases')
    op.drop_table('vote_keys')
    op.drop_table('pool_votes')
    op.drop_table('pool_voted')
    op.drop_table('pool_profiles')
