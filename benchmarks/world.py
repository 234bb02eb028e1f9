"""Infrastructure that answers at once and holds nothing, so that steps on two worker processes agree.

The first word of a tenant's slug can change its behaviour: see the constants. What the benchmark has to know of a step
is appended to a file, one line for each fact.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from provisioning.ports import Health, Infrastructure, Mail, StopToken, TearDown, WorkloadOrder
from provisioning.resource_names import ResourceNames

WAITING = "waiting"
"""The workload never becomes ready."""

HELD = "held"
"""Deploying takes until the step is told to stop, in a worker with the variable HOLDS."""

FACTS, HOLDS = "BENCHMARK_FACTS", "BENCHMARK_HOLDS"
"""Variables: the file of facts, and whether this worker holds."""

LONGEST_HOLD = 600
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What happened to which tenant, or a number, with the process and the time, in seconds since the epoch."""

    what: str
    subject: str
    process: int
    at: float

    def __str__(self) -> str:
        return f"{self.what} {self.subject} {self.process} {self.at:.6f}\n"

    @classmethod
    def of(cls, line: str) -> Self:
        """Read a line of the file."""
        what, subject, process, at = line.split()
        return cls(what, subject, int(process), float(at))


@dataclass
class FactFile:
    """A file that several processes append to."""

    path: Path

    def append(self, what: str, subject: str) -> None:
        """Append a fact of now."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(descriptor, str(Fact(what, subject, os.getpid(), time.time())).encode())
        finally:
            os.close(descriptor)

    def read(self, *kinds: str) -> Iterator[Fact]:
        """The facts of these kinds, or all of them, in the order in which they were appended."""
        text = self.path.read_text() if self.path.exists() else ""
        facts = map(Fact.of, text.splitlines())
        return (fact for fact in facts if not kinds or fact.what in kinds)


class InstantWorld(Infrastructure):
    """All adapters in one object without a state."""

    def __init__(self, facts: FactFile, *, holds: bool) -> None:
        nothing = Nothing()
        super().__init__(
            storage=nothing,
            identity=NoIdentity(),
            traffic=nothing,
            deployer=InstantDeployer(facts, holds=holds),
            mailer=nothing,
        )


class Nothing:
    """Storage, traffic and mail that do nothing."""

    def create(self, names: ResourceNames) -> None:
        """Do nothing."""

    def migrate(self, names: ResourceNames) -> None:
        """Do nothing."""

    def destroy(self, names: ResourceNames) -> None:
        """Do nothing."""

    def reserve(self, names: ResourceNames) -> None:
        """Do nothing."""

    def release(self, names: ResourceNames) -> None:
        """Do nothing."""

    def send(self, mail: Mail) -> None:
        """Do nothing."""

    def present(self, names: ResourceNames) -> list[str]:  # noqa: ARG002  # the port's signature
        """Hold nothing."""
        return []


class NoIdentity:
    """Identity that does nothing."""

    def create(self, names: ResourceNames, first_admin_email: str) -> None:
        """Do nothing."""

    def destroy(self, names: ResourceNames) -> None:
        """Do nothing."""

    def present(self, names: ResourceNames) -> list[str]:  # noqa: ARG002  # the port's signature
        """Hold nothing."""
        return []


class InstantDeployer:
    """A workload that is ready at once, unless the slug says otherwise."""

    def __init__(self, facts: FactFile, *, holds: bool) -> None:
        self._facts = facts
        self._holds = holds

    def deploy(self, order: WorkloadOrder, stop_token: StopToken) -> None:
        """Return at once, except for ``HELD`` in a worker that holds. Appends ``began`` and ``told``."""
        if not _begins_with(HELD, order.names):
            return
        self._facts.append("began", order.names.address)
        if not self._holds:
            return
        try:
            stop_token.sleep(LONGEST_HOLD)
        finally:
            self._facts.append("told", order.names.address)

    def health(self, names: ResourceNames, stop_token: StopToken) -> Health:  # noqa: ARG002  # the port's signature
        """Ready, except for ``WAITING``, which appends ``looked``."""
        if _begins_with(WAITING, names):
            self._facts.append("looked", names.address)
            return Health(ready=False, percent=0, summary="The workload is starting.")
        return Health(ready=True, percent=100, summary="The workload is ready.")

    def tear_down(self, names: ResourceNames, stop_token: StopToken) -> bool | TearDown:  # noqa: ARG002  # the port's signature
        """Return at once: it is gone."""
        return True

    def present(self, names: ResourceNames) -> list[str]:  # noqa: ARG002  # the port's signature
        """Hold nothing."""
        return []


def _begins_with(word: str, names: ResourceNames) -> bool:
    return names.address.startswith(f"{word}-")
