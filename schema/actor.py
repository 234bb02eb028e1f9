"""Who did something, as clients see it."""

from uuid import UUID

import strawberry

from models import ActorKind, Event
from provisioning.actors import Actor as DomainActor
from schema.node import Node, global_id


@strawberry.type(description="Who did something.")
class Actor(Node):
    """Who did something."""

    id: strawberry.ID = strawberry.field(description="Global id.")
    kind: ActorKind = strawberry.field(description="Kind of caller.")
    display_name: str = strawberry.field(description="Name to show.")

    @classmethod
    def of(cls, kind: ActorKind, key: UUID, name: str) -> "Actor":
        """Somebody by what a row says."""
        return cls(id=global_id("Actor", key), kind=kind, display_name=name)

    @classmethod
    def of_actor(cls, actor: DomainActor) -> "Actor":
        """Somebody the domain knows."""
        return cls.of(actor.kind, actor.id, actor.email or actor.name)

    @classmethod
    def of_event(cls, event: Event) -> "Actor":
        """Whoever caused an event, as they were called then."""
        return cls.of(event.actor_kind, event.actor_id, event.actor_email or event.actor_name)
