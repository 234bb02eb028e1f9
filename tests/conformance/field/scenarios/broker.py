"""Scenarios in which the broker is down, loses every message, or its replies get lost."""

import random
import time
from typing import cast

from tests.conformance.field.broker_relay import ReplyLosingRelay
from tests.conformance.field.failpoint_controller import let_time_pass
from tests.conformance.field.saga_load import run_sagas
from tests.conformance.field.scenario import ScenarioHarness, scenario
from tests.conformance.field.testbed import Options

OUTAGE = 60.0
"""Seconds: four leases of 15 s, and longer than the longest back-off of any thread that waits for the broker."""


@scenario(without="no_sweeper", breaks="V8")
def cancel_with_redis_down(harness: ScenarioHarness) -> str:
    """The broker is down for a minute: cancels are accepted meanwhile and take effect once it is back."""
    before = [harness.create() for _ in range(harness.scaled(60, reduced=4))]
    harness.testbed.stop_broker()
    began = time.monotonic()
    sagas = before + [harness.create() for _ in range(harness.scaled(140, reduced=8))]
    took = []
    for saga in sagas[::2]:
        asked = time.monotonic()
        harness.cancel(saga)
        took.append(time.monotonic() - asked)
    for saga in sagas[len(before) :: 2]:
        assert saga.run in harness.checker.accepted, "V5: the cancel was refused, but the run cannot have succeeded"
    outage = 3.0 if harness.reduced else OUTAGE
    let_time_pass(max(0.0, began + outage - time.monotonic()))
    harness.testbed.start_broker()
    ends = harness.await_all_runs(harness.within(60, without_protection=10))
    return f"down for {outage:.0f} s, slowest answer {max(took):.2f} s, {ends['CANCELLED']} of {len(sagas)} CANCELLED"


@scenario(without="no_redispatch", breaks="V8")
def cancel_then_redis_flush(harness: ScenarioHarness) -> str:
    """FLUSHALL while every message waits in the broker, and then at random times."""
    for worker in harness.testbed.workers:
        harness.testbed.pause(worker)
    sagas = [harness.create() for _ in range(harness.scaled(40, reduced=8))]
    for saga in sagas[::2]:
        assert harness.cancel(saga), "V5: the cancel of a queued run was refused"
    harness.testbed.flush_broker()
    for worker in harness.testbed.workers:
        harness.testbed.resume(worker)
    harness.await_all_runs(harness.within(60, without_protection=10))
    figure = run_sagas(harness, harness.scaled(200), flush, every=0.5, min_faults=2)
    return f"{len(sagas)} runs lost every message; {figure}"


@scenario(without="no_redispatch", breaks="V8", options=Options(lose_every_reply=5, keep_runs=True))
def cancel_with_lost_fetch_reply(harness: ScenarioHarness) -> str:
    """Every fifth reply with messages gets lost on the way to a worker that continues to run."""
    relay = cast("ReplyLosingRelay", harness.testbed.relays[1])
    figure = run_sagas(harness, harness.scaled(200), nothing, within=harness.within(120))
    assert relay.lost_messages, "void: no message was lost"
    return f"{relay.lost_messages} messages lost in {relay.lost_replies} of {relay.replies} replies; {figure}"


def flush(harness: ScenarioHarness, _: random.Random) -> None:
    """FLUSHALL."""
    harness.testbed.flush_broker()


def nothing(_: ScenarioHarness, __: random.Random) -> None:
    """Inject nothing: the relay loses replies by itself."""
