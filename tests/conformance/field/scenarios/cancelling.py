"""When a cancel comes: before, between and inside steps, twice, too late."""

from concurrent.futures import ThreadPoolExecutor

from tests.conformance.field.calls import CALLS
from tests.conformance.field.director import until
from tests.conformance.field.people import codes
from tests.conformance.field.processes import Wishes
from tests.conformance.field.scenario import EVERYBODY, Play, scenario
from tests.scenarios import PIVOT, STEPS


@scenario(without="no_guard_in_the_claim", breaks=("V1", "V6"), quick=True)
def cancel_queued_run(play: Play) -> str:
    """Nobody has begun: nothing begins any more."""
    gate = play.field.director.hold("before claim", times=EVERYBODY)
    sagas = [play.create() for _ in range(play.many(20, hurried=3))]
    mine = {saga.run_id for saga in sagas}
    until(lambda: mine & {moment.run_id for moment in gate.moments}, "V8: no message of these runs arrives")
    for saga in sagas:
        assert play.cancel(saga), "V5: a queued run can be cancelled"

    gate.let_go()
    ends = play.settle()

    begun = [event for event in play.checker.events() if event["type"].endswith("step_started")]
    assert not begun, f"V6: {begun[0]['data']['step']} began"
    return f"{ends['CANCELLED']} runs, no step began"


@scenario(without="no_status_in_the_claim", breaks="V6", quick=True)
def cancel_before_each_step(play: Play) -> str:
    """The message of the next step is out; the cancel overtakes it."""
    for step in STEPS:
        saga, gate = play.create_halting("before claim", step=step)
        gate.await_one()
        assert play.cancel(saga), f"V5: it had not even begun {step}"
        gate.let_go()
        play.checker.await_run(saga, "CANCELLED")
        begun = {event["data"].get("step") for event in play.checker.events(saga) if "started" in event["type"]}
        assert step not in begun, f"V6: {step} began"
    play.settle()
    return f"{len(STEPS)} steps"


@scenario(without="no_undo_of_the_step_in_flight", breaks="V13", quick=True)
def cancel_inside_each_step(play: Play) -> str:
    """Before its call outside, after the call and before the record, after the record."""
    for step in play.some(STEPS):
        gate = play.field.director.hold("before claim", step="validate_request", times=EVERYBODY)
        moments = [f"before {CALLS[step]}"] if step in CALLS else []
        moments += ["before record", "after record"]
        sagas = [play.create() for _ in moments]
        halts = [
            play.field.director.hold(moment, run_id=saga.run_id, step=step)
            for moment, saga in zip(moments, sagas, strict=True)
        ]
        # What is on record wakes whoever makes the next move; that may be the point of no return.
        pivots = [play.field.director.hold("before claim", run_id=saga.run_id, step=PIVOT) for saga in sagas]
        gate.let_go()
        for saga, halt, pivot, moment in zip(sagas, halts, pivots, moments, strict=True):
            halt.await_one()
            assert play.cancel(saga), f"V5: {moment} of {step}"
            halt.let_go()
            pivot.let_go()
        for saga in sagas:
            run = play.checker.await_run(saga, "CANCELLED")["run"]
            undone = {one["name"] for one in run["steps"] if one["status"] == "COMPENSATED"}
            assert step in undone, f"V2: {step} was not undone"
    play.settle()
    return f"{len(play.some(STEPS))} steps, 3 moments each"


@scenario(without="no_regard_for_uninterruptible_steps", breaks="V13", wishes=Wishes(saga="uninterruptible"))
def cancel_uninterruptible_step_reports_waiting(play: Play) -> str:
    """The API says what the cancel waits for; the step ends, and is undone first."""
    saga, halt = play.create_halting("before identity.create", patient=True)
    halt.await_one()
    assert play.cancel(saga), "V5: refused"
    run = play.owner.look(saga)["run"]
    waiting = {step["name"]: step["interruptible"] for step in run["steps"] if step["status"] == "RUNNING"}
    assert run["status"] == "CANCELLING", f"V6: {run['status']}"
    assert waiting == {"allocate_identity": False}, f"V13: the cancel waits for {waiting}"
    assert run["cancelRequest"]["stepInFlight"] == "allocate_identity", f"V13: {run}"

    halt.let_go()
    play.checker.await_run(saga, "CANCELLED")

    assert play.field.director.seen["after identity.create"] == 1, "V13: the step was interrupted all the same"
    undone = [one["data"]["step"] for one in play.checker.events(saga) if one["type"].endswith("step_compensated")]
    assert undone[0] == "allocate_identity", f"V3: {undone}"
    play.settle()
    return "waited for, then undone first"


@scenario(without="no_first_request", breaks="V5", quick=True)
def cancel_twice_parallel(play: Play) -> str:
    """Fifty people at once: one request, one end, and everybody is told the same."""
    saga, gate = play.create_halting("before deployer.deploy")
    gate.await_one()
    people = [play.cast.owner, play.cast.admin, play.cast.partner]
    with ThreadPoolExecutor(50) as crowd:
        answers = list(crowd.map(lambda n: people[n % 3].cancel(saga, reason=f"reason {n}"), range(50)))
    gate.let_go()

    for answer in answers:
        assert play.checker.heard(saga, answer, "somebody"), "V5: refused"
    first = [answer for answer in answers if not answer["alreadyRequested"]]
    assert len(first) == 1, f"V7: {len(first)} were told that they were first"
    play.settle()
    return "50 at once, one was first"


@scenario(without="no_word_about_being_too_late", breaks="V5", quick=True)
def cancel_after_active_refused_typed(play: Play) -> str:
    """Too late is said, with the state."""
    saga = play.create()
    play.checker.await_run(saga, "SUCCEEDED")
    answer = play.owner.cancel(saga)
    assert codes(answer) == ["INVALID_STATE"], f"V5: {answer}"
    assert answer["userErrors"][0]["currentState"] == "ACTIVE", f"V5: {answer}"
    assert not play.checker.heard(saga, answer, "the owner")
    play.settle()
    return "INVALID_STATE, ACTIVE"
