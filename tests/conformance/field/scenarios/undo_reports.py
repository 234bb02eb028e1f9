"""Scenarios of what operators learn about an undo: what it left behind, and that it hangs."""

from datetime import datetime
from functools import partial

from tests.api import Facts
from tests.conformance.field.api_clients import Saga
from tests.conformance.field.failpoint_controller import Halt, until
from tests.conformance.field.failpoints import Answers, Failpoint
from tests.conformance.field.invariant_checker import END_EVENTS, nodes
from tests.conformance.field.revisions import UNDO_ATTEMPTS, UNDO_SECONDS
from tests.conformance.field.scenario import ScenarioHarness, scenario
from tests.conformance.field.scenarios.compensation import UNDO_CALLS
from tests.conformance.field.testbed import Options

REASON = "removed by hand later, ticket 4711"
HELD = "nothing is held"
UNDONE_ENDS = ("CANCELLED", "FAILED", "DECOMMISSIONED")
LEFT = """
    query L($id: ID!) { tenant(id: $id) {
      state heldResources { name } abandonedResources { kind name abandonedAt abandonedReason abandonedBy { id } }
      runs(first: 1) { edges { node { status absenceChecks { found foundAbandoned }
        timeline(last: 1) { edges { node { kind message } } } } } } } }
"""
LEFT_BEHIND = """
    { tenants(first: 100, filter: {hasAbandonedResources: true}) { edges { node { slug } } } }
"""
UNDO = """
    query U($id: ID!) { tenant(id: $id) { runs(first: 1) { edges { node { status stuckSince stuckStep stuckError
      steps { name status message compensationAttempts maxCompensationAttempts compensationStartedAt
        compensationDelayedAt attemptStartedAt attemptDeadlineAt } } } } } }
"""
DELAYED = "tenant.provisioning.compensation_delayed"
TEAR_DOWN = "before deployer.tear_down"
LONGEST_UNDO = UNDO_ATTEMPTS * UNDO_SECONDS + 25.0
"""Seconds until a hanging undo has to be STUCK: its attempts, a back-off, and an expired lease with its sweep."""

THREADS = 16
"""A halted run occupies a thread: with fewer threads than halts, the run that is awaited may wait for the others."""


@scenario(without="no_list_of_abandoned_resources", breaks="V2", options=Options(forward_threads=THREADS))
def nothing_held_is_never_said_of_what_was_abandoned(harness: ScenarioHarness) -> str:
    """Undos end without a refused step: its resources are named wherever it is said what is held, with who and why."""
    steps = list(UNDO_CALLS)[:: harness.scaled(1, reduced=3)]
    refused: dict[str, str] = {}
    harness.testbed.controller.rule(
        lambda failpoint: Answers.REFUSE if refused.get(_slug(failpoint)) == failpoint.where else None
    )
    gate = _gate(harness)
    left = [(harness.create(), end, step) for end in UNDONE_ENDS for step in steps]
    clean = [(harness.create(), end) for end in UNDONE_ENDS]
    refused |= {saga.slug: f"before {UNDO_CALLS[step]}" for saga, _, step in left}
    undos = [(saga, end) for saga, end, _ in left] + clean
    halts = {saga.slug: _halt(harness, saga) for saga, end in undos if end != "DECOMMISSIONED"}
    gate.release()

    for saga, end in undos:
        _start_undo(harness, saga, end, halts.get(saga.slug))
    for saga, end, step in left:
        harness.checker.await_run(saga, "STUCK")
        fields = {"tenantId": saga.id, "skipSteps": [step], "reason": REASON}
        payload = harness.owner.retry_until_available("resumeCompensation", **fields)
        assert not payload["userErrors"], f"V13: {payload}"
        harness.checker.await_run(saga, end)
    for saga, end in clean:
        harness.checker.await_run(saga, end)

    names = {name for saga, end, step in left for name in _expect_named(harness, saga, end, step)}
    for saga, end in clean:
        _expect_nothing_left(harness, saga, end)
    page = harness.owner.execute(LEFT_BEHIND)["tenants"]
    listed = {tenant["slug"] for tenant in nodes(page)}
    assert listed == {saga.slug for saga, _, _ in left}, f"V2: {listed} are listed as having left something behind"
    harness.testbed.controller.clear()
    harness.checker.check_all(abandoned=frozenset(names))
    return f"{len(left)} undos left something behind under {len(names)} names, all told; {len(clean)} left nothing"


