"""When a cancel comes: before, between and inside steps, twice, too late."""

from concurrent.futures import ThreadPoolExecutor

from tests.conformance.field.api_clients import codes
from tests.conformance.field.calls import CALLS
from tests.conformance.field.failpoint_controller import until
from tests.conformance.field.scenario import ALL_RUNS, ScenarioHarness, scenario
from tests.conformance.field.testbed import Options
from tests.scenarios import PIVOT, STEPS


@scenario(without="no_checks_in_claim", breaks=("V1", "V6"), quick=True)
def cancel_queued_run(harness: ScenarioHarness) -> str:
    """Nobody has begun: nothing begins any more."""
    gate = harness.testbed.controller.halt_at("before claim", times=ALL_RUNS)
    sagas = [harness.create() for _ in range(harness.scaled(20, reduced=3))]
    mine = {saga.run_id for saga in sagas}
    until(lambda: mine & {failpoint.run_id for failpoint in gate.failpoints}, "V8: no message of these runs arrives")
    for saga in sagas:
        assert harness.cancel(saga), "V5: a queued run can be cancelled"

    gate.release()
    ends = harness.settle()

    begun = [event for event in harness.checker.events() if event["type"].endswith("step_started")]
    assert not begun, f"V6: {begun[0]['data']['step']} began"
    return f"{ends['CANCELLED']} runs, no step began"


@scenario(without="no_status_check_in_claim", breaks="V6", quick=True)
def cancel_before_each_step(harness: ScenarioHarness) -> str:
    """The message of the next step is out; the cancel overtakes it."""
    for step in STEPS:
        saga, gate = harness.create_halted("before claim", step=step)
        gate.await_first()
        assert harness.cancel(saga), f"V5: it had not even begun {step}"
        gate.release()
        harness.checker.await_run(saga, "CANCELLED")
        begun = {event["data"].get("step") for event in harness.checker.events(saga) if "started" in event["type"]}
        assert step not in begun, f"V6: {step} began"
    harness.settle()
    return f"{len(STEPS)} steps"


@scenario(without="no_undo_of_step_in_flight", breaks="V13", quick=True)
def cancel_inside_each_step(harness: ScenarioHarness) -> str:
    """Before its call outside, after the call and before the record, after the record."""
    for step in harness.sample(STEPS):
        gate = harness.testbed.controller.halt_at("before claim", step="validate_request", times=ALL_RUNS)
        failpoints = [f"before {CALLS[step]}"] if step in CALLS else []
        failpoints += ["before record", "after record"]
        sagas = [harness.create() for _ in failpoints]
        halts = [
            harness.testbed.controller.halt_at(failpoint, run_id=saga.run_id, step=step)
            for failpoint, saga in zip(failpoints, sagas, strict=True)
        ]
        # What is on record wakes whoever makes the next move; that may be the point of no return.
        pivots = [harness.testbed.controller.halt_at("before claim", run_id=saga.run_id, step=PIVOT) for saga in sagas]
        gate.release()
        for saga, halt, pivot, failpoint in zip(sagas, halts, pivots, failpoints, strict=True):
            halt.await_first()
            assert harness.cancel(saga), f"V5: {failpoint} of {step}"
            halt.release()
            pivot.release()
        for saga in sagas:
            run = harness.checker.await_run(saga, "CANCELLED")["run"]
            undone = {one["name"] for one in run["steps"] if one["status"] == "COMPENSATED"}
            assert step in undone, f"V2: {step} was not undone"
    harness.settle()
    return f"{len(harness.sample(STEPS))} steps, 3 moments each"


@scenario(without="no_interruptible_check", breaks="V13", options=Options(saga="uninterruptible"))
def cancel_uninterruptible_step_reports_waiting(harness: ScenarioHarness) -> str:
    """The API says what the cancel waits for; the step ends, and is undone first."""
    saga, halt = harness.create_halted("before identity.create", stoppable=True)
    halt.await_first()
    assert harness.cancel(saga), "V5: refused"
    run = harness.owner.read(saga)["run"]
    waiting = {step["name"]: step["interruptible"] for step in run["steps"] if step["status"] == "RUNNING"}
    assert run["status"] == "CANCELLING", f"V6: {run['status']}"
    assert waiting == {"allocate_identity": False}, f"V13: the cancel waits for {waiting}"
    assert run["cancelRequest"]["stepInFlight"] == "allocate_identity", f"V13: {run}"

    halt.release()
    harness.checker.await_run(saga, "CANCELLED")

    assert harness.testbed.controller.seen["after identity.create"] == 1, "V13: the step was interrupted all the same"
    undone = [one["data"]["step"] for one in harness.checker.events(saga) if one["type"].endswith("step_compensated")]
    assert undone[0] == "allocate_identity", f"V3: {undone}"
    harness.settle()
    return "waited for, then undone first"


@scenario(without="no_already_requested_check", breaks="V5", quick=True)
def cancel_twice_parallel(harness: ScenarioHarness) -> str:
    """Fifty people at once: one request, one end, and everybody is told the same."""
    saga, gate = harness.create_halted("before deployer.deploy")
    gate.await_first()
    people = [harness.clients.owner, harness.clients.admin, harness.clients.partner]
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda n: people[n % 3].cancel(saga, reason=f"reason {n}"), range(50)))
    gate.release()

    for answer in answers:
        assert harness.checker.record_answer(saga, answer, "somebody"), "V5: refused"
    first = [answer for answer in answers if not answer["alreadyRequested"]]
    assert len(first) == 1, f"V7: {len(first)} were told that they were first"
    harness.settle()
    return "50 at once, one was first"


@scenario(without="no_too_late_refusal", breaks="V5", quick=True)
def cancel_after_active_refused_typed(harness: ScenarioHarness) -> str:
    """Too late is said, with the state."""
    saga = harness.create()
    harness.checker.await_run(saga, "SUCCEEDED")
    answer = harness.owner.cancel(saga)
    assert codes(answer) == ["INVALID_STATE"], f"V5: {answer}"
    assert answer["userErrors"][0]["currentState"] == "ACTIVE", f"V5: {answer}"
    assert not harness.checker.record_answer(saga, answer, "the owner")
    harness.settle()
    return "INVALID_STATE, ACTIVE"
