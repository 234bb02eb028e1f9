"""Addresses: an index for the key by which the addresses of members are compared.

May run beside: the release before it, which compares by ``lower(email)`` and keeps its own index. The key is the NFKC
of the address with ASCII letters in lower case, in every locale of the server, so that no other character becomes an
ASCII letter.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Create the index."""
    key = sa.literal_column('lower(normalize(email, NFKC) COLLATE "C")')
    op.create_index("members_by_normal_address", "members", [key])


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("members_by_normal_address", table_name="members")
