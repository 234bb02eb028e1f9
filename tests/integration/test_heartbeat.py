"""The heartbeat after a pause of its process that was longer than a lease."""

from contextlib import suppress

import pytest
from sqlalchemy.exc import OperationalError

from provisioning.claims import Claim
from provisioning.step_context import StopReason, StopSignal
from tests.run_harness import RunHarness
from workers import heartbeat as heartbeat_module
from workers.heartbeat import Heartbeat
from workers.running_steps import RunningSteps


class Paused:
    """A process with one heartbeat and steps that it claimed more than a lease ago."""

    def __init__(self, harness: RunHarness) -> None:
        self.running_steps = RunningSteps()
        self.heartbeat = Heartbeat(harness.database, self.running_steps, harness.settings)
        self._lease = harness.settings.lease.total_seconds()

    def keep(self, claim: Claim) -> StopSignal:
        stop_signal = self.running_steps.keep(claim)
        for running_step in self.running_steps.all_steps():
            if running_step.claim is claim:
                running_step.renewed_at -= self._lease + 1
        return stop_signal


@pytest.fixture
def paused(harness: RunHarness) -> Paused:
    return Paused(harness)


def test_after_a_long_pause_leases_are_renewed_before_a_step_is_stopped(harness: RunHarness, paused: Paused) -> None:
    harness.create()
    claim = harness.claim()
    stop_signal = paused.keep(claim)
    harness.expire_lease()
    expired = harness.run().lease_until

    paused.heartbeat.run_once()

    assert stop_signal.reason is None
    lease_until = harness.run().lease_until
    assert expired
    assert lease_until
    assert lease_until > expired
    harness.record(claim, harness.perform(claim, stop_signal))
    assert harness.steps()[0].attempts == 1


def test_after_a_long_pause_a_step_that_another_worker_has_claimed_is_stopped(
    harness: RunHarness, paused: Paused
) -> None:
    harness.create()
    lost = harness.claim()
    stop_signal = paused.keep(lost)
    harness.expire_lease()
    harness.claim()

    paused.heartbeat.run_once()

    assert stop_signal.reason is StopReason.LEASE_LOST


def test_after_a_long_pause_steps_are_stopped_when_the_renewal_fails(
    harness: RunHarness, paused: Paused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that was renewed before the failure goes on."""
    monkeypatch.setattr(heartbeat_module, "RENEWED_TOGETHER", 1)
    signals = []
    for number in range(2):
        harness.create(f"shop-{number}")
        signals.append(paused.keep(harness.claim()))
    execute, answers = harness.database.execute, iter([True])

    def fail_after_one(*args: object) -> object:
        if next(answers, False):
            return execute(*args)  # type: ignore[arg-type]  # the original's arguments
        raise OperationalError("UPDATE", {}, Exception("Postgres is away"))

    monkeypatch.setattr(harness.database, "execute", fail_after_one)

    with suppress(OperationalError):
        paused.heartbeat.run_once()

    assert [signal.reason for signal in signals] == [None, StopReason.DATABASE_UNAVAILABLE]
