"""The context of a check: workers that use the adapter, with unique names."""

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, NoReturn
from uuid import uuid4

import pytest

from adapters.kit.ports import Port
from adapters.kit.subject import Factory, Subject
from models.columns import new_id
from provisioning.ports import Refused
from provisioning.resource_names import ResourceNames

POLL_INTERVAL = 0.05
"""Seconds."""


class NotGoneInTime(Exception):
    """A deployer did not tear down a workload within the time limit."""


class Worker:
    """A worker process that uses the adapter."""

    def __init__(self, adapter: Any, port: Port, subject: Subject) -> None:  # noqa: ANN401  # any adapter
        self.adapter = adapter
        self._port = port
        self._subject = subject

    def create(self, names: ResourceNames) -> None:
        """Create the resources of the run."""
        self._port.create(self.adapter, names, self._subject)

    def destroy(self, names: ResourceNames) -> None:
        """Destroy the resources, and return when they are confirmed absent. Raises NotGoneInTime."""
        deadline = time.monotonic() + self._subject.within
        while not self._port.destroy(self.adapter, names):
            if time.monotonic() > deadline:
                raise NotGoneInTime(f"{names.stem} is still present after {self._subject.within:g} s.")
            time.sleep(POLL_INTERVAL)

    def present(self, names: ResourceNames) -> list[str]:
        """The names that the adapter finds for the run, sorted."""
        return sorted(self.adapter.present(names))


class CheckContext(Worker):
    """The worker of one check, with other workers on demand."""

    def __init__(self, port: Port, subject: Subject, stack: ExitStack) -> None:
        self.subject = subject
        self._stack = stack
        super().__init__(self._make(subject.make), port, subject)

    def another_worker(self) -> Worker:
        """A second worker process, which shares no memory with the first."""
        return self._worker(self.subject.make)

    def unreachable(self) -> Worker:
        """A worker without a connection to the infrastructure."""
        return self._worker(self._factory("unreachable"))

    def crashing(self) -> Worker:
        """A worker that crashes while it creates."""
        return self._worker(self._factory("crashing"))

    def hanging(self) -> Worker:
        """A worker with an infrastructure that does not respond."""
        return self._worker(self._factory("hanging"))

    def new_names(self, address: str = "", run_number: int = 1) -> ResourceNames:
        """The names of a run of a new tenant. Its resources are destroyed after the check."""
        names = ResourceNames(new_id(), address or f"kit-{uuid4().hex[:12]}", run_number)
        self._stack.callback(self._clear, names)
        return names

    def next_run(self, names: ResourceNames) -> ResourceNames:
        """The names of the next run of the same tenant."""
        following = ResourceNames(names.tenant_id, names.address, names.run_number + 1)
        self._stack.callback(self._clear, following)
        return following

    def ledger_names(self, names: ResourceNames) -> list[str]:
        """The names that the ledger has for the run, sorted."""
        return sorted(self._port.names(names, self.subject))

    def _clear(self, names: ResourceNames) -> None:
        with suppress(Exception):  # the check has ended, and a broken adapter may fail here
            self._port.destroy(self.adapter, names)

    def _factory(self, name: str) -> Factory:
        factory: Factory | None = getattr(self.subject, name)
        return factory or skip_without(f"--{name}")

    def _worker(self, factory: Factory) -> Worker:
        return Worker(self._make(factory), self._port, self.subject)

    def _make(self, factory: Factory) -> Any:  # noqa: ANN401  # any adapter
        made = factory()
        return self._stack.enter_context(made) if hasattr(made, "__enter__") else made


def skip_without(option: str) -> NoReturn:
    """Skip the check, because the option is missing."""
    pytest.skip(f"needs {option}")


def assert_fails_temporarily(act: Callable[[], object]) -> None:
    """Assert that ``act`` raises an error other than Refused, which would be permanent."""
    with pytest.raises(Exception) as failure:  # noqa: PT011  # each adapter has its own
        act()
    assert not isinstance(failure.value, Refused), f"It was refused permanently: {failure.value}"
    assert not isinstance(failure.value, NotGoneInTime), "It did not raise, but reported present resources."
