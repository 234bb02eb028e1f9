"""What a form may offer before anything is sent: a slug that is free, plans, regions."""

import strawberry

from provisioning.slugs import SlugAvailability
from runtime.settings import Settings

LONGEST_ECHO = 300
"""Characters of a slug that are said again, however long the one was that somebody sent."""


@strawberry.type(description="What would become of a slug.")
class SlugCheck:
    """An answer about a slug."""

    slug: str = strawberry.field(description="The slug as asked, 300 characters of it at the most.")
    available: bool = strawberry.field(description="Whether it could be given to a tenant now.")
    problem: str | None = strawberry.field(description="Why not, a sentence for people; null when it is available.")
    url: str | None = strawberry.field(
        description="Address that the tenant would answer at; null when no address can be made of it."
    )

    @classmethod
    def of(cls, found: SlugAvailability, settings: Settings) -> "SlugCheck":
        """What clients see of a finding."""
        return cls(
            slug=found.slug[:LONGEST_ECHO],
            available=found.problem is None,
            problem=found.problem,
            url=settings.tenant_url(found.address) if found.address else None,
        )


@strawberry.type(description="What createTenant and updateTenant may be given.")
class ProvisioningOptions:
    """What there is to choose from."""

    plans: list[str] = strawberry.field(description="Plan codes, the smallest plan first.")
    regions: list[str] = strawberry.field(description="Regions on offer; the first is the default.")