@scenario(
    without="no_alarm_of_delayed_undos",
    breaks="V13",
    options=Options(saga="short_undo", undo_alarm=1.5, http_deployer=True, forward_threads=THREADS),
)
def undo_that_hangs_is_told_and_bounded(harness: ScenarioHarness) -> str:
    """Undos that hang are reported once, in their first attempt, in the deployer's words, and are STUCK in time."""
    deployer = harness.testbed.deployer
    assert deployer is not None
    answers: dict[str, str] = {}
    harness.testbed.controller.rule(
        lambda failpoint: answers.get(_slug(failpoint)) if failpoint.where == TEAR_DOWN else None
    )
    gate = _gate(harness)
    count = harness.scaled(3, reduced=1)
    terminating, hanging, failing, quick = ([harness.create() for _ in range(count)] for _ in range(4))
    deployer.terminating |= {f"-{saga.slug}-" for saga in terminating}
    answers |= {saga.slug: Answers.HANG for saga in hanging} | {saga.slug: Answers.TRY_AGAIN for saga in failing}
    halts = {saga.slug: _halt(harness, saga) for saga in [*terminating, *hanging, *failing, *quick]}
    gate.release()
    for saga in [*terminating, *hanging, *failing, *quick]:
        _start_undo(harness, saga, "CANCELLED", halts[saga.slug])

    for saga in terminating:
        until(partial(_words, harness, saga), f"V13: {saga.slug} does not say what it waits for")
    for saga in [*terminating, *hanging]:
        _expect_report(harness, saga, in_words=saga in terminating)
    for saga in [*terminating, *hanging, *failing]:
        _expect_stuck(harness, saga)
    for saga in quick:
        harness.checker.await_run(saga, "CANCELLED")
        assert _reports(harness, saga) == [], f"V13: {saga.slug} is reported, but it did not hang"

    deployer.terminating.clear()
    answers.clear()
    for saga in [*terminating, *hanging, *failing]:
        payload = harness.owner.retry_until_available("resumeCompensation", tenantId=saga.id)
        assert not payload["userErrors"], f"V13: {payload}"
    ends = harness.await_all_runs()
    assert ends == {"CANCELLED": 4 * count}, f"V13: {ends}"
    for saga in [*terminating, *hanging]:
        told = (len(_reports(harness, saga)), _log_lines(harness, saga))
        assert told == (1, 1), f"V13: {saga.slug} hung once and has {told} events and log lines"
    return f"{2 * count} hanging undos reported once each, {3 * count} STUCK in time, {count} not reported"


def _gate(harness: ScenarioHarness) -> Halt:
    """A halt before the first step of every run, until the halts of the runs are set."""
    return harness.testbed.controller.halt_at("before claim", step="validate_request", times=1000)


def _halt(harness: ScenarioHarness, saga: Saga) -> Halt:
    """A halt in the last step before the pivot: every step has begun."""
    return harness.testbed.controller.halt_at("before deployer.health", run_id=saga.run_id, stoppable=True)


def _start_undo(harness: ScenarioHarness, saga: Saga, end: str, halt: Halt | None) -> None:
    """Start the undo that has this end."""
    if halt is None:
        harness.checker.await_run(saga, "SUCCEEDED")
        payload = harness.owner.retry_until_available("decommissionTenant", tenantId=saga.id, confirmSlug=saga.slug)
        assert not payload["userErrors"], payload
        return
    halt.await_first()
    if end == "FAILED":
        halt.release(Answers.REFUSE)
    else:
        assert harness.cancel(saga), "V5: the cancel was refused"


def _expect_named(harness: ScenarioHarness, saga: Saga, end: str, step: str) -> set[str]:
    """V2: what this undo left behind is named by the API, the feed, the timeline and an absence check."""
    until(lambda: _checked(harness, saga), f"V2: no absence check of {saga.slug} finds what it left behind")
    tenant, run = _read(harness, saga)
    abandoned = tenant["abandonedResources"]
    names = {resource["name"] for resource in abandoned}
    assert names, f"V2: {saga.slug} left {step} behind, and the API names nothing"
    assert tenant["heldResources"] == [], f"V2: {saga.slug} is {tenant['state']} and holds {tenant['heldResources']}"
    said = {(one["abandonedBy"]["id"], one["abandonedReason"], bool(one["abandonedAt"])) for one in abandoned}
    assert said == {(harness.owner.id, REASON, True)}, f"V2: {said}"
    found = set(run["absenceChecks"][-1]["foundAbandoned"])
    assert found == names, f"V2: an absence check of {saga.slug} found {found} instead of {names}"
    data = _end(harness, saga, end)
    told = {(one["name"], one["step"], one["reason"], bool(one["by"] and one["at"])) for one in data["abandoned"]}
    assert told == {(name, step, REASON, True) for name in names}, f"V2: the feed says {told} of {saga.slug}"
    message = _last_message(run)
    assert HELD not in message, f"V2: {saga.slug} left {names} behind, and its timeline says: {message}"
    assert all(name in message for name in names), f"V2: the timeline does not name {names}: {message}"
    return names


