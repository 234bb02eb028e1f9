"""An actor in the GraphQL schema."""

from uuid import UUID

import strawberry

from access.permissions import Identity
from models import ActorKind, Event
from provisioning.actors import Actor as DomainActor
from schema.context import Info
from schema.described import described_field, described_type
from schema.node import Node, global_id

HAVE_ADDRESSES = frozenset({ActorKind.USER, ActorKind.SUPPORT})
WITHOUT_ADDRESS = {ActorKind.USER: "A member", ActorKind.SUPPORT: "Tenantry support"}
"""What is shown where only an address was recorded, to callers that may not see it."""


@described_type
class Actor(Node):
    """The person, program or platform that performed an action."""

    key: strawberry.Private[UUID]
    name: strawberry.Private[str]
    email: strawberry.Private[str | None] = None
    kind: ActorKind = strawberry.field(
        description="Whether the actor is a person, a program, a support engineer or the platform."
    )

    @described_field
    async def display_name(self, info: Info) -> str:
        """E-mail address of a person, name of a program, Tenantry for the platform.

        Events, runs and cancel requests keep it as it was at that time. A caller without the right members:manage gets
        the name of another person instead of the address, everywhere.
        """
        known = self.name_for(info.context.caller)
        if known is None and self.kind is ActorKind.USER:
            known = await info.context.loaders.member_names.load(self.key)
        return known or WITHOUT_ADDRESS[self.kind]

    def name_for(self, caller: Identity) -> str | None:
        """What the caller may see; None if only an address was recorded, which the caller may not see."""
        if self.kind not in HAVE_ADDRESSES or caller.sees_address_of(self.key):
            return self.email or self.name
        return None if "@" in self.name else self.name

    @classmethod
    def of(cls, kind: ActorKind, key: UUID, name: str, email: str | None = None) -> "Actor":
        """Convert what a row says of an actor. The name of a person may be an address."""
        return cls(id=global_id("Actor", key), key=key, kind=kind, name=name, email=email)

    @classmethod
    def of_actor(cls, actor: DomainActor) -> "Actor":
        """Convert an actor of the domain."""
        return cls.of(actor.kind, actor.id, actor.name, actor.email)

    @classmethod
    def of_event(cls, event: Event) -> "Actor":
        """Convert the actor of an event, with the name of that time."""
        return cls.of(event.actor_kind, event.actor_id, event.actor_name, event.actor_email)
