"""A scenario with every kind of fault at random times."""

import random
from collections import deque
from typing import cast
from uuid import UUID

from provisioning.moves import Backward, Forward
from provisioning.wakeups import WakeUp
from tests.conformance.field.failpoint_controller import let_time_pass, until
from tests.conformance.field.failpoints import Answers, Failpoint
from tests.conformance.field.invariant_checker import nodes
from tests.conformance.field.postgres_relay import CommitCuttingRelay
from tests.conformance.field.saga_load import Nemesis, run_sagas
from tests.conformance.field.scenario import ScenarioHarness, scenario
from tests.conformance.field.scenarios.broker import flush
from tests.conformance.field.scenarios.postgres import GUARDED, restart
from tests.conformance.field.scenarios.workers import kill_one, pause_one
from tests.conformance.field.testbed import Options
from workers.broker import redis_broker
from workers.dispatcher import message_of

PROBABILITIES = {
    Answers.TRY_AGAIN: 0.02,
    Answers.REFUSE: 0.004,
    f"{Answers.LATE} 1.5": 0.01,
    f"{Answers.SLOW} 0.5": 0.02,
    f"{Answers.SLOW} 5": 0.004,
    Answers.DIE: 0.002,
}
"""The faults of an external call or a worker's transaction, with their probabilities."""

RESUMED_WITHIN = 300.0
"""Seconds until no run is STUCK any more once faults have stopped: five back-offs of 60 s, the longest."""

MAX_REMEMBERED = 100
STUCK = "{ tenants(first: 100, filter: { stateIn: [PROVISIONING] }) { edges { node { id runs(first: 1) { edges { node {"
STUCK += " status } } } } } } }"


class Messages:
    """Remembers messages, to deliver them again."""

    def __init__(self) -> None:
        self._seen: deque[WakeUp] = deque(maxlen=MAX_REMEMBERED)

    def remember(self, failpoint: Failpoint) -> None:
        """Remember the message of a claim."""
        if failpoint.where == "before claim":
            move = Backward(failpoint.step) if failpoint.backward else Forward(failpoint.step)
            self._seen.append(WakeUp(UUID(failpoint.run_id), move))

    def repeat(self, harness: ScenarioHarness, rng: random.Random) -> None:
        """Deliver each remembered message one to five times more, in random order."""
        copies = [wake_up for wake_up in list(self._seen) for _ in range(rng.randint(1, 5))]
        rng.shuffle(copies)
        broker = redis_broker(harness.testbed.settings)
        for wake_up in copies:
            broker.enqueue(message_of(wake_up))
        broker.close()
        broker.client.close()


@scenario(
    without="no_fencing_token_check",
    breaks=GUARDED,
    options=Options(workers=3, lose_every_reply=20, cut_commits=0.01, keep_runs=True),
    alone=True,
)
def random_faults_500(harness: ScenarioHarness) -> str:
    """Calls fail, hang, are late or kill; workers, broker and Postgres restart; messages are lost and duplicated."""
    harness.checker.moves_handed_over = True
    relay = cast("CommitCuttingRelay", harness.testbed.relays[0])
    rng, messages = random.Random(500), Messages()

    def fault(failpoint: Failpoint) -> str | None:
        messages.remember(failpoint)
        answer = _drawn_fault(rng.random()) if failpoint.run_id else None
        return answer if answer and _takes_effect(answer, failpoint.where) else None

    nemeses: list[Nemesis] = [kill_one, pause_one, take_broker_away, messages.repeat, flush, restart]

    def inject_one(harness: ScenarioHarness, rng: random.Random) -> None:
        harness.testbed.replace_dead_workers()
        rng.choice(nemeses)(harness, rng)

    harness.testbed.controller.rule(fault)
    figure = run_sagas(
        harness,
        harness.scaled(500, reduced=24),
        inject_one,
        min_faults=len(nemeses),
        within=30,
        repair=_resume_stuck_runs,
    )
    injected = harness.testbed.controller.injected
    missing = {answer.split()[0] for answer in PROBABILITIES} - injected.keys()
    assert harness.reduced or not missing, f"void: faults that never occurred: {missing}"
    cut = relay.never_sent + relay.never_answered
    assert harness.reduced or cut, "void: no connection was cut at a commit"
    counts = ", ".join(f"{count} {what}" for what, count in sorted(injected.items()))
    return f"{figure}; in calls and transactions {counts}; {cut} connections cut at a commit"


def take_broker_away(harness: ScenarioHarness, rng: random.Random) -> None:
    """Stop Valkey for 0.5 to 3 s."""
    harness.testbed.stop_broker()
    let_time_pass(rng.uniform(0.5, 3))
    harness.testbed.start_broker()


def _drawn_fault(drawn: float) -> str | None:
    for answer, likely in PROBABILITIES.items():
        drawn -= likely
        if drawn < 0:
            return answer
    return None


def _takes_effect(answer: str, where: str) -> bool:
    """Every failpoint can be slow or die. Only an external call can fail; only before it is made can it be late."""
    if answer.startswith((Answers.SLOW, Answers.DIE)):
        return True
    outside = "." in where and " late " not in where
    return outside and (where.startswith("before") or not answer.startswith(Answers.LATE))


def _resume_stuck_runs(harness: ScenarioHarness) -> None:
    """Stop all faults, replace dead workers and resume every STUCK run, as an operator would."""
    harness.testbed.controller.clear()
    try:
        until(
            lambda: _nothing_is_left_to_resume(harness), "V13: not every run finishes", within=RESUMED_WITHIN, every=0.5
        )
    except AssertionError as error:
        raise AssertionError(f"{error}\n{harness.checker.unsettled()}") from None


def _nothing_is_left_to_resume(harness: ScenarioHarness) -> bool:
    harness.testbed.replace_dead_workers()
    live = nodes(harness.owner.execute(STUCK)["tenants"])
    for tenant in live:
        if nodes(tenant["runs"])[0]["status"] == "STUCK":
            harness.owner.retry_until_available("resumeCompensation", tenantId=tenant["id"])
    return not live
