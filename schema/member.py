"""A member, as those clients see it who may manage members."""

from datetime import datetime

import strawberry

from models import Member as MemberRow
from models import Role
from provisioning.pagination import Page
from schema.context import Info
from schema.mutation_base import MutationInput, MutationPayload, VersionedInput, mutation_input, mutation_payload
from schema.node import Node, global_id
from schema.pagination import Cursors, PageInfo, instant, key

CURSORS = Cursors("members", (instant, key))
"""Of all organisations; ``below`` gives those of one."""


@strawberry.type(description="A person who works for an organisation, with one role.")
class Member(Node):
    """A member."""

    row: strawberry.Private[MemberRow]
    id: strawberry.ID = strawberry.field(description="Global id.")
    name: str = strawberry.field(description="Name to show.")
    role: Role = strawberry.field(description="What the person may do.")
    pending: bool = strawberry.field(description="Whether the person was invited and has not signed in yet.")
    version: int = strawberry.field(
        description="Grows by one with every change. Pass it as expectedVersion to guard a mutation."
    )
    created_at: datetime = strawberry.field(description="When the member was recorded.")
    invited_at: datetime | None = strawberry.field(description="When the invitation was made, null without one.")
    joined_at: datetime | None = strawberry.field(
        description="When the person first signed in with the identity provider, null before that."
    )

    @classmethod
    def of(cls, row: MemberRow) -> "Member":
        """What clients see of a row."""
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
        """What clients see of a row, if there is one."""
        return cls.of(row) if row else None

    @strawberry.field(description="Mail address. Null for callers without the right to manage members.")
    def email(self, info: Info) -> str | None:
        """Personal data."""
        return self.row.email if info.context.caller.manages_members else None


@strawberry.type(description="One member in a page.")
class MemberEdge:
    """An edge."""

    cursor: str = strawberry.field(description="Cursor of this item.")
    node: Member = strawberry.field(description="The member.")

    @classmethod
    def of(cls, row: MemberRow) -> "MemberEdge":
        """A member with its place in the list."""
        return cls(
            cursor=CURSORS.below(row.organisation_id).write((row.created_at, row.id)),
            node=Member.of(row),
        )


@strawberry.type(description="A page of members.")
class MemberConnection:
    """A page."""

    edges: list[MemberEdge] = strawberry.field(description="Edges, with cursors.")
    page_info: PageInfo = strawberry.field(description="Where the page lies.")

    @classmethod
    def of(cls, page: Page[MemberRow]) -> "MemberConnection":
        """What clients see of a page."""
        edges = [MemberEdge.of(row) for row in page.rows]
        return cls(edges=edges, page_info=PageInfo.of(page, [edge.cursor for edge in edges]))


@mutation_input
class InviteMemberInput(MutationInput):
    """The person to invite, and the role to give."""

    email: str = strawberry.field(
        description="E-mail address that the person's identity provider has verified. No mail is sent."
    )
    role: Role = strawberry.field(description="Role to give: ADMIN or VIEWER.")
    name: str | None = strawberry.field(
        description="Name to show; what stands before the address's @ when absent.", default=strawberry.UNSET
    )


@mutation_payload
class InviteMemberPayload(MutationPayload):
    """The member that inviteMember recorded, or the reasons for a refusal."""

    member: Member | None = strawberry.field(
        description="The invited member; null when the call was refused.", default=None
    )
    member_edge: MemberEdge | None = strawberry.field(
        description="The invited member as an edge, for lists that the client keeps.", default=None
    )


@mutation_input
class MemberInput(VersionedInput):
    """The input of a mutation of one member."""

    member_id: strawberry.ID = strawberry.field(description="Global id of the member to change.")


@mutation_input
class ChangeMemberRoleInput(MemberInput):
    """The member to give another role."""

    role: Role = strawberry.field(
        description="New role. OWNER hands the ownership over: only the owner may, and becomes an ADMIN."
    )


@mutation_payload
class ChangeMemberRolePayload(MutationPayload):
    """The member that changeMemberRole changed, or the reasons for a refusal."""

    member: Member | None = strawberry.field(
        description="The member after the call; null when the call was refused.", default=None
    )


@mutation_input
class RemoveMemberInput(MemberInput):
    """The member to remove, who is never the owner."""


@mutation_payload
class RemoveMemberPayload(MutationPayload):
    """The id of the member that removeMember removed, or the reasons for a refusal."""

    removed_member_id: strawberry.ID | None = strawberry.field(
        description="Global id of the removed member; null when the call was refused.", default=None
    )
