"""A scenario of bulk cancels."""

import math
import random
import time
from concurrent.futures import ThreadPoolExecutor

from tests.api import Facts
from tests.conformance.field.api_clients import Saga
from tests.conformance.field.failpoint_controller import Halt, until
from tests.conformance.field.failpoints import Answers, Failpoint
from tests.conformance.field.scenario import ScenarioHarness, scenario

MAX_TENANTS_PER_CALL = 500
"""Tenants in one call, the maximum of the API."""

LOADERS = 12
"""Clients that create at the same time; one client cancels."""

REASON = "bulk cancel"
ACCEPTED_WITHIN = 2.0
"""Seconds for 500 tenants in one call: it took 0.6 s on two idle cores. Measured without another scenario beside it."""

SETTLED_WITHIN = 180.0
"""Seconds for two thousand undos, most of runs without resources: three times the 58 s on two idle cores."""

BACKING_OFF_WITHIN = 120.0
"""Seconds for a hundred runs to reach their sixth step, a precondition: 120 whole runs in sequence took as long at a
load of 20 on two cores (1.3 s each, and some of them ran at the same time)."""


@scenario(without="no_status_check_in_claim", breaks="V6", alone=True)
def bulk_cancel_2000(harness: ScenarioHarness) -> str:
    """Two thousand tenants, queued, in progress or backing off, are cancelled by bulk calls in random order."""
    sagas, gate = _prepare(harness, harness.scaled(2000, reduced=40))
    random.Random(1).shuffle(sagas)  # reproducible, not a secret
    most = harness.scaled(MAX_TENANTS_PER_CALL, reduced=10)
    batches = [sagas[start : start + most] for start in range(0, len(sagas), most)]

    gate.release()
    took = sorted(_cancel(harness, batch) for batch in batches)
    began = time.monotonic()
    ends = harness.await_all_runs(within=60 if harness.reduced else SETTLED_WITHIN)
    settled = time.monotonic() - began

    assert ends == {"CANCELLED": len(sagas)}, f"V5: {ends}"
    slowest = took[math.ceil(0.99 * len(took)) - 1]
    assert harness.reduced or slowest < ACCEPTED_WITHIN, (
        f"V13: accepted after {slowest:.1f} s (p99 of {len(took)} calls)"
    )
    return f"{len(sagas)} tenants in {len(took)} calls, accepted in {slowest:.2f} s, settled in {settled:.0f} s"


def _prepare(harness: ScenarioHarness, count: int) -> tuple[list[Saga], Halt]:
    """One run in twenty has resources and backs off; one for each thread is in progress; all others are queued."""
    controller, backing_off = harness.testbed.controller, set[str]()

    def fail(failpoint: Failpoint) -> str | None:
        if failpoint.where != "before deployer.health":
            return None
        backing_off.add(failpoint.run_id)
        return Answers.TRY_AGAIN

    controller.rule(fail)
    with ThreadPoolExecutor(LOADERS) as pool:
        sagas = list(pool.map(lambda _: harness.create(), range(count // 20)))
        expected = {saga.run_id for saga in sagas}
        until(lambda: expected <= backing_off, "void: not every run reaches its sixth step", within=BACKING_OFF_WITHIN)
        gate = controller.halt_at("before claim", step="validate_request", times=1_000_000)
        sagas += pool.map(lambda _: harness.create(), range(count - len(sagas)))
    return sagas, gate


def _cancel(harness: ScenarioHarness, sagas: list[Saga]) -> float:
    """Cancel these tenants in one call; returns the seconds that it took."""
    began = time.monotonic()
    payload = harness.owner.retry_until_available(
        "cancelProvisionings", tenantIds=[saga.id for saga in sagas], reason=REASON
    )
    took = time.monotonic() - began
    results: list[Facts] = payload["results"]
    assert len(results) == len(sagas), f"V5: {payload['userErrors']}"
    for saga, result in zip(sagas, results, strict=True):
        assert harness.checker.record_answer(saga, result, "the owner"), f"V5: {saga.slug} was refused"
    return took
