"""A member in the GraphQL schema, with the inputs and payloads of its mutations."""

from datetime import datetime

import strawberry

from models import Member as MemberRow
from models import Role
from provisioning.pagination import Page
from schema.context import Info
from schema.described import described_field, described_type
from schema.mutation_base import MutationInput, MutationPayload, VersionedInput, mutation_input, mutation_payload
from schema.node import Node, global_id
from schema.pagination import EDGES, PAGE_INFO, Cursors, Edge, PageInfo, instant, key

CURSORS = Cursors("members", (instant, key))
"""Cursors of all organisations; ``below`` returns those of one."""


@described_type
class Member(Node):
    """A person with one role in one organisation. Only callers with the right members:manage can read members."""

    row: strawberry.Private[MemberRow]
    name: str = strawberry.field(description="Display name, set when the member was recorded.")
    role: Role = strawberry.field(
        description="What the person may do in this organisation. A change applies from the person's next call."
    )
    pending: bool = strawberry.field(
        description="True from the invitation until the person first signs in. The invitation expires after 14 days: "
        "then remove the member and invite the person again."
    )
    version: int = strawberry.field(
        description="1 at first, one more after each change of role. Pass it as expectedVersion so that a mutation is "
        "refused when the member has changed since you read it."
    )
    created_at: datetime = strawberry.field(description="When the member was recorded, in UTC.")
    invited_at: datetime | None = strawberry.field(
        description="When inviteMember was called; null for a member who was recorded without an invitation."
    )
    joined_at: datetime | None = strawberry.field(
        description="When the person first signed in with the identity provider; null before that."
    )

    @classmethod
    def of(cls, row: MemberRow) -> "Member":
        """Convert a row."""
        return cls(
            row=row,
            id=global_id("Member", row.id),
            name=row.name,
            role=row.role,
            pending=row.invited_at is not None and row.joined_at is None,
            version=row.version,
            created_at=row.created_at,
            invited_at=row.invited_at,
            joined_at=row.joined_at,
        )

    @classmethod
    def of_optional(cls, row: MemberRow | None) -> "Member | None":
        """Convert a row, or None."""
        return cls.of(row) if row else None

    @described_field
    def email(self, info: Info) -> str | None:
        """E-mail address of the invitation. Null for callers without the right members:manage."""
        return self.row.email if info.context.caller.manages_members else None


@described_type
class MemberEdge(Edge):
    """One member with its position in the list."""

    node: Member = strawberry.field(description="The member at this position.")

    @classmethod
    def of(cls, row: MemberRow) -> "MemberEdge":
        """Convert a row."""
        return cls(
            cursor=CURSORS.below(row.organisation_id).write((row.created_at, row.id)),
            node=Member.of(row),
        )


@described_type
class MemberConnection:
    """A page of members, in the order in which they were recorded."""

    edges: list[MemberEdge] = strawberry.field(description=EDGES)
    page_info: PageInfo = strawberry.field(description=PAGE_INFO)

    @classmethod
    def of(cls, page: Page[MemberRow]) -> "MemberConnection":
        """Convert a page of rows."""
        edges = [MemberEdge.of(row) for row in page.rows]
        return cls(edges=edges, page_info=PageInfo.of(page, [edge.cursor for edge in edges]))


@mutation_input
class InviteMemberInput(MutationInput):
    """The person to invite, with the role to give. An organisation has at most 1,000 members."""

    email: str = strawberry.field(
        description="E-mail address under which the person will sign in: the identity provider has to have verified "
        "it. No mail is sent. TAKEN when a member of the organisation has the address."
    )
    role: Role = strawberry.field(
        description="ADMIN or VIEWER. OWNER is refused: changeMemberRole transfers the ownership."
    )
    name: str | None = strawberry.field(
        description="Display name, 1 to 80 characters; the part of the address before the @ when absent.",
        default=strawberry.UNSET,
    )


@mutation_payload
class InviteMemberPayload(MutationPayload):
    """The member that inviteMember recorded, or the reasons for a refusal."""

    member: Member | None = strawberry.field(
        description="The invited member. Null when the call was refused, and for a repeat after the member was "
        "removed.",
        default=None,
    )
    member_edge: MemberEdge | None = strawberry.field(
        description="The invited member as an edge, for a list that the client has in its cache; null whenever "
        "member is.",
        default=None,
    )


@mutation_input
class MemberInput(VersionedInput):
    """The input of a mutation of one member."""

    member_id: strawberry.ID = strawberry.field(description="Global id of the member to change.")


@mutation_input
class ChangeMemberRoleInput(MemberInput):
    """The member to change, with the new role. The owner's role changes only by a transfer of the ownership."""

    role: Role = strawberry.field(
        description="New role. OWNER transfers the ownership: only the owner may pass it, for a member who has "
        "signed in, and becomes an ADMIN."
    )


@mutation_payload
class ChangeMemberRolePayload(MutationPayload):
    """The member that changeMemberRole changed, or the reasons for a refusal."""

    member: Member | None = strawberry.field(
        description="The member after the call. Null when the call was refused, and for a repeat after the member was "
        "removed.",
        default=None,
    )


@mutation_input
class RemoveMemberInput(MemberInput):
    """The member to remove. The owner cannot be removed: transfer the ownership first."""


@mutation_payload
class RemoveMemberPayload(MutationPayload):
    """The id of the member that removeMember removed, or the reasons for a refusal."""

    removed_member_id: strawberry.ID | None = strawberry.field(
        description="Global id of the removed member; null when the call was refused.", default=None
    )
