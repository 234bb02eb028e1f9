"""When a cancel comes: before, between and inside steps, twice, too late."""

from concurrent.futures import ThreadPoolExecutor

from tests.conformance.field.people import codes
from tests.conformance.field.scenario import Play, scenario
from tests.scenes import STEPS


@scenario(without="no_status_in_the_claim", quick=True)
def cancel_queued_run(play: Play) -> str:
    """Nobody has begun: nothing begins any more."""
    gate = play.field.director.hold("before claim", times=1000)
    sagas = [play.create() for _ in range(play.many(20, hurried=3))]
    gate.await_one()
    for saga in sagas:
        assert play.cancel(saga), "V5: a queued run can be cancelled"

    gate.let_go()
    ends = play.settle()

    begun = [event for event in play.witness.events() if event["type"].endswith("step_started")]
    assert not begun, f"V6: {begun[0]['data']['step']} began"
    return f"{ends['CANCELLED']} runs, no step began"


@scenario(without="no_status_in_the_claim", quick=True)
def cancel_before_each_step(play: Play) -> str:
    """The message of the next step is out; the cancel overtakes it."""
    for step in STEPS:
        gate = play.field.director.hold("before claim", step=step)
        saga = play.create()
        gate.await_one()
        assert play.cancel(saga), f"V5: it had not even begun {step}"
        gate.let_go()
        play.witness.await_run(saga, "CANCELLED")
        begun = {event["data"].get("step") for event in play.witness.events(saga) if "started" in event["type"]}
        assert step not in begun, f"V6: {step} began"
    play.settle()
    return f"{len(STEPS)} steps"


@scenario(without="no_status_in_the_claim", quick=True)
def cancel_twice_parallel(play: Play) -> str:
    """Fifty people at once: one request, one end, and everybody is told the same."""
    gate = play.field.director.hold("before deployer.deploy")
    saga = play.create()
    gate.await_one()
    people = [play.cast.owner, play.cast.admin, play.cast.partner]
    with ThreadPoolExecutor(50) as crowd:
        answers = list(crowd.map(lambda n: people[n % 3].cancel(saga, reason=f"reason {n}"), range(50)))
    gate.let_go()

    for answer in answers:
        assert play.witness.heard(saga, answer, "somebody"), "V5: refused"
    first = [answer for answer in answers if not answer["alreadyRequested"]]
    assert len(first) == 1, f"V7: {len(first)} were told that they were first"
    play.settle()
    return "50 at once, one was first"


@scenario(without="no_status_in_the_claim", quick=True)
def cancel_after_active_refused_typed(play: Play) -> str:
    """Too late is said, with the state."""
    saga = play.create()
    play.witness.await_run(saga, "SUCCEEDED")
    answer = play.owner.cancel(saga)
    assert codes(answer) == ["INVALID_STATE"], f"V5: {answer}"
    assert answer["userErrors"][0]["currentState"] == "ACTIVE", f"V5: {answer}"
    assert not play.witness.heard(saga, answer, "the owner")
    play.settle()
    return "INVALID_STATE, ACTIVE"
