"""Proofs of applicability: of hits and of commitments; what a hit's proof is made from; every entry's vector stated.

Revision: 0004
After: 0003
"""

from alembic import op
import sqlalchemy as sa


revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None

KEPT = "query_vector IS NOT NULL"
NOT_STATED = "embedding_statement IS NULL AND receipt_id IS NOT NULL AND vector IS NOT NULL AND state = 'live'"
WITHOUT_STATEMENT = "embedding_statement IS NULL AND receipt_id IS NOT NULL AND vector IS NOT NULL AND source = 'runner' AND state = 'live'"


def upgrade() -> None:
    op.create_table('well_formedness',
    sa.Column('evidence_id', sa.String(length=40), nullable=False, comment="the embedding statement's"),
    sa.Column('tenant_id', sa.String(length=40), nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=False),
    sa.Column('document', sa.LargeBinary(), nullable=False, comment='crypto.applicability.documents.WellFormedness, canonical'),
    sa.Column('created_at_ms', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['seq'], ['log_leaves.seq'], name=op.f('fk_well_formedness_seq')),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name=op.f('fk_well_formedness_tenant_id')),
    sa.PrimaryKeyConstraint('evidence_id', name=op.f('pk_well_formedness'))
    )
    op.create_table('applicability',
    sa.Column('hit_id', sa.String(length=40), nullable=False),
    sa.Column('tenant_id', sa.String(length=40), nullable=False),
    sa.Column('evidence_id', sa.String(length=40), nullable=False, comment="the embedding statement's"),
    sa.Column('seq', sa.BigInteger(), nullable=False),
    sa.Column('document', sa.LargeBinary(), nullable=False, comment='sealed: crypto.applicability.documents.Applicability, canonical'),
    sa.Column('created_at_ms', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['seq'], ['log_leaves.seq'], name=op.f('fk_applicability_seq')),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name=op.f('fk_applicability_tenant_id')),
    sa.PrimaryKeyConstraint('hit_id', name=op.f('pk_applicability'))
    )
    with op.batch_alter_table('applicability', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_applicability_tenant_id_evidence_id_created_at_ms'), ['tenant_id', 'evidence_id', 'created_at_ms'], unique=False)

    op.add_column('hits', sa.Column('query_vector', sa.LargeBinary(), nullable=True, comment='sealed: int8 components; null: exact, or not kept'))
    op.create_index('ix_hits_with_query_vector', 'hits', ['tenant_id', 'at_ms', 'id'], unique=False, sqlite_where=sa.text(KEPT), postgresql_where=sa.text(KEPT))
    # Whose words the release before asks for imply these, so it goes by this index too.
    op.create_index('ix_entries_not_stated', 'entries', ['id'], unique=False, sqlite_where=sa.text(NOT_STATED), postgresql_where=sa.text(NOT_STATED))
    op.drop_index('ix_entries_without_statement', table_name='entries')


def downgrade() -> None:
    op.create_index('ix_entries_without_statement', 'entries', ['id'], unique=False, sqlite_where=sa.text(WITHOUT_STATEMENT), postgresql_where=sa.text(WITHOUT_STATEMENT))
    op.drop_index('ix_entries_not_stated', table_name='entries')
    op.drop_index('ix_hits_with_query_vector', table_name='hits')
    op.drop_column('hits', 'query_vector')
    with op.batch_alter_table('applicability', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_applicability_tenant_id_evidence_id_created_at_ms'))

    op.drop_table('applicability')
    op.drop_table('well_formedness')
