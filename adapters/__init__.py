"""Adapters of the provisioning ports to external systems, chosen by the settings."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provisioning.ports import Infrastructure
    from runtime.database import Database
    from runtime.settings import Settings


def infrastructure(settings: "Settings", database: "Database") -> "Infrastructure":
    """Build the adapters without connecting. Raises SettingsRefused when the deployer cannot be imported."""
    # Imported here, so that python -m adapters.kit can say which package is missing.
    from adapters.registry import infrastructure as build  # noqa: PLC0415  # see above

    return build(settings, database)
