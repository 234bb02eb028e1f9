"""The ports of provisioning made real, and the choice of a world by settings."""

from adapters.registry import infrastructure

__all__ = ["infrastructure"]
