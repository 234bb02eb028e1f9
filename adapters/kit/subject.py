"""What an author hands to the kit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Factory = Callable[[], Any]
"""Gives the adapter, or a context manager that gives it and clears up behind it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An adapter under test, and the ways to put it into trouble. What is missing leaves checks untried."""

    make: Factory
    """Called for each check, and again for a second worker: every adapter it gives acts on the same outside."""

    unreachable: Factory | None = None
    """The same adapter, cut off from its outside."""

    crashing: Factory | None = None
    """The same adapter on the same outside, but creating raises when a part of it, or all, has been made."""

    hanging: Factory | None = None
    """The same adapter on an outside that does not answer. For deployers."""

    mail_to: str = ""
    """Who gets the mail of the check that sends one. For mailers."""

    domain: str = "localhost"
    """Below which host names lie. For traffic."""

    within: float = 60.0
    """Seconds in which a deployer has torn a workload down."""

    rounds: int = 10
    """How often creating and destroying race each other."""
