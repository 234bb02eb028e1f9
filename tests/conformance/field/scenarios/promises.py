"""Scenarios of what holds after a cancel: no resource, no welcome email, one end event in the feed."""

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from uuid import UUID

from provisioning.moves import Backward, Forward
from provisioning.steps import ABSENCE_CHECK_DELAYS
from provisioning.wakeups import WakeUp
from runtime.settings import Settings
from tests.conformance.field.api_clients import Saga
from tests.conformance.field.calls import LAST_CALL, UNDONE_BY
from tests.conformance.field.failpoint_controller import let_time_pass, until
from tests.conformance.field.failpoints import Answers, Failpoint
from tests.conformance.field.scenario import ALL_RUNS, ScenarioHarness, scenario
from tests.conformance.field.testbed import Options
from tests.tenant_states import STEPS
from workers.broker import FORWARD_QUEUE
from workers.dispatcher import Dispatcher

LATE_CALLS = {call.partition(".")[0]: call for call in UNDONE_BY}
"""By port, the call that allocates a resource."""

MIN_DELAY = 2
"""Seconds from the undo until a call that timed out takes effect, at the least; at the most three more."""

SECOND_CHECK_WITHIN = ABSENCE_CHECK_DELAYS[0].total_seconds() + 15.0
"""Seconds until the second absence check. It is due half a minute after the first, which follows the undo; 15 s more
for an expired lease (3 s), a lost message (1.5 s) and a queue of sixty."""

AROUND_THE_PIVOT = [
    (where, step)
    for step in ("mark_active", "send_welcome_emails")
    for where in ("before claim", "after claim", "before record", "after record")
]
CANCEL_ANSWERED_WITHIN = 20.0
"""Seconds that a cancel may take. The pivot waits for the cancel that long, or only for a moment.

A statement takes 10 s at the most, and a wait for a lock 5 s.
"""

MAX_COPIES = 5
"""The maximum of deliveries of one message."""

COPY_INTERVAL = 0.05
"""Seconds between two deliveries of copies."""


@scenario(without="no_adapter_tombstones", breaks="V2")
def nothing_held_after_settling_time(harness: ScenarioHarness) -> str:
    """Calls that timed out take effect after the undo: two absence checks find no resource."""
    timed_out: set[str] = set()
    lock = threading.Lock()

    def rule(failpoint: Failpoint) -> str | None:
        with lock:
            if failpoint.where != f"before {_late_call(failpoint.stem)}" or failpoint.run_id in timed_out:
                return None
            timed_out.add(failpoint.run_id)
            return f"{Answers.LATE} 1"

    def run_one(number: int) -> Saga:
        gate = harness.testbed.controller.halt_at("before claim", step=STEPS[0], times=ALL_RUNS)
        saga = harness.owner.create(f"{list(LATE_CALLS)[number % len(LATE_CALLS)]}-{number}")
        gate.restrict_to(saga.run_id)
        halt = harness.testbed.controller.halt_at(f"before late {_late_call(saga.slug)}", run_id=saga.run_id)
        # The step is retried; the halt keeps the cancel from being too late.
        harness.testbed.controller.halt_at(f"before {LAST_CALL}", run_id=saga.run_id, times=1000, stoppable=True)
        gate.release()
        until(lambda: saga.run_id in timed_out, "V8: the call is never made")
        assert harness.cancel(saga), "V5: the cancel was refused"
        harness.checker.await_run(saga, "CANCELLED", within=60)
        halt.await_first()
        let_time_pass(MIN_DELAY + number % 4)
        halt.release()
        return saga

    before = _late_calls_ended(harness)
    harness.testbed.controller.rule(rule)
    with ThreadPoolExecutor(20) as pool:
        sagas = list(pool.map(run_one, range(harness.scaled(60, reduced=12))))
    until(lambda: _late_calls_ended(harness) >= before + len(sagas), "V8: a late call never ends")
    ends = harness.await_all_runs()

    checks = [_expect_nothing_found(harness, saga) for saga in sagas]
    harness.checker.check_all()
    return f"{ends['CANCELLED']} effects after the undo, {sum(checks)} absence checks found nothing"


@scenario(without="no_status_check_before_welcome_email", breaks="V11")
def welcome_mail_never_for_cancelled(harness: ScenarioHarness) -> str:
    """Runs are cancelled at every failpoint around the pivot: the cancelled get no welcome email, all others get it."""
    rounds = harness.scaled(6, reduced=1)
    gate = harness.testbed.controller.halt_at("before claim", step="validate_request", times=1000)
    plan = [(harness.create(), place) for place in AROUND_THE_PIVOT for _ in range(rounds)]
    halts = [harness.testbed.controller.halt_at(where, run_id=saga.run_id, step=step) for saga, (where, step) in plan]
    gate.release()
    accepted: Counter[bool] = Counter()
    rng = random.Random(1)  # reproducible, not a secret
    head_starts = [CANCEL_ANSWERED_WITHIN if rng.random() < 0.4 else rng.uniform(0, 0.2) for _ in plan]

    def run_one(number: int) -> None:
        halts[number].await_first()
        with ThreadPoolExecutor(1) as other:
            cancel = other.submit(harness.cancel, plan[number][0])
            wait([cancel], timeout=head_starts[number])
            halts[number].release()
            accepted[cancel.result()] += 1

    with ThreadPoolExecutor(len(plan)) as pool:
        list(pool.map(run_one, range(len(plan))))
    ends = harness.await_all_runs()
    live = [saga for saga, _ in plan if saga.run not in harness.checker.accepted]
    expected = {harness.owner.mail_of(saga.slug) for saga in live}
    until(lambda: expected <= set(harness.checker.mails()), "V8: a live tenant got no welcome email")
    harness.checker.check_all()
    assert accepted[True], "V11: no run was cancelled, so nothing is proved"
    assert accepted[False], "V11: no cancel was too late, so nothing is proved"
    return f"{ends['CANCELLED']} cancelled without a welcome email, {len(live)} live with one"


