"""What is promised for the time after: nothing comes late, nobody is welcomed, the feed tells it once."""

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from uuid import UUID

from provisioning.moves import Backward, Forward
from provisioning.steps import ABSENCE_CHECK_DELAYS
from provisioning.wakeups import WakeUp
from runtime.settings import Settings
from tests.conformance.field.calls import LAST_CALL, UNDONE_BY
from tests.conformance.field.director import let_pass, until
from tests.conformance.field.failpoints import Answers, Failpoint
from tests.conformance.field.people import Saga
from tests.conformance.field.processes import Wishes
from tests.conformance.field.scenario import EVERYBODY, Play, scenario
from tests.scenarios import STEPS
from workers.broker import FORWARD_QUEUE
from workers.dispatcher import Dispatcher

LATE_CALLS = {call.partition(".")[0]: call for call in UNDONE_BY}
"""By port, the call that takes something."""

SOONEST = 2
"""Seconds after the undo until a call that was given up has its effect, at the least; three more at the most."""

SECOND_LOOK = ABSENCE_CHECK_DELAYS[0].total_seconds() + 15.0
"""Seconds: it comes half a minute after the first, which follows the undo; half of that again for a lapsed lease (3 s),
a lost message (1.5 s) and a queue of sixty."""

AROUND_THE_PIVOT = [
    (where, step)
    for step in ("mark_active", "send_welcome_emails")
    for where in ("before claim", "after claim", "before record", "after record")
]
LONGEST_ANSWER = 20.0
"""Seconds that a cancel may take; the point of no return waits for it, or for a moment only.

A statement takes 10 s at the most, and a wait for a lock 5 s.
"""

MOST_COPIES = 5
"""How often one message is delivered at the most."""

EVERY = 0.05
"""Seconds between two deliveries of copies."""


@scenario(without="no_tombstones_outside", breaks="V2")
def nothing_held_after_settling_time(play: Play) -> str:
    """Calls that were given up have their effect when the undo is over: nothing is held, at the second look neither."""
    given_up: set[str] = set()
    lock = threading.Lock()

    def rule(moment: Failpoint) -> str | None:
        with lock:
            if moment.where != f"before {_late_call(moment.stem)}" or moment.run_id in given_up:
                return None
            given_up.add(moment.run_id)
            return f"{Answers.LATE} 1"

    def one(number: int) -> Saga:
        gate = play.field.director.hold("before claim", step=STEPS[0], times=EVERYBODY)
        saga = play.owner.create(f"{list(LATE_CALLS)[number % len(LATE_CALLS)]}-{number}")
        gate.only(saga.run_id)
        halt = play.field.director.hold(f"before late {_late_call(saga.slug)}", run_id=saga.run_id)
        # The step is tried again, and a cancel must not be too late.
        play.field.director.hold(f"before {LAST_CALL}", run_id=saga.run_id, times=1000, patient=True)
        gate.let_go()
        until(lambda: saga.run_id in given_up, "V8: nobody came by")
        assert play.cancel(saga), "V5: refused"
        play.checker.await_run(saga, "CANCELLED", within=60)
        halt.await_one()
        let_pass(SOONEST + number % 4)
        halt.let_go()
        return saga

    before = _came(play)
    play.field.director.rule(rule)
    with ThreadPoolExecutor(20) as people:
        sagas = list(people.map(one, range(play.many(60, hurried=12))))
    until(lambda: _came(play) >= before + len(sagas), "V8: a late call never ends")
    ends = play.settle()

    looks = [_expect_nothing_found(play, saga) for saga in sagas]
    play.checker.inspect()
    return f"{ends['CANCELLED']} effects after the undo, {sum(looks)} looks found nothing"


@scenario(without="no_look_at_the_state_before_mails", breaks="V11")
def welcome_mail_never_for_cancelled(play: Play) -> str:
    """Cancels at every moment around the point of no return: whoever is cancelled gets no mail, everybody else does."""
    rounds = play.many(6, hurried=1)
    gate = play.field.director.hold("before claim", step="validate_request", times=1000)
    plan = [(play.create(), place) for place in AROUND_THE_PIVOT for _ in range(rounds)]
    halts = [play.field.director.hold(where, run_id=saga.run_id, step=step) for saga, (where, step) in plan]
    gate.let_go()
    accepted: Counter[bool] = Counter()
    chance = random.Random(1)  # a story, not a secret
    heads_start = [LONGEST_ANSWER if chance.random() < 0.4 else chance.uniform(0, 0.2) for _ in plan]

    def one(number: int) -> None:
        halts[number].await_one()
        with ThreadPoolExecutor(1) as other:
            cancel = other.submit(play.cancel, plan[number][0])
            wait([cancel], timeout=heads_start[number])
            halts[number].let_go()
            accepted[cancel.result()] += 1

    with ThreadPoolExecutor(len(plan)) as people:
        list(people.map(one, range(len(plan))))
    ends = play.settle()
    live = [saga for saga, _ in plan if saga.run not in play.checker.accepted]
    expected = {play.owner.mail_of(saga.slug) for saga in live}
    until(lambda: expected <= set(play.checker.mails()), "V8: somebody is live and was not welcomed")
    play.checker.inspect()
    assert accepted[True], "V11: nobody was cancelled, nothing is proved"
    assert accepted[False], "V11: nobody was too late, nothing is proved"
    return f"{ends['CANCELLED']} cancelled and not welcomed, {len(live)} live and welcomed"


