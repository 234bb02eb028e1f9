"""The ports of provisioning made real, and the choice of a world by settings."""

from adapters.worlds import world

__all__ = ["world"]
