"""What comes while a run is being undone: cancels, retries, failures."""

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from tests.api import Facts
from tests.conformance.field.calls import CALLS, UNDONE_BY
from tests.conformance.field.director import Hold, until
from tests.conformance.field.failpoints import Answers, Failpoint
from tests.conformance.field.people import Saga, codes
from tests.conformance.field.scenario import Play, scenario

UNDO_CALLS = {step: UNDONE_BY[call] for step, call in reversed(CALLS.items()) if call in UNDONE_BY}
"""Steps that hold something, in the order in which they are undone, and what each undo calls."""

BEGUN = ["deploy_workloads", "apply_schema", "allocate_traffic", "allocate_identity", "allocate_storage"]
"""What a run has begun when its deployment fails, last first."""

UNDO_EVENTS = ("compensation_started", "step_compensated", "compensation_failed")
RETRIERS = 4
REASON = "torn down by hand"

Place = tuple[str, str]
"""A moment, and the step at which it is meant."""


@scenario(without="no_word_of_the_cancel_at_the_end", breaks="V5")
def cancel_during_each_compensation(play: Play) -> str:
    """At each boundary of an undo and inside each, a failure's and a cancel's: the same effects in the same order."""
    places: list[Place] = [(moment, step) for step in BEGUN for moment in ("before claim", "before record")]
    places += [(f"{side} {call}", step) for step, call in UNDO_CALLS.items() for side in ("before", "after")]
    places = places[:: play.many(1, hurried=5)]
    gate = play.field.director.hold("before claim", step="validate_request", times=1000)
    undisturbed = play.create()
    failing, cancelled = ({play.create(): place for place in places} for _ in range(2))
    disturbed = failing | cancelled
    failed = _halt(play, undisturbed, "before deployer.deploy")
    deploying = [_halt(play, saga, "before deployer.deploy", patient=saga in cancelled) for saga in disturbed]

    with ThreadPoolExecutor(len(disturbed)) as stories:
        gate.let_go()
        told = [
            stories.submit(_cancel_at, play, saga, halt, *place, failing=saga in failing)
            for (saga, place), halt in zip(disturbed.items(), deploying, strict=True)
        ]
        failed.await_one()
        failed.let_go(Answers.REFUSE)
        for story in told:
            story.result()
    ends = play.settle()

    assert ends == {"CANCELLED": len(disturbed), "FAILED": 1}, f"V5: {ends}"
    wanted = _undo_of(play, undisturbed)
    for saga, place in disturbed.items():
        assert _undo_of(play, saga) == wanted, f"V3: {place} changed the undo to {_undo_of(play, saga)}"
    return f"{len(places)} places, {len(disturbed)} cancels, {len(wanted) // 2} undos each"


@scenario(without="no_stop_at_a_failed_undo", breaks="V2")
def compensation_fails_then_resume_and_skip(play: Play) -> str:
    """Undos of cancels and decommissions fail for good: named, never PENDING, resumed, or skipped with a reason."""
    steps = list(UNDO_CALLS)[:: play.many(1, hurried=2)]
    ill: dict[str, str] = {}
    play.field.director.rule(lambda moment: Answers.REFUSE if ill.get(_slug(moment)) == moment.where else None)
    gate = play.field.director.hold("before claim", step="validate_request", times=1000)
    resumed, skipped, ended = ({play.create(): step for step in steps} for _ in range(3))
    cancelled = resumed | skipped
    ill |= {saga.slug: f"before {UNDO_CALLS[step]}" for saga, step in (cancelled | ended).items()}
    halts = [(saga, _halt(play, saga, "before deployer.health", patient=True)) for saga in cancelled]
    gate.let_go()

    for saga, halt in halts:
        halt.await_one()
        assert play.cancel(saga), "V5: refused"
    for saga in ended:
        play.checker.await_run(saga, "SUCCEEDED")
        payload = play.owner.retry_until_available("decommissionTenant", tenantId=saga.id, confirmSlug=saga.slug)
        assert not payload["userErrors"], payload
    for saga, step in (cancelled | ended).items():
        _expect_stuck(play, saga, step)

    ill.clear()
    for saga in [*resumed, *ended]:
        assert not play.owner.retry_until_available("resumeCompensation", tenantId=saga.id)["userErrors"], (
            "V13: not resumed"
        )
    for saga, step in skipped.items():
        _skip(play, saga, step)
    play.checker.await_settled()

    abandoned = frozenset(name for saga in skipped for name in _abandoned(play, saga))
    ends = play.checker.inspect(abandoned=abandoned)
    count = len(steps)
    assert ends == {"CANCELLED": 2 * count, "SUCCEEDED": count, "DECOMMISSIONED": count}, f"V13: {ends}"
    return f"{3 * count} stuck, {2 * count} resumed, {count} skipped"


