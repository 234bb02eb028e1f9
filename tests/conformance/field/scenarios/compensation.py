"""Scenarios of an undo: cancels or retries during it, undos that fail."""

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from tests.api import Facts
from tests.conformance.field.api_clients import Saga, codes
from tests.conformance.field.calls import CALLS, UNDONE_BY
from tests.conformance.field.failpoint_controller import Halt, until
from tests.conformance.field.failpoints import Answers, Failpoint
from tests.conformance.field.scenario import ScenarioHarness, scenario

UNDO_CALLS = {step: UNDONE_BY[call] for step, call in reversed(CALLS.items()) if call in UNDONE_BY}
"""The steps that allocate a resource, in the order of their undo, with the external call of each undo."""

STARTED_STEPS = ["deploy_workloads", "apply_schema", "allocate_traffic", "allocate_identity", "allocate_storage"]
"""The steps that a run has started when deploy_workloads fails, last first."""

UNDO_EVENTS = ("compensation_started", "step_compensated", "compensation_failed")
RETRIERS = 4
REASON = "released by hand"

Place = tuple[str, str]
"""A place of a failpoint, and its step."""


@scenario(without="no_cancel_check_in_outcome", breaks="V5")
def cancel_during_each_compensation(harness: ScenarioHarness) -> str:
    """A cancel at each failpoint of an undo, of a failed and of a cancelled run, does not change the undo."""
    places: list[Place] = [
        (failpoint, step) for step in STARTED_STEPS for failpoint in ("before claim", "before record")
    ]
    places += [(f"{side} {call}", step) for step, call in UNDO_CALLS.items() for side in ("before", "after")]
    places = places[:: harness.scaled(1, reduced=5)]
    gate = harness.testbed.controller.halt_at("before claim", step="validate_request", times=1000)
    undisturbed = harness.create()
    failing, cancelled = ({harness.create(): place for place in places} for _ in range(2))
    disturbed = failing | cancelled
    failed = _halt(harness, undisturbed, "before deployer.deploy")
    deploying = [_halt(harness, saga, "before deployer.deploy", stoppable=saga in cancelled) for saga in disturbed]

    with ThreadPoolExecutor(len(disturbed)) as pool:
        gate.release()
        cancels = [
            pool.submit(_cancel_at, harness, saga, halt, *place, failing=saga in failing)
            for (saga, place), halt in zip(disturbed.items(), deploying, strict=True)
        ]
        failed.await_first()
        failed.release(Answers.REFUSE)
        for cancel in cancels:
            cancel.result()
    ends = harness.await_all_runs()

    assert ends == {"CANCELLED": len(disturbed), "FAILED": 1}, f"V5: {ends}"
    expected = _undo_of(harness, undisturbed)
    for saga, place in disturbed.items():
        assert _undo_of(harness, saga) == expected, (
            f"V3: a cancel at {place} changed the undo to {_undo_of(harness, saga)}"
        )
    return f"{len(places)} places, {len(disturbed)} cancels, {len(expected) // 2} undos each"


@scenario(without="no_stop_at_failed_undo", breaks="V2")
def compensation_fails_then_resume_and_skip(harness: ScenarioHarness) -> str:
    """Undos that fail permanently make a run STUCK, not PENDING; it is resumed, or its step skipped with a reason."""
    steps = list(UNDO_CALLS)[:: harness.scaled(1, reduced=2)]
    failing_calls: dict[str, str] = {}
    harness.testbed.controller.rule(
        lambda failpoint: Answers.REFUSE if failing_calls.get(_slug(failpoint)) == failpoint.where else None
    )
    gate = harness.testbed.controller.halt_at("before claim", step="validate_request", times=1000)
    resumed, skipped, ended = ({harness.create(): step for step in steps} for _ in range(3))
    cancelled = resumed | skipped
    failing_calls |= {saga.slug: f"before {UNDO_CALLS[step]}" for saga, step in (cancelled | ended).items()}
    halts = [(saga, _halt(harness, saga, "before deployer.health", stoppable=True)) for saga in cancelled]
    gate.release()

    for saga, halt in halts:
        halt.await_first()
        assert harness.cancel(saga), "V5: the cancel was refused"
    for saga in ended:
        harness.checker.await_run(saga, "SUCCEEDED")
        payload = harness.owner.retry_until_available("decommissionTenant", tenantId=saga.id, confirmSlug=saga.slug)
        assert not payload["userErrors"], payload
    for saga, step in (cancelled | ended).items():
        _expect_stuck(harness, saga, step)

    failing_calls.clear()
    for saga in [*resumed, *ended]:
        assert not harness.owner.retry_until_available("resumeCompensation", tenantId=saga.id)["userErrors"], (
            "V13: the resume was refused"
        )
    for saga, step in skipped.items():
        _skip(harness, saga, step)
    harness.checker.await_settled()

    abandoned = frozenset(name for saga in skipped for name in _abandoned(harness, saga))
    ends = harness.checker.check_all(abandoned=abandoned)
    count = len(steps)
    assert ends == {"CANCELLED": 2 * count, "SUCCEEDED": count, "DECOMMISSIONED": count}, f"V13: {ends}"
    return f"{3 * count} stuck, {2 * count} resumed, {count} skipped"