def _expect_nothing_left(harness: ScenarioHarness, saga: Saga, end: str) -> None:
    """V2: an undo that left nothing behind says so."""
    tenant, run = _read(harness, saga)
    left = tenant["heldResources"] + tenant["abandonedResources"] + _end(harness, saga, end)["abandoned"]
    assert left == [], f"V2: {saga.slug} has {left}"
    assert HELD in _last_message(run), f"V2: {_last_message(run)}"


def _checked(harness: ScenarioHarness, saga: Saga) -> bool:
    checks = _read(harness, saga)[1]["absenceChecks"]
    return bool(checks and checks[-1]["foundAbandoned"])


def _read(harness: ScenarioHarness, saga: Saga) -> tuple[Facts, Facts]:
    """The tenant, and its newest run."""
    tenant = harness.owner.execute(LEFT, id=saga.id)["tenant"]
    return tenant, nodes(tenant["runs"])[0]


def _end(harness: ScenarioHarness, saga: Saga, end: str) -> Facts:
    [event] = [one for one in harness.checker.events(saga) if one["type"] == END_EVENTS[end]]
    data: Facts = event["data"]
    return data


def _last_message(run: Facts) -> str:
    message: str = nodes(run["timeline"])[-1]["message"]
    return message


def _undo(harness: ScenarioHarness, saga: Saga) -> tuple[Facts, Facts]:
    """The newest run of a tenant, and its step with the workload."""
    run = nodes(harness.owner.execute(UNDO, id=saga.id)["tenant"]["runs"])[0]
    return run, next(step for step in run["steps"] if step["name"] == "deploy_workloads")


def _words(harness: ScenarioHarness, saga: Saga) -> bool:
    """Whether the API says what the undo waits for, which attempt it is, and how long it lasts."""
    _, step = _undo(harness, saga)
    said = step["message"] or ""
    return (
        said.startswith("The deployer says: workload-")
        and said.endswith(" is terminating")
        and step["compensationAttempts"] in range(1, UNDO_ATTEMPTS + 1)
        and step["maxCompensationAttempts"] == UNDO_ATTEMPTS
        and _seconds(step["attemptStartedAt"], step["attemptDeadlineAt"]) == UNDO_SECONDS
    )


def _expect_report(harness: ScenarioHarness, saga: Saga, *, in_words: bool) -> None:
    """V13: the feed reports the undo in its first attempt, and the step says so too."""
    until(lambda: _reports(harness, saga), f"V13: nothing is told of {saga.slug}", within=harness.within(30))
    [data] = _reports(harness, saga)
    assert (data["attempt"], data["max_attempts"]) == (1, UNDO_ATTEMPTS), f"V13: reported too late: {data}"
    assert data["duration_ms"] < UNDO_SECONDS * 1000, f"V13: reported too late: {data}"
    assert bool(data["message"]) is in_words, f"V13: {data}"
    assert _undo(harness, saga)[1]["compensationDelayedAt"], f"V13: the step of {saga.slug} is not marked as delayed"


def _expect_stuck(harness: ScenarioHarness, saga: Saga) -> None:
    """V13: the undo is STUCK after its attempts, and says since when and why."""
    harness.checker.await_run(saga, "STUCK", within=LONGEST_UNDO)
    run, step = _undo(harness, saga)
    assert (run["stuckStep"], bool(run["stuckError"])) == ("deploy_workloads", True), f"V13: {run}"
    assert step["compensationAttempts"] == UNDO_ATTEMPTS, f"V13: {step}"
    took = _seconds(step["compensationStartedAt"], run["stuckSince"])
    assert took < LONGEST_UNDO, f"V13: STUCK after {took:.0f} s"


def _reports(harness: ScenarioHarness, saga: Saga) -> list[Facts]:
    return [event["data"] for event in harness.checker.events(saga) if event["type"] == DELAYED]


def _log_lines(harness: ScenarioHarness, saga: Saga) -> int:
    """How many lines of all workers warn of the undo."""
    lines = [line for log in harness.testbed.folder.glob("worker-*.log") for line in log.read_text().splitlines()]
    return sum("undo is delayed" in line and "WARNING" in line and saga.run_id in line for line in lines)


def _seconds(since: str, until_: str) -> float:
    return (datetime.fromisoformat(until_) - datetime.fromisoformat(since)).total_seconds()


def _slug(failpoint: Failpoint) -> str:
    """The slug of a resource name; the slugs of these tenants have no hyphen."""
    return failpoint.stem.partition("-")[0]
