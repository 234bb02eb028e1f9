"""Scenarios of one cancel at different times: before, between and inside steps, twice, too late."""

from concurrent.futures import ThreadPoolExecutor

from tests.conformance.field.api_clients import codes
from tests.conformance.field.calls import CALLS
from tests.conformance.field.failpoint_controller import until
from tests.conformance.field.scenario import ALL_RUNS, ScenarioHarness, scenario
from tests.conformance.field.testbed import Options
from tests.tenant_states import PIVOT, STEPS


@scenario(without="no_checks_in_claim", breaks=("V1", "V6"), quick=True)
def cancel_queued_run(harness: ScenarioHarness) -> str:
    """A run is cancelled before its first step: no step starts."""
    gate = harness.testbed.controller.halt_at("before claim", times=ALL_RUNS)
    sagas = [harness.create() for _ in range(harness.scaled(20, reduced=3))]
    mine = {saga.run_id for saga in sagas}
    until(
        lambda: mine & {failpoint.run_id for failpoint in gate.failpoints}, "V8: no message of these runs is delivered"
    )
    for saga in sagas:
        assert harness.cancel(saga), "V5: the cancel of a queued run was refused"

    gate.release()
    ends = harness.await_all_runs()

    begun = [event for event in harness.checker.events() if event["type"].endswith("step_started")]
    assert not begun, f"V6: {begun[0]['data']['step']} started"
    return f"{ends['CANCELLED']} runs, no step started"


@scenario(without="no_status_check_in_claim", breaks="V6", quick=True)
def cancel_before_each_step(harness: ScenarioHarness) -> str:
    """A run is cancelled while the message for its next step is on the way: the step does not start."""
    for step in STEPS:
        saga, gate = harness.create_halted("before claim", step=step)
        gate.await_first()
        assert harness.cancel(saga), f"V5: refused before {step}"
        gate.release()
        harness.checker.await_run(saga, "CANCELLED")
        begun = {event["data"].get("step") for event in harness.checker.events(saga) if "started" in event["type"]}
        assert step not in begun, f"V6: {step} started"
    harness.await_all_runs()
    return f"{len(STEPS)} steps"


@scenario(without="no_undo_of_step_in_flight", breaks="V13", quick=True)
def cancel_inside_each_step(harness: ScenarioHarness) -> str:
    """A run is cancelled before a step's external call, before its record or after its record: the step is undone."""
    for step in harness.sample(STEPS):
        gate = harness.testbed.controller.halt_at("before claim", step="validate_request", times=ALL_RUNS)
        failpoints = [f"before {CALLS[step]}"] if step in CALLS else []
        failpoints += ["before record", "after record"]
        sagas = [harness.create() for _ in failpoints]
        halts = [
            harness.testbed.controller.halt_at(failpoint, run_id=saga.run_id, step=step)
            for failpoint, saga in zip(failpoints, sagas, strict=True)
        ]
        # After the record, another worker may make the next move, which may be the pivot.
        pivots = [harness.testbed.controller.halt_at("before claim", run_id=saga.run_id, step=PIVOT) for saga in sagas]
        gate.release()
        for saga, halt, pivot, failpoint in zip(sagas, halts, pivots, failpoints, strict=True):
            halt.await_first()
            assert harness.cancel(saga), f"V5: refused {failpoint} of {step}"
            halt.release()
            pivot.release()
        for saga in sagas:
            run = harness.checker.await_run(saga, "CANCELLED")["run"]
            undone = {one["name"] for one in run["steps"] if one["status"] == "COMPENSATED"}
            assert step in undone, f"V2: {step} was not undone"
    harness.await_all_runs()
    return f"{len(harness.sample(STEPS))} steps, 3 places each"


@scenario(without="no_interruptible_check", breaks="V13", options=Options(saga="uninterruptible"))
def cancel_uninterruptible_step_reports_waiting(harness: ScenarioHarness) -> str:
    """The API names the uninterruptible step that the cancel waits for; the step finishes and is undone first."""
    saga, halt = harness.create_halted("before identity.create", stoppable=True)
    halt.await_first()
    assert harness.cancel(saga), "V5: the cancel was refused"
    run = harness.owner.read(saga)["run"]
    waiting = {step["name"]: step["interruptible"] for step in run["steps"] if step["status"] == "RUNNING"}
    assert run["status"] == "CANCELLING", f"V6: {run['status']}"
    assert waiting == {"allocate_identity": False}, f"V13: the cancel waits for {waiting}"
    assert run["cancelRequest"]["stepInFlight"] == "allocate_identity", f"V13: {run}"

    halt.release()
    harness.checker.await_run(saga, "CANCELLED")

    assert harness.testbed.controller.seen["after identity.create"] == 1, "V13: the step was interrupted"
    undone = [one["data"]["step"] for one in harness.checker.events(saga) if one["type"].endswith("step_compensated")]
    assert undone[0] == "allocate_identity", f"V3: {undone}"
    harness.await_all_runs()
    return "waited for, then undone first"


@scenario(without="no_already_requested_check", breaks="V5", quick=True)
def cancel_twice_parallel(harness: ScenarioHarness) -> str:
    """Fifty concurrent cancels are one request: all get the same answer, and one of them is the first."""
    saga, gate = harness.create_halted("before deployer.deploy")
    gate.await_first()
    clients = [harness.clients.owner, harness.clients.admin, harness.clients.partner]
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda n: clients[n % 3].cancel(saga, reason=f"reason {n}"), range(50)))
    gate.release()

    for answer in answers:
        assert harness.checker.record_answer(saga, answer, "a client"), "V5: the cancel was refused"
    first = [answer for answer in answers if not answer["alreadyRequested"]]
    assert len(first) == 1, f"V7: {len(first)} answers without alreadyRequested"
    harness.await_all_runs()
    return "50 concurrent cancels, one was the first"


@scenario(without="no_too_late_refusal", breaks="V5", quick=True)
def cancel_after_active_refused_typed(harness: ScenarioHarness) -> str:
    """A cancel of an ACTIVE tenant is refused with INVALID_STATE and the current state."""
    saga = harness.create()
    harness.checker.await_run(saga, "SUCCEEDED")
    answer = harness.owner.cancel(saga)
    assert codes(answer) == ["INVALID_STATE"], f"V5: {answer}"
    assert answer["userErrors"][0]["currentState"] == "ACTIVE", f"V5: {answer}"
    assert not harness.checker.record_answer(saga, answer, "the owner")
    harness.await_all_runs()
    return "INVALID_STATE, ACTIVE"