@scenario(without="no_wait_for_undo_before_retry", breaks="V12")
def retry_while_cancelling_refused(harness: ScenarioHarness) -> str:
    """Retries by several clients are refused until the undo has finished; then exactly one run starts."""
    saga, deploying = harness.create_halted("before deployer.deploy", stoppable=True)
    deploying.await_first()
    halts = [_halt(harness, saga, f"before {call}") for call in UNDO_CALLS.values()]
    assert harness.cancel(saga), "V5: the cancel was refused"
    halts[0].await_first()

    stopped = threading.Event()
    answers: list[Facts] = []
    with ThreadPoolExecutor(RETRIERS) as pool:
        retrying = [pool.submit(_retry_until_stopped, harness, saga, stopped, answers) for _ in range(RETRIERS)]
        try:
            for halt in halts:
                _expect_more_refusals(halt, answers)
            until(lambda: any(not answer["userErrors"] for answer in answers), "V12: no retry is accepted")
            harness.checker.await_run(saga, "SUCCEEDED")
        finally:
            stopped.set()
        for one in retrying:
            one.result()

    accepted = [answer["run"]["number"] for answer in answers if not answer["userErrors"]]
    assert accepted == [2], f"V12: retried as {accepted}"
    _expect_refused(answers, "PROVISIONING", "ACTIVE")
    types = [event["type"].rpartition(".")[2] for event in harness.checker.events(saga)]
    assert types[types.index("cancelled") :].count("started") == 1, "V12: run 2 started before run 1 had finished"
    ends = harness.await_all_runs()
    assert ends == {"CANCELLED": 1, "SUCCEEDED": 1}, f"V12: {ends}"
    return f"{len(answers) - 1} refusals, then one run"


@scenario(without="no_run_number_in_resource_names", breaks="V12")
def retry_same_slug_after_cancel(harness: ScenarioHarness) -> str:
    """A tenant is cancelled at each step, retried, decommissioned and recreated with its slug, without manual work."""
    steps = harness.sample([*STARTED_STEPS[::-1], "await_readiness", "mark_active"])
    gate = harness.testbed.controller.halt_at("before claim", step="validate_request", times=1000)
    sagas = [harness.create() for _ in steps]
    halts = [_halt(harness, saga, "before claim", step) for saga, step in zip(sagas, steps, strict=True)]
    gate.release()
    with ThreadPoolExecutor(len(steps)) as pool:
        list(pool.map(lambda one: _cancel_retry_and_recreate(harness, *one), zip(sagas, halts, strict=True)))
    ends = harness.await_all_runs()
    count = len(steps)
    assert ends == {"CANCELLED": count, "SUCCEEDED": 2 * count, "DECOMMISSIONED": count}, f"V12: {ends}"
    return f"{count} tenants, 3 forward runs for each slug"


def _halt(harness: ScenarioHarness, saga: Saga, where: str, step: str = "", *, stoppable: bool = False) -> Halt:
    return harness.testbed.controller.halt_at(where, run_id=saga.run_id, step=step, stoppable=stoppable)


def _slug(failpoint: Failpoint) -> str:
    """The slug of a resource name; the slugs of these tenants have no hyphen."""
    return failpoint.stem.partition("-")[0]


def _cancel_at(harness: ScenarioHarness, saga: Saga, deploying: Halt, where: str, step: str, *, failing: bool) -> None:
    """Make the run fail or cancel it at deploy_workloads, then cancel it (again) at this place of its undo."""
    deploying.await_first()
    halt = harness.testbed.controller.halt_at(where, run_id=saga.run_id, step=step, backward=True)
    if failing:
        deploying.release(Answers.REFUSE)
    else:
        assert harness.cancel(saga), "V5: the cancel was refused"
    assert halt.await_first().backward, f"V3: {where} of {step} is not part of the undo"
    answer = harness.clients.admin.cancel(saga)
    assert harness.checker.record_answer(saga, answer, "the admin"), f"V5: refused {where} of {step}"
    assert answer["alreadyRequested"] is not failing, f"V7: {answer}"
    halt.release()


