"""What a new tenant's first administrator is told."""

from provisioning.ports import Mail
from provisioning.saga import TenantFacts


def welcome_mails(tenant: TenantFacts) -> list[Mail]:
    """Welcome, console address and onboarding, in this order."""
    return [
        _mail(tenant, f"Welcome to {tenant.name}", f"{tenant.name} is live at {tenant.url}."),
        _mail(tenant, f"Where to manage {tenant.name}", f"Its console is at {tenant.console_url}."),
        _mail(
            tenant,
            f"First steps with {tenant.name}",
            f"Applications find the signing keys at {tenant.url}/.well-known/jwks.json "
            f"and the provider's description at {tenant.url}/.well-known/openid-configuration.",
        ),
    ]


def _mail(tenant: TenantFacts, subject: str, sentence: str) -> Mail:
    return Mail(tenant.first_admin_email, subject, f"Hello,\n\n{sentence}\n")
