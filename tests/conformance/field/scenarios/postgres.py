"""Scenarios in which Postgres restarts, connections are cut at a commit, or clocks differ."""

import random
from typing import cast

from tests.conformance.field.invariant_checker import STARTED
from tests.conformance.field.postgres_relay import CommitCuttingRelay
from tests.conformance.field.saga_load import run_sagas
from tests.conformance.field.scenario import ScenarioHarness, scenario
from tests.conformance.field.testbed import Options

GUARDED = ("V1", "V3", "V4", "V5", "V6", "V9")
"""What the guard of every write protects. Without it, the timing decides which of them breaks first."""


@scenario(without="no_fencing_token_check", breaks=GUARDED, options=Options(cut_commits=0.02, keep_runs=True))
def cancel_across_postgres_restart(harness: ScenarioHarness) -> str:
    """Postgres crashes, connections are cut at commits: one tenant per create, and no accepted cancel is lost."""
    relay = cast("CommitCuttingRelay", harness.testbed.relays[0])
    harness.checker.moves_handed_over = True
    relay.share = 0.1 if harness.reduced else 0.02
    sagas = harness.scaled(200)
    figure = run_sagas(harness, sagas, restart, every=4, min_faults=2, max_wait=2.0)
    tenants = len(harness.checker.tenants())
    assert tenants == sagas, f"V9: {sagas} were created, and there are {tenants}"
    assert relay.statements, "void: no statement of a worker was a transaction of its own"
    assert relay.never_sent, "void: no connection was cut before a commit"
    assert relay.never_answered, "void: no connection was cut after a commit"
    return f"{relay.never_sent} commits never sent, {relay.never_answered} never answered; {figure}"


@scenario(
    without="lease_times_by_worker_clock", breaks="V8", options=Options(clocks=(-300, 300), lease=15, keep_runs=True)
)
def cancel_with_skewed_clocks(harness: ScenarioHarness) -> str:
    """One worker's clock is five minutes slow, another's five minutes fast: no run waits, each step starts once."""
    figure = run_sagas(harness, harness.scaled(200), _nothing, within=harness.within(120))
    attempts = [event["data"]["attempt"] for event in harness.checker.events() if event["type"] == STARTED]
    assert set(attempts) == {1}, f"V9: {len(attempts) - attempts.count(1)} steps were taken from a live worker"
    return f"{len(attempts)} steps, each attempted once; {figure}"


def restart(harness: ScenarioHarness, _: random.Random) -> None:
    """Crash and restart Postgres."""
    harness.testbed.restart_postgres()


def _nothing(_: ScenarioHarness, __: random.Random) -> None:
    """Inject nothing: the clocks are wrong all the time."""
