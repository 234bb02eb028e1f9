"""The scenario of a tenants' Postgres with too few connections."""

from tests.conformance.field.failpoint_controller import until
from tests.conformance.field.scenario import ScenarioHarness, scenario
from tests.conformance.field.testbed import Options

CONNECTIONS = 2
"""Fewer than the workers have threads: most calls find no free connection."""

WITHIN = 240.0
"""Seconds until every run has ended: with two connections the runs wait for each other."""


@scenario(
    without="no_wait_for_capacity",
    breaks="V13",
    options=Options(forward_threads=8, compensation_threads=6, tenant_connections=CONNECTIONS),
)
def scarcity_is_no_failure(harness: ScenarioHarness) -> str:
    """With too few connections to the tenants' Postgres, runs and cancels only wait: no attempt is counted."""
    sagas = [harness.create() for _ in range(harness.scaled(24, reduced=12))]
    until(
        lambda: any(_found_none(harness, saga.id) for saga in sagas),
        "V13: no run waits for a connection, so nothing is proved",
    )
    cancelled = [saga for saga in sagas[::2] if harness.cancel(saga)]
    # A step that counts its attempts pauses for 90 s before the last one.
    ends = harness.await_all_runs(within=harness.within(WITHIN, without_protection=180.0))

    assert ends == {"CANCELLED": len(cancelled), "SUCCEEDED": len(sagas) - len(cancelled)}, f"V13: {ends}"
    for saga in sagas:
        for step in harness.owner.read(saga)["run"]["steps"]:
            counted = (step["attempts"], step["compensationAttempts"])
            assert max(counted) <= 1, f"V13: {saga.slug}, {step['name']}: attempts were counted: {counted}"
    return f"{CONNECTIONS} connections, {len(sagas)} runs, {len(cancelled)} cancelled, each step in one attempt"


def _found_none(harness: ScenarioHarness, tenant: str) -> bool:
    """Whether a step of the tenant says that it found no connection."""
    document = "query Q($id: ID!) { tenant(id: $id) { currentRun { steps { message error compensationError } } } }"
    run = harness.owner.execute(document, id=tenant)["tenant"]["currentRun"]
    return bool(run) and "too many connections" in str(run["steps"])
