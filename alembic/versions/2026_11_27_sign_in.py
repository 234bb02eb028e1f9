"""Sign-in: columns for members' subjects at an identity provider, columns for the rotation of tokens.

May run beside: the release before it, which neither reads nor writes the new columns.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("members", sa.Column("subject", sa.String(length=512), nullable=True))
    op.add_column("members", sa.Column("invited_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("members", sa.Column("joined_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("members", sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False))
    op.create_index("one_member_per_subject", "members", ["subject", "organisation_id"], unique=True)
    op.create_index("members_by_address", "members", [sa.literal_column("lower(email)")], unique=False)
    op.create_index("members_by_creation", "members", ["organisation_id", "created_at", "id"], unique=False)
    op.add_column("service_accounts", sa.Column("previous_token_sha256", sa.String(length=64), nullable=True))
    op.add_column("service_accounts", sa.Column("previous_token_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("service_accounts", sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False))
    op.create_unique_constraint(
        op.f("service_accounts_previous_token_sha256_key"), "service_accounts", ["previous_token_sha256"]
    )
    op.create_index(
        "service_accounts_by_creation", "service_accounts", ["organisation_id", "created_at", "id"], unique=False
    )


def downgrade() -> None:
    op.drop_index("service_accounts_by_creation", table_name="service_accounts")
    op.drop_constraint(op.f("service_accounts_previous_token_sha256_key"), "service_accounts", type_="unique")
    op.drop_column("service_accounts", "version")
    op.drop_column("service_accounts", "previous_token_until")
    op.drop_column("service_accounts", "previous_token_sha256")
    op.drop_index("members_by_creation", table_name="members")
    op.drop_index("members_by_address", table_name="members")
    op.drop_index("one_member_per_subject", table_name="members")
    op.drop_column("members", "version")
    op.drop_column("members", "joined_at")
    op.drop_column("members", "invited_at")
    op.drop_column("members", "subject")
