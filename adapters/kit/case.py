"""What a check works with: workers that hold the adapter, and names that nobody else uses."""

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

LOOK_EVERY = 0.05


class NotGoneInTime(Exception):
    """A deployer did not tear a workload down within the time it was given."""


class Worker:
    """A worker process with the adapter in its hands."""

    def __init__(self, adapter: Any, port: Port, subject: Subject) -> None:  # noqa: ANN401  # anybody's adapter
        self.adapter = adapter
        self._port = port
        self._subject = subject

    def create(self, names: ResourceNames) -> None:
        """Take this run's resources."""
        self._port.create(self.adapter, names, self._subject)

    def destroy(self, names: ResourceNames) -> None:
        """Undo it, and return when everything is confirmed absent. Raises NotGoneInTime."""
        deadline = time.monotonic() + self._subject.within
        while not self._port.destroy(self.adapter, names):
            if time.monotonic() > deadline:
                raise NotGoneInTime(f"{names.stem} is not gone after {self._subject.within:g} s.")
            time.sleep(LOOK_EVERY)

    def present(self, names: ResourceNames) -> list[str]:
        """What the adapter finds of this run, sorted."""
        return sorted(self.adapter.present(names))


class Case(Worker):
    """The worker of one check, who can call for others."""

    def __init__(self, port: Port, subject: Subject, stack: ExitStack) -> None:
        self.subject = subject
        self._stack = stack
        super().__init__(self._made(subject.make), port, subject)

    def another(self) -> Worker:
        """A second worker process, which remembers nothing of the first."""
        return self._worker(self.subject.make)

    def unreachable(self) -> Worker:
        """One that is cut off from the outside."""
        return self._worker(self._given("unreachable"))

    def crashing(self) -> Worker:
        """One that dies while it creates."""
        return self._worker(self._given("crashing"))

    def hanging(self) -> Worker:
        """One whose outside does not answer."""
        return self._worker(self._given("hanging"))

    def fresh(self, address: str = "", run_number: int = 1) -> ResourceNames:
        """Names for a run of a tenant that nobody has met. What is left of it is destroyed after the check."""
        names = ResourceNames(new_id(), address or f"kit-{uuid4().hex[:12]}", run_number)
        self._stack.callback(self._clear, names)
        return names

    def next_run(self, names: ResourceNames) -> ResourceNames:
        """The same tenant's next attempt."""
        following = ResourceNames(names.tenant_id, names.address, names.run_number + 1)
        self._stack.callback(self._clear, following)
        return following

    def names(self, names: ResourceNames) -> list[str]:
        """What the ledger names of this run, sorted."""
        return sorted(self._port.names(names, self.subject))

    def _clear(self, names: ResourceNames) -> None:
        with suppress(Exception):  # a check has its verdict by now, and a broken adapter may leave things behind
            self._port.destroy(self.adapter, names)

    def _given(self, name: str) -> Factory:
        factory: Factory | None = getattr(self.subject, name)
        return factory or not_tried(f"--{name}")

    def _worker(self, factory: Factory) -> Worker:
        return Worker(self._made(factory), self._port, self.subject)

    def _made(self, factory: Factory) -> Any:  # noqa: ANN401  # anybody's adapter
        made = factory()
        return self._stack.enter_context(made) if hasattr(made, "__enter__") else made


def not_tried(option: str) -> NoReturn:
    """End the check, and let the verdict say what it wanted."""
    pytest.skip(f"not tried, because it needs {option}")


def fails_for_now(act: Callable[[], object]) -> None:
    """Assert that it raises, and not that it raises Refused: that would be final."""
    with pytest.raises(Exception) as failure:  # noqa: PT011  # each adapter has its own
        act()
    assert not isinstance(failure.value, Refused), f"It was refused for good: {failure.value}"
    assert not isinstance(failure.value, NotGoneInTime), "It did not raise, it said that it is not gone yet."