def _undo_of(harness: ScenarioHarness, saga: Saga) -> list[tuple[str, str]]:
    entries = [(event["type"].rpartition(".")[2], event["data"].get("step")) for event in harness.checker.events(saga)]
    return [(kind, step) for kind, step in entries if kind in UNDO_EVENTS]


def _expect_stuck(harness: ScenarioHarness, saga: Saga, step: str) -> None:
    """V13: a STUCK run names its failed step and held resources, and can be resumed."""
    tenant = harness.checker.await_run(saga, "STUCK", "CANCELLED", "DECOMMISSIONED")
    run = tenant["run"]
    assert run["status"] == "STUCK", f"V2: {run['status']}, although the undo of {step} failed"
    assert tenant["state"] in {"PROVISIONING", "DECOMMISSIONING"}, f"V2: {tenant['state']} while the run is STUCK"
    assert "RESUME_COMPENSATION" in tenant["availableActions"], f"V13: {tenant['availableActions']}"
    failed = [(one["name"], bool(one["error"])) for one in run["steps"] if one["status"] == "COMPENSATION_FAILED"]
    assert failed == [(step, True)], f"V13: {failed} instead of {step}"
    [stuck] = [event["data"] for event in harness.checker.events(saga) if event["type"].endswith(".stuck")]
    held = {one["name"] for one in tenant["heldResources"]}
    assert (stuck["step"], {one["name"] for one in stuck["held"]}) == (step, held), f"V13: {stuck}; held: {held}"
    assert held, "V2: the stuck run names no held resource"


def _skip(harness: ScenarioHarness, saga: Saga, step: str) -> None:
    fields = {"tenantId": saga.id, "skipSteps": [step]}
    assert codes(harness.owner.retry_until_available("resumeCompensation", **fields)), (
        "V7: a step was skipped without a reason"
    )
    assert not harness.owner.retry_until_available("resumeCompensation", reason=REASON, **fields)["userErrors"], (
        "V13: the resume was refused"
    )


def _abandoned(harness: ScenarioHarness, saga: Saga) -> list[str]:
    """The abandoned resources in the ledger, after a check of the actor and reason in the feed."""
    run = harness.owner.read(saga)["run"]
    names = [resource["name"] for resource in run["resources"] if resource["status"] == "ABANDONED"]
    assert names, f"V2: no resource of {saga.slug} is marked as abandoned"
    [event] = [one for one in harness.checker.events(saga) if one["type"].endswith("compensation_resumed")]
    said = (event["actor"]["id"], event["data"]["reason"], len(event["data"]["skipped"]))
    assert said == (harness.owner.id, REASON, 1), f"V7: {said}"
    return names


def _retry_until_stopped(harness: ScenarioHarness, saga: Saga, stopped: threading.Event, answers: list[Facts]) -> None:
    while not stopped.is_set():
        answers.append(harness.owner.retry(saga))


def _expect_more_refusals(halt: Halt, answers: list[Facts]) -> None:
    halt.await_first()
    before = len(answers)
    until(lambda: len(answers) > before + RETRIERS, "V8: no answers")
    so_far = list(answers)  # other clients continue to retry
    refused = [answer for answer in so_far if answer["userErrors"]]
    assert len(refused) == len(so_far), "V12: a retry was accepted before the undo had finished"
    _expect_refused(refused, "PROVISIONING")
    halt.release()


def _expect_refused(answers: Iterable[Facts], *states: str) -> None:
    for answer in list(answers):
        for error in answer["userErrors"]:
            assert (error["code"], error["currentState"] in states) == ("INVALID_STATE", True), f"V12: {error}"


def _cancel_retry_and_recreate(harness: ScenarioHarness, saga: Saga, halt: Halt) -> None:
    """Cancel at the halt, retry, decommission, and create a new tenant with the same slug."""
    halt.await_first()
    assert harness.cancel(saga), "V5: the cancel was refused"
    halt.release()
    harness.checker.await_run(saga, "CANCELLED")
    assert not harness.owner.retry(saga)["userErrors"], "V12: the retry was refused"
    _expect_live(harness, saga)
    payload = harness.owner.retry_until_available("decommissionTenant", tenantId=saga.id, confirmSlug=saga.slug)
    assert not payload["userErrors"], f"V12: {payload}"
    harness.checker.await_run(saga, "DECOMMISSIONED")
    _expect_live(harness, harness.owner.create(saga.slug))


def _expect_live(harness: ScenarioHarness, saga: Saga) -> None:
    tenant = harness.checker.await_run(saga, "SUCCEEDED", "FAILED")
    assert tenant["state"] == "ACTIVE", f"V12: {saga.slug} is {tenant['state']}"
    status = harness.checker.edge(saga.url)
    assert status == 200, f"V12: {saga.url} answers {status}"
