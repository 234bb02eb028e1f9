"""Plans, regions and slug checks for the form that creates a tenant."""

import strawberry

from provisioning.slugs import SlugAvailability
from runtime.settings import Settings
from schema.described import described_type

MAX_ECHOED_SLUG_LENGTH = 300
"""Characters of the slug that the answer repeats."""


@described_type
class SlugCheck:
    """Whether createTenant would accept a slug now.

    The quota, and addresses that another organisation holds, are not part of the check.
    """

    slug: str = strawberry.field(description="The slug that was checked, cut off after 300 characters.")
    available: bool = strawberry.field(
        description="True when the slug is well-formed, not a reserved word, and no tenant of the organisation has it."
    )
    problem: str | None = strawberry.field(
        description="Why the slug is not available, as a sentence for people; null when it is."
    )
    url: str | None = strawberry.field(
        description="Address that the tenant would get; null when the slug is malformed, or too long together with the "
        "organisation's."
    )

    @classmethod
    def of(cls, found: SlugAvailability, settings: Settings) -> "SlugCheck":
        """Convert the result of a check."""
        return cls(
            slug=found.slug[:MAX_ECHOED_SLUG_LENGTH],
            available=found.problem is None,
            problem=found.problem,
            url=settings.tenant_url(found.address) if found.address else None,
        )


@described_type
class ProvisioningOptions:
    """The plans and regions that createTenant and updateTenant accept, the same for every organisation."""

    plans: list[str] = strawberry.field(
        description="Codes of the plans, the one with the smallest number of tenants first."
    )
    regions: list[str] = strawberry.field(
        description="Names of the regions; createTenant uses the first when none is given."
    )
