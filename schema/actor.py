"""An actor in the GraphQL schema."""

from uuid import UUID

import strawberry

from models import ActorKind, Event
from provisioning.actors import Actor as DomainActor
from schema.described import described_type
from schema.node import Node, global_id


@described_type
class Actor(Node):
    """The person, program or platform that performed an action."""

    kind: ActorKind = strawberry.field(
        description="Whether the actor is a person, a program, a support engineer or the platform."
    )
    display_name: str = strawberry.field(
        description="E-mail address of a person, name of a program, Tenantry for the platform. Events, runs and "
        "cancel requests keep it as it was at that time. For a caller without the right members:manage, node shows "
        "the name of another person instead of the address."
    )

    @classmethod
    def of(cls, kind: ActorKind, key: UUID, name: str) -> "Actor":
        """Convert what a row says of an actor."""
        return cls(id=global_id("Actor", key), kind=kind, display_name=name)

    @classmethod
    def of_actor(cls, actor: DomainActor) -> "Actor":
        """Convert an actor of the domain."""
        return cls.of(actor.kind, actor.id, actor.email or actor.name)

    @classmethod
    def of_event(cls, event: Event) -> "Actor":
        """Convert the actor of an event, with the name of that time."""
        return cls.of(event.actor_kind, event.actor_id, event.actor_email or event.actor_name)