@scenario(without="no_due_time_check_in_claim", breaks="V9", options=Options(workers=4, lease=15))
def audit_exactly_once_with_who_why(harness: ScenarioHarness) -> str:
    """Every message is delivered one to five times, in any order: each event occurs once, with actor and reason."""
    copier = _Copier(harness.testbed.settings)
    harness.testbed.controller.rule(copier.observe)
    callers = [harness.clients.owner, harness.clients.admin, harness.clients.partner]
    count = harness.scaled(60, reduced=12)
    rng = random.Random(1)  # reproducible, not a secret
    waits = [rng.uniform(0, 2) for _ in range(count)]

    def run_one(number: int) -> None:
        saga, caller = harness.create(), callers[number % len(callers)]
        copier.stopped.wait(waits[number])
        if number % 4:
            harness.cancel(saga, caller, reason=f"reason {number} of {caller.name}")

    with ThreadPoolExecutor(12) as pool, ThreadPoolExecutor(1) as other:
        copying = other.submit(copier.copy)
        try:
            list(pool.map(run_one, range(count)))
            harness.checker.await_settled()
        finally:
            copier.stopped.set()
        copying.result()
    ends = harness.await_all_runs()
    assert copier.sent > count, f"V7: only {copier.sent} copies"
    events = harness.checker.events()
    again = [
        event["data"] for event in events if event["type"].endswith("step_started") and event["data"]["attempt"] > 1
    ]
    assert not again, f"V9: a copy started {again[0]}"
    reasons = {event["data"]["reason"] for event in events if event["type"].endswith(".cancelled")}
    assert len(reasons) == ends["CANCELLED"], f"V7: {len(reasons)} reasons for {ends['CANCELLED']} cancels"
    return f"{copier.sent} copies {ends['CANCELLED']} cancelled once each"


class _Copier:
    """Sends copies of messages that a worker is about to claim: up to four of each, at once or later, in any order."""

    def __init__(self, settings: Settings) -> None:
        self.stopped = threading.Event()
        self.sent = 0
        self._settings = settings
        self._known: set[WakeUp] = set()
        self._waiting: list[WakeUp] = []
        self._lock = threading.Lock()
        self._rng = random.Random(1)  # reproducible, not a secret

    def observe(self, failpoint: Failpoint) -> None:
        """Plan copies of a message that is seen for the first time."""
        if failpoint.where != "before claim":
            return
        wake_up = WakeUp(
            UUID(failpoint.run_id), Backward(failpoint.step) if failpoint.backward else Forward(failpoint.step)
        )
        with self._lock:
            if wake_up not in self._known:
                self._known.add(wake_up)
                self._waiting += [wake_up] * self._rng.randint(0, MAX_COPIES - 1)

    def copy(self) -> None:
        """Send the planned copies until ``stopped`` is set."""
        dispatcher = Dispatcher(self._settings)
        try:
            while not self.stopped.wait(COPY_INTERVAL):
                copies = self._next_copies()
                dispatcher(copies)
                # On a busy machine the broker may refuse some; the scenario checks that enough were sent.
                self.sent += len(copies) if dispatcher.backlog(FORWARD_QUEUE) is not None else 0
        finally:
            dispatcher.close()

    def _next_copies(self) -> list[WakeUp]:
        with self._lock:
            self._rng.shuffle(self._waiting)
            number = len(self._waiting) // 8 + 1
            self._waiting, chosen = self._waiting[number:], self._waiting[:number]
            return chosen


def _late_call(name: str) -> str | None:
    """The late call of a tenant: its slug begins with the name of the port."""
    return LATE_CALLS.get(name.partition("-")[0])


def _late_calls_ended(harness: ScenarioHarness) -> int:
    """The number of late calls that have ended so far."""
    return sum(harness.testbed.controller.seen[f"after late {call}"] for call in LATE_CALLS.values())


def _expect_nothing_found(harness: ScenarioHarness, saga: Saga) -> int:
    """Wait for the second absence check and expect that all found nothing; returns the number of checks."""

    def checks() -> list[list[str]]:
        return [check["found"] for check in harness.owner.read(saga)["run"]["absenceChecks"]]

    until(
        lambda: len(checks()) > 1,
        f"V13: {saga.slug} gets no second absence check",
        within=SECOND_CHECK_WITHIN,
        every=0.5,
    )
    found = [name for check in checks() for name in check]
    assert not found, f"V2: {found} of {saga.slug} exists after the undo"
    return len(checks())