@scenario(without="no_wait_before_a_retry", breaks="V12")
def retry_while_cancelling_refused(play: Play) -> str:
    """Fired without a pause by several people: refused to the end, then one run and one set of resources."""
    saga, deploying = play.create_halting("before deployer.deploy", patient=True)
    deploying.await_one()
    halts = [_halt(play, saga, f"before {call}") for call in UNDO_CALLS.values()]
    assert play.cancel(saga), "V5: refused"
    halts[0].await_one()

    over = threading.Event()
    answers: list[Facts] = []
    with ThreadPoolExecutor(RETRIERS) as people:
        firing = [people.submit(_fire, play, saga, over, answers) for _ in range(RETRIERS)]
        try:
            for halt in halts:
                _expect_more_refusals(halt, answers)
            until(lambda: any(not answer["userErrors"] for answer in answers), "V12: it is never retried")
            play.checker.await_run(saga, "SUCCEEDED")
        finally:
            over.set()
        for one in firing:
            one.result()

    accepted = [answer["run"]["number"] for answer in answers if not answer["userErrors"]]
    assert accepted == [2], f"V12: retried as {accepted}"
    _expect_refused(answers, "PROVISIONING", "ACTIVE")
    told = [event["type"].rpartition(".")[2] for event in play.checker.events(saga)]
    assert told[told.index("cancelled") :].count("started") == 1, "V12: run 2 began before run 1 had ended"
    ends = play.settle()
    assert ends == {"CANCELLED": 1, "SUCCEEDED": 1}, f"V12: {ends}"
    return f"{len(answers) - 1} refusals, then one run"


@scenario(without="no_run_number_in_names", breaks="V12")
def retry_same_slug_after_cancel(play: Play) -> str:
    """Cancelled at each step, retried to the end, decommissioned, made anew under the same slug: no hand work."""
    steps = play.some([*BEGUN[::-1], "await_readiness", "mark_active"])
    gate = play.field.director.hold("before claim", step="validate_request", times=1000)
    sagas = [play.create() for _ in steps]
    halts = [_halt(play, saga, "before claim", step) for saga, step in zip(sagas, steps, strict=True)]
    gate.let_go()
    with ThreadPoolExecutor(len(steps)) as stories:
        list(stories.map(lambda one: _there_and_back(play, *one), zip(sagas, halts, strict=True)))
    ends = play.settle()
    count = len(steps)
    assert ends == {"CANCELLED": count, "SUCCEEDED": 2 * count, "DECOMMISSIONED": count}, f"V12: {ends}"
    return f"{count} tenants, 3 runs forward under each slug"


def _halt(play: Play, saga: Saga, where: str, step: str = "", *, patient: bool = False) -> Hold:
    return play.field.director.hold(where, run_id=saga.run_id, step=step, patient=patient)


def _slug(moment: Failpoint) -> str:
    """Of the tenants of this module, whose slugs are one word."""
    return moment.stem.partition("-")[0]


def _cancel_at(play: Play, saga: Saga, deploying: Hold, where: str, step: str, *, failing: bool) -> None:
    """Turn the run back at its deployment, and cancel it, first or again, at this place of its undo."""
    deploying.await_one()
    halt = play.field.director.hold(where, run_id=saga.run_id, step=step, backward=True)
    if failing:
        deploying.let_go(Answers.REFUSE)
    else:
        assert play.cancel(saga), "V5: refused"
    assert halt.await_one().backward, f"V3: {where} of {step} was not on its way back"
    answer = play.cast.admin.cancel(saga)
    assert play.checker.heard(saga, answer, "the admin"), f"V5: refused {where} of {step}"
    assert answer["alreadyRequested"] is not failing, f"V7: {answer}"
    halt.let_go()


def _undo_of(play: Play, saga: Saga) -> list[tuple[str, str]]:
    told = [(event["type"].rpartition(".")[2], event["data"].get("step")) for event in play.checker.events(saga)]
    return [(kind, step) for kind, step in told if kind in UNDO_EVENTS]


