"""The input of the kit: an adapter under test with its variants."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Factory = Callable[[], Any]
"""Returns the adapter, or a context manager that returns it and cleans up."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An adapter under test, with variants that fail. Without a variant, the checks that need it are skipped."""

    make: Factory
    """Called for each check, and again for a second worker. All adapters must use the same infrastructure."""

    unreachable: Factory | None = None
    """The same adapter without a connection to its infrastructure."""

    crashing: Factory | None = None
    """The same adapter on the same infrastructure, but creating raises after a part, or all, was created."""

    hanging: Factory | None = None
    """The same adapter with an infrastructure that does not respond. For deployers."""

    mail_to: str = ""
    """The recipient of the test mail. For mailers."""

    domain: str = "localhost"
    """The domain of the host names. For traffic."""

    within: float = 60.0
    """Seconds that a deployer has to tear down a workload."""

    rounds: int = 10
    """Number of races between creating and destroying."""
