"""Everything at once."""

import random
from collections import deque
from uuid import UUID

from provisioning.moves import Backward, Forward
from provisioning.wakeups import WakeUp
from tests.conformance.field.campaign import Nemesis, campaign
from tests.conformance.field.director import let_pass, until
from tests.conformance.field.failpoints import Answers, Failpoint
from tests.conformance.field.invariant_checker import nodes
from tests.conformance.field.processes import Wishes
from tests.conformance.field.scenario import Play, scenario
from tests.conformance.field.scenarios.broker import flush
from tests.conformance.field.scenarios.postgres import restart
from tests.conformance.field.scenarios.workers import kill_one, pause_one
from workers.broker import redis_broker
from workers.dispatcher import message_of

CHANCES = {
    Answers.TRY_AGAIN: 0.02,
    Answers.REFUSE: 0.004,
    f"{Answers.LATE} 1.5": 0.01,
    f"{Answers.SLOW} 0.5": 0.02,
    f"{Answers.SLOW} 5": 0.004,
    Answers.DIE: 0.002,
}
"""What befalls a call outside or a transaction of a worker, and how likely."""

REPAIRED_WITHIN = 300.0
"""Seconds until a person has nothing left to resume, once nothing strikes: five back-offs of 60 s, the longest."""

REMEMBERED = 100
STUCK = "{ tenants(first: 100, filter: { stateIn: [PROVISIONING] }) { edges { node { id runs(first: 1) { edges { node {"
STUCK += " status } } } } } } }"


class Messages:
    """Remembers moves that were asked for, to ask for them again and again."""

    def __init__(self) -> None:
        self._seen: deque[WakeUp] = deque(maxlen=REMEMBERED)

    def note(self, moment: Failpoint) -> None:
        """Somebody got a message."""
        if moment.where == "before claim":
            move = Backward(moment.step) if moment.backward else Forward(moment.step)
            self._seen.append(WakeUp(UUID(moment.run_id), move))

    def repeat(self, play: Play, chance: random.Random) -> None:
        """Deliver old messages one to five times more, in any order."""
        copies = [wake_up for wake_up in list(self._seen) for _ in range(chance.randint(1, 5))]
        chance.shuffle(copies)
        broker = redis_broker(play.field.settings)
        for wake_up in copies:
            broker.enqueue(message_of(wake_up))
        broker.close()
        broker.client.close()


@scenario(
    without="no_token_check",
    breaks=("V1", "V3", "V4", "V9"),
    wishes=Wishes(workers=3, lose_every_reply=20, cut_commits=0.01),
    alone=True,
)
def random_faults_500(play: Play) -> str:
    """Calls fail, hang, come late and kill; workers, broker and Postgres go and come; messages get lost and doubled."""
    play.checker.handed_on = True
    chance, messages = random.Random(500), Messages()

    def fault(moment: Failpoint) -> str | None:
        messages.note(moment)
        answer = _befalls(chance.random()) if moment.run_id else None
        return answer if answer and _takes_effect(answer, moment.where) else None

    blows: list[Nemesis] = [kill_one, pause_one, take_broker_away, messages.repeat, flush, restart]

    def strike(play: Play, chance: random.Random) -> None:
        play.field.keep_up()
        chance.choice(blows)(play, chance)

    play.field.director.rule(fault)
    figure = campaign(play, play.many(500, hurried=24), strike, blows=len(blows), within=30, repair=_repair)
    struck = play.field.director.struck
    missing = {answer.split()[0] for answer in CHANCES} - struck.keys()
    assert play.hurried or not missing, f"void: nothing was told to {missing}"
    told = ", ".join(f"{count} {what}" for what, count in sorted(struck.items()))
    return f"{figure}; of calls and transactions {told}"


def take_broker_away(play: Play, chance: random.Random) -> None:
    """Valkey is away for a moment."""
    play.field.stop_broker()
    let_pass(chance.uniform(0.5, 3))
    play.field.start_broker()


def _befalls(drawn: float) -> str | None:
    for answer, likely in CHANCES.items():
        drawn -= likely
        if drawn < 0:
            return answer
    return None


def _takes_effect(answer: str, where: str) -> bool:
    """Anything can be slow or die. Only a call outside can fail, and be late before it is made."""
    if answer.startswith((Answers.SLOW, Answers.DIE)):
        return True
    outside = "." in where and " late " not in where
    return outside and (where.startswith("before") or not answer.startswith(Answers.LATE))


def _repair(play: Play) -> None:
    """Nothing strikes any more: processes are kept up, and whatever is STUCK is resumed, as an operator would."""
    play.field.director.clear()
    try:
        until(
            lambda: _nothing_is_left_to_resume(play), "V13: not everything settles", within=REPAIRED_WITHIN, every=0.5
        )
    except AssertionError as error:
        raise AssertionError(f"{error}\n{play.checker.unsettled()}") from None


def _nothing_is_left_to_resume(play: Play) -> bool:
    play.field.keep_up()
    live = nodes(play.owner.ask(STUCK)["tenants"])
    for tenant in live:
        if nodes(tenant["runs"])[0]["status"] == "STUCK":
            play.owner.retry_until_available("resumeCompensation", tenantId=tenant["id"])
    return not live
