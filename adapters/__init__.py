"""Adapters of the provisioning ports to external systems, chosen by the settings."""

from adapters.registry import infrastructure

__all__ = ["infrastructure"]
