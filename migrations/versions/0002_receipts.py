"""receipts, hits, evidence, signers and the log

Revision: 0002
After: 0001
"""

from alembic import op
import sqlalchemy as sa


revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('log_checkpoints',
    sa.Column('size', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('through_seq', sa.BigInteger(), nullable=False),
    sa.Column('root', sa.LargeBinary(length=32), nullable=False),
    sa.Column('note', sa.Text(), nullable=False),
    sa.Column('witnesses', sa.Integer(), nullable=False, comment='how many cosigned'),
    sa.Column('signed_at_ms', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('size', name=op.f('pk_log_checkpoints'))
    )
    with op.batch_alter_table('log_checkpoints', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_log_checkpoints_witnesses_size'), ['witnesses', 'size'], unique=False)

    op.create_table('log_lease',
    sa.Column('name', sa.String(length=40), nullable=False),
    sa.Column('holder', sa.String(length=80), nullable=False),
    sa.Column('token', sa.BigInteger(), nullable=False, comment='grows with every new holder'),
    sa.Column('expires_at_ms', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_log_lease'))
    )
    op.create_table('log_leaves',
    sa.Column('seq', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('kind', sa.Integer(), nullable=False, comment='crypto.leaf.LeafKind'),
    sa.Column('tenant_id', sa.String(length=40), nullable=True),
    sa.Column('leaf', sa.LargeBinary(length=74), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=True, comment='envelope or body; null after an erasure'),
    sa.Column('leaf_index', sa.BigInteger(), nullable=True, comment='null: not sequenced yet'),
    sa.Column('at_ms', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('seq', name=op.f('pk_log_leaves')),
    sa.UniqueConstraint('leaf_index', name=op.f('uq_log_leaves_leaf_index')),
    sqlite_autoincrement=True
    )
    with op.batch_alter_table('log_leaves', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_log_leaves_tenant_id'), ['tenant_id'], unique=False)
        batch_op.create_index('ix_log_leaves_unsequenced', ['seq'], unique=False, sqlite_where=sa.text('leaf_index IS NULL'), postgresql_where=sa.text('leaf_index IS NULL'))

    op.create_table('signers',
    sa.Column('key_id', sa.String(length=64), nullable=False),
    sa.Column('public_key', sa.LargeBinary(length=32), nullable=False),
    sa.Column('role', sa.String(length=10), nullable=False, comment='runner | gateway'),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('status', sa.String(length=20), nullable=False, comment='active | retired | compromised'),
    sa.Column('since_index', sa.BigInteger(), nullable=True, comment='its receipts count below this leaf index'),
    sa.Column('first_seen_at_ms', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('key_id', name=op.f('pk_signers'))
    )
    op.create_table('signer_models',
    sa.Column('key_id', sa.String(length=64), nullable=False),
    sa.Column('model_version', sa.String(length=80), nullable=False),
    sa.ForeignKeyConstraint(['key_id'], ['signers.key_id'], name=op.f('fk_signer_models_key_id')),
    sa.PrimaryKeyConstraint('key_id', 'model_version', name=op.f('pk_signer_models'))
    )
    op.create_table('status_lists',
    sa.Column('digest', sa.String(length=80), nullable=False),
    sa.Column('document', sa.Text(), nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=False),
    sa.Column('at_ms', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['seq'], ['log_leaves.seq'], name=op.f('fk_status_lists_seq')),
    sa.PrimaryKeyConstraint('digest', name=op.f('pk_status_lists'))
    )
    with op.batch_alter_table('status_lists', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_status_lists_seq'), ['seq'], unique=False)

    op.create_table('announced_policies',
    sa.Column('tenant_id', sa.String(length=40), nullable=False),
    sa.Column('epoch', sa.BigInteger(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('digest', sa.String(length=80), nullable=False),
    sa.Column('document', sa.Text(), nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['seq'], ['log_leaves.seq'], name=op.f('fk_announced_policies_seq')),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name=op.f('fk_announced_policies_tenant_id')),
    sa.PrimaryKeyConstraint('tenant_id', 'epoch', 'version', name=op.f('pk_announced_policies'))
    )
    op.create_table('audit_jobs',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('tenant_id', sa.String(length=40), nullable=False),
    sa.Column('state', sa.String(length=10), nullable=False, comment='running | done | failed'),
    sa.Column('done', sa.Integer(), nullable=False),
    sa.Column('total', sa.Integer(), nullable=False),
    sa.Column('scope', sa.Text(), nullable=False, comment='canonical JSON'),
    sa.Column('file', sa.Text(), nullable=True),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('created_at_ms', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name=op.f('fk_audit_jobs_tenant_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit_jobs'))
    )
    with op.batch_alter_table('audit_jobs', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_audit_jobs_tenant_id_created_at_ms'), ['tenant_id', 'created_at_ms'], unique=False)

    op.create_table('evidence',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('tenant_id', sa.String(length=40), nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=False),
    sa.Column('receipt_id', sa.String(length=40), nullable=False),
    sa.Column('kind', sa.String(length=40), nullable=False),
    sa.Column('opening', sa.LargeBinary(), nullable=True, comment='sealed'),
    sa.Column('created_at_ms', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['seq'], ['log_leaves.seq'], name=op.f('fk_evidence_seq')),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name=op.f('fk_evidence_tenant_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_evidence'))
    )
    with op.batch_alter_table('evidence', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_evidence_tenant_id_receipt_id'), ['tenant_id', 'receipt_id'], unique=False)

    op.create_table('hits',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('tenant_id', sa.String(length=40), nullable=False),
    sa.Column('at_ms', sa.BigInteger(), nullable=False),
    sa.Column('receipt_id', sa.String(length=40), nullable=False),
    sa.Column('tier', sa.String(length=10), nullable=False),
    sa.Column('record', sa.LargeBinary(), nullable=False, comment='crypto.hit.HitRecord, canonical'),
    sa.Column('batch_seq', sa.BigInteger(), nullable=True, comment="the batch's leaf; null: not in one yet"),
    sa.Column('position', sa.Integer(), nullable=True, comment='in its batch'),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name=op.f('fk_hits_tenant_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_hits'))
    )
    with op.batch_alter_table('hits', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_hits_batch_seq'), ['batch_seq'], unique=False)
        batch_op.create_index(batch_op.f('ix_hits_tenant_id_at_ms'), ['tenant_id', 'at_ms'], unique=False)
        batch_op.create_index('ix_hits_unbatched', ['tenant_id', 'id'], unique=False, sqlite_where=sa.text('batch_seq IS NULL'), postgresql_where=sa.text('batch_seq IS NULL'))

    op.create_table('receipts',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('tenant_id', sa.String(length=40), nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=False),
    sa.Column('statement_digest', sa.LargeBinary(length=32), nullable=False),
    sa.Column('entry_id', sa.BigInteger(), nullable=True),
    sa.Column('grade', sa.String(length=20), nullable=False, comment='declared | attested'),
    sa.Column('model_version', sa.String(length=80), nullable=False),
    sa.Column('key_id', sa.String(length=64), nullable=False, comment="the signer's"),
    sa.Column('issued_at_ms', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['seq'], ['log_leaves.seq'], name=op.f('fk_receipts_seq')),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name=op.f('fk_receipts_tenant_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_receipts'))
    )
    with op.batch_alter_table('receipts', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_receipts_seq'), ['seq'], unique=False)
        batch_op.create_index(batch_op.f('ix_receipts_tenant_id_entry_id'), ['tenant_id', 'entry_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_receipts_tenant_id_issued_at_ms'), ['tenant_id', 'issued_at_ms'], unique=False)

    with op.batch_alter_table('entries', schema=None) as batch_op:
        batch_op.add_column(sa.Column('receipt_id', sa.String(length=40), nullable=True))
        batch_op.add_column(sa.Column('embedding_statement', sa.String(length=40), nullable=True, comment='its row of evidence'))

    waiting = sa.text("embedding_statement IS NULL AND receipt_id IS NOT NULL AND vector IS NOT NULL AND source = 'runner' AND state = 'live'")
    op.create_index('ix_entries_without_statement', 'entries', ['id'], unique=False, sqlite_where=waiting, postgresql_where=waiting)

    with op.batch_alter_table('model_versions', schema=None) as batch_op:
        batch_op.add_column(sa.Column('publisher', sa.Text(), nullable=True, comment="the publisher's signature: a Sigstore bundle"))



def downgrade() -> None:
    # Without Alembic's batch mode: both databases drop a column in place, and the partial index of entries stays as it is.
    op.drop_column('model_versions', 'publisher')
    op.drop_index('ix_entries_without_statement', table_name='entries')
    op.drop_column('entries', 'embedding_statement')
    op.drop_column('entries', 'receipt_id')

    with op.batch_alter_table('receipts', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_receipts_tenant_id_issued_at_ms'))
        batch_op.drop_index(batch_op.f('ix_receipts_tenant_id_entry_id'))
        batch_op.drop_index(batch_op.f('ix_receipts_seq'))

    op.drop_table('receipts')
    with op.batch_alter_table('hits', schema=None) as batch_op:
        batch_op.drop_index('ix_hits_unbatched', sqlite_where=sa.text('batch_seq IS NULL'), postgresql_where=sa.text('batch_seq IS NULL'))
        batch_op.drop_index(batch_op.f('ix_hits_tenant_id_at_ms'))
        batch_op.drop_index(batch_op.f('ix_hits_batch_seq'))

    op.drop_table('hits')
    with op.batch_alter_table('evidence', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_evidence_tenant_id_receipt_id'))

    op.drop_table('evidence')
    with op.batch_alter_table('audit_jobs', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_audit_jobs_tenant_id_created_at_ms'))

    op.drop_table('audit_jobs')
    op.drop_table('announced_policies')
    with op.batch_alter_table('status_lists', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_status_lists_seq'))

    op.drop_table('status_lists')
    op.drop_table('signer_models')
    op.drop_table('signers')
    with op.batch_alter_table('log_leaves', schema=None) as batch_op:
        batch_op.drop_index('ix_log_leaves_unsequenced', sqlite_where=sa.text('leaf_index IS NULL'), postgresql_where=sa.text('leaf_index IS NULL'))
        batch_op.drop_index(batch_op.f('ix_log_leaves_tenant_id'))

    op.drop_table('log_leaves')
    op.drop_table('log_lease')
    with op.batch_alter_table('log_checkpoints', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_log_checkpoints_witnesses_size'))

    op.drop_table('log_checkpoints')