@scenario(without="no_due_time_in_the_claim", breaks="V9", wishes=Wishes(workers=4, lease=15))
def audit_exactly_once_with_who_why(play: Play) -> str:
    """Every message comes one to five times, in any order, at four processes: each event once, with who and why."""
    copier = _Copier(play.field.settings)
    play.field.director.rule(copier.see)
    people = [play.cast.owner, play.cast.admin, play.cast.partner]
    count = play.many(60, hurried=12)
    chance = random.Random(1)  # a story, not a secret
    waits = [chance.uniform(0, 2) for _ in range(count)]

    def one(number: int) -> None:
        saga, who = play.create(), people[number % len(people)]
        copier.over.wait(waits[number])
        if number % 4:
            play.cancel(saga, who, reason=f"reason {number} of {who.name}")

    with ThreadPoolExecutor(12) as crowd, ThreadPoolExecutor(1) as other:
        copying = other.submit(copier.copy)
        try:
            list(crowd.map(one, range(count)))
            play.checker.await_settled()
        finally:
            copier.over.set()
        copying.result()
    ends = play.settle()
    assert copier.sent > count, f"V7: only {copier.sent} copies"
    events = play.checker.events()
    again = [
        event["data"] for event in events if event["type"].endswith("step_started") and event["data"]["attempt"] > 1
    ]
    assert not again, f"V9: a copy began {again[0]}"
    reasons = {event["data"]["reason"] for event in events if event["type"].endswith(".cancelled")}
    assert len(reasons) == ends["CANCELLED"], f"V7: {len(reasons)} reasons for {ends['CANCELLED']} cancels"
    return f"{copier.sent} copies {ends['CANCELLED']} cancelled once each"


class _Copier:
    """Sends again what a worker is about to claim: up to four times more, at once or later, in any order."""

    def __init__(self, settings: Settings) -> None:
        self.over = threading.Event()
        self.sent = 0
        self._settings = settings
        self._known: set[WakeUp] = set()
        self._waiting: list[WakeUp] = []
        self._lock = threading.Lock()
        self._chance = random.Random(1)  # a story, not a secret

    def see(self, moment: Failpoint) -> None:
        """Plan copies of what is met for the first time."""
        if moment.where != "before claim":
            return
        wake_up = WakeUp(UUID(moment.run_id), Backward(moment.step) if moment.backward else Forward(moment.step))
        with self._lock:
            if wake_up not in self._known:
                self._known.add(wake_up)
                self._waiting += [wake_up] * self._chance.randint(0, MOST_COPIES - 1)

    def copy(self) -> None:
        """Send what is planned until it is over."""
        dispatcher = Dispatcher(self._settings)
        try:
            while not self.over.wait(EVERY):
                copies = self._some_of_them()
                dispatcher(copies)
                # On a busy machine the broker may take none for a moment; in the end there must be enough of them.
                self.sent += len(copies) if dispatcher.backlog(FORWARD_QUEUE) is not None else 0
        finally:
            dispatcher.close()

    def _some_of_them(self) -> list[WakeUp]:
        with self._lock:
            self._chance.shuffle(self._waiting)
            some = len(self._waiting) // 8 + 1
            self._waiting, chosen = self._waiting[some:], self._waiting[:some]
            return chosen


def _late_call(name: str) -> str | None:
    """The call that is late for a tenant, whose slug begins with the port's name."""
    return LATE_CALLS.get(name.partition("-")[0])


def _came(play: Play) -> int:
    """How many late calls have ended so far."""
    return sum(play.field.director.seen[f"after late {call}"] for call in LATE_CALLS.values())


def _expect_nothing_found(play: Play, saga: Saga) -> int:
    """Wait for the second look outside; how many there were."""

    def looks() -> list[list[str]]:
        return [one["found"] for one in play.owner.look(saga)["run"]["absenceChecks"]]

    until(lambda: len(looks()) > 1, f"V13: {saga.slug} is never looked at again", within=SECOND_LOOK, every=0.5)
    found = [name for look in looks() for name in look]
    assert not found, f"V2: {found} of {saga.slug} came back after the undo"
    return len(looks())