def _expect_stuck(play: Play, saga: Saga, step: str) -> None:
    """V13: named, with what is held and who may go on."""
    tenant = play.checker.await_run(saga, "STUCK", "CANCELLED", "DECOMMISSIONED")
    run = tenant["run"]
    assert run["status"] == "STUCK", f"V2: {run['status']}, and {step} could not be undone"
    assert tenant["state"] in {"PROVISIONING", "DECOMMISSIONING"}, f"V2: {tenant['state']} while it is stuck"
    assert "RESUME_COMPENSATION" in tenant["availableActions"], f"V13: {tenant['availableActions']}"
    failed = [(one["name"], bool(one["error"])) for one in run["steps"] if one["status"] == "COMPENSATION_FAILED"]
    assert failed == [(step, True)], f"V13: {failed} instead of {step}"
    [stuck] = [event["data"] for event in play.checker.events(saga) if event["type"].endswith(".stuck")]
    held = {one["name"] for one in tenant["heldResources"]}
    assert (stuck["step"], {one["name"] for one in stuck["held"]}) == (step, held), f"V13: {stuck}; held: {held}"
    assert held, "V2: nothing is said to be held"


def _skip(play: Play, saga: Saga, step: str) -> None:
    wanted = {"tenantId": saga.id, "skipSteps": [step]}
    assert codes(play.owner.retry_until_available("resumeCompensation", **wanted)), "V7: given up without a reason"
    assert not play.owner.retry_until_available("resumeCompensation", reason=REASON, **wanted)["userErrors"], (
        "V13: not resumed"
    )


def _abandoned(play: Play, saga: Saga) -> list[str]:
    """What is said to be left behind, in the ledger and in the feed, with who and why."""
    run = play.owner.look(saga)["run"]
    names = [resource["name"] for resource in run["resources"] if resource["status"] == "ABANDONED"]
    assert names, f"V2: nothing of {saga.slug} is said to be abandoned"
    [event] = [one for one in play.checker.events(saga) if one["type"].endswith("compensation_resumed")]
    said = (event["actor"]["id"], event["data"]["reason"], len(event["data"]["skipped"]))
    assert said == (play.owner.id, REASON, 1), f"V7: {said}"
    return names


def _fire(play: Play, saga: Saga, over: threading.Event, answers: list[Facts]) -> None:
    while not over.is_set():
        answers.append(play.owner.retry(saga))


def _expect_more_refusals(halt: Hold, answers: list[Facts]) -> None:
    halt.await_one()
    before = len(answers)
    until(lambda: len(answers) > before + RETRIERS, "V8: no answers")
    so_far = list(answers)  # others are still asking
    refused = [answer for answer in so_far if answer["userErrors"]]
    assert len(refused) == len(so_far), "V12: retried before its undo was over"
    _expect_refused(refused, "PROVISIONING")
    halt.let_go()


def _expect_refused(answers: Iterable[Facts], *states: str) -> None:
    for answer in list(answers):
        for error in answer["userErrors"]:
            assert (error["code"], error["currentState"] in states) == ("INVALID_STATE", True), f"V12: {error}"


def _there_and_back(play: Play, saga: Saga, halt: Hold) -> None:
    """Cancel before that step, retry, decommission, and make a new tenant under the slug."""
    halt.await_one()
    assert play.cancel(saga), "V5: refused"
    halt.let_go()
    play.checker.await_run(saga, "CANCELLED")
    assert not play.owner.retry(saga)["userErrors"], "V12: it cannot be retried"
    _expect_live(play, saga)
    payload = play.owner.retry_until_available("decommissionTenant", tenantId=saga.id, confirmSlug=saga.slug)
    assert not payload["userErrors"], f"V12: {payload}"
    play.checker.await_run(saga, "DECOMMISSIONED")
    _expect_live(play, play.owner.create(saga.slug))


def _expect_live(play: Play, saga: Saga) -> None:
    tenant = play.checker.await_run(saga, "SUCCEEDED", "FAILED")
    assert tenant["state"] == "ACTIVE", f"V12: {saga.slug} is {tenant['state']}"
    status = play.checker.edge(saga.url)
    assert status == 200, f"V12: {saga.url} answers {status}"
