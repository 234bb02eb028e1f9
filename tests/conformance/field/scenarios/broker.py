"""When the broker is away, forgets everything, or loses its answers on the way."""

import random
import time
from typing import cast

from tests.conformance.field.broker_relay import LosesReplies
from tests.conformance.field.campaign import campaign
from tests.conformance.field.director import let_pass
from tests.conformance.field.processes import Wishes
from tests.conformance.field.scenario import Play, scenario

OUTAGE = 60.0
"""Seconds: four leases of 15 s, and longer than the longest rest of any thread that waits for the broker."""


@scenario(without="no_sweeper", breaks="V8")
def cancel_with_redis_down(play: Play) -> str:
    """The broker is away for a minute: cancels are accepted meanwhile, and carried out once it is back."""
    before = [play.create() for _ in range(play.many(60, hurried=4))]
    play.field.stop_broker()
    began = time.monotonic()
    sagas = before + [play.create() for _ in range(play.many(140, hurried=8))]
    took = []
    for saga in sagas[::2]:
        asked = time.monotonic()
        play.cancel(saga)
        took.append(time.monotonic() - asked)
    for saga in sagas[len(before) :: 2]:
        assert saga.run in play.checker.accepted, "V5: it cannot have been ACTIVE"
    outage = 3.0 if play.hurried else OUTAGE
    let_pass(max(0.0, began + outage - time.monotonic()))
    play.field.start_broker()
    ends = play.settle(play.within(60, in_vain=10))
    return f"away for {outage:.0f} s, slowest answer {max(took):.2f} s, {ends['CANCELLED']} of {len(sagas)} CANCELLED"


@scenario(without="nobody_is_asked_twice", breaks="V8")
def cancel_then_redis_flush(play: Play) -> str:
    """FLUSHALL while every message waits in the broker, and then at any moment."""
    for worker in play.field.workers:
        play.field.pause(worker)
    sagas = [play.create() for _ in range(play.many(40, hurried=8))]
    for saga in sagas[::2]:
        assert play.cancel(saga), "V5: nobody had begun"
    play.field.flush_broker()
    for worker in play.field.workers:
        play.field.go_on(worker)
    play.settle(play.within(60, in_vain=10))
    return f"{len(sagas)} runs lost every message; {campaign(play, play.many(200), flush, every=0.5, blows=2)}"


@scenario(without="nobody_is_asked_twice", breaks="V8", wishes=Wishes(lose_every_reply=5))
def cancel_with_lost_fetch_reply(play: Play) -> str:
    """Every fifth answer with messages in it gets lost on its way to a worker that lives on."""
    relay = cast("LosesReplies", play.field.relays[1])
    figure = campaign(play, play.many(200), nothing, within=play.within(120))
    assert relay.lost_messages, "no message was lost, so nothing was proved"
    return f"{relay.lost_messages} messages lost in {relay.lost_replies} of {relay.replies} answers; {figure}"


def flush(play: Play, _: random.Random) -> None:
    """FLUSHALL."""
    play.field.flush_broker()


def nothing(_: Play, __: random.Random) -> None:
    """The relay strikes by itself."""
