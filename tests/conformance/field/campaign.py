"""Hundreds of sagas at once, half of them cancelled at any moment, while a nemesis does what it does."""

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Event

from tests.conformance.field.scenario import Play

LOADERS = 12
"""People who create and cancel at the same time."""

WITHIN = 120.0
"""Seconds until everything has settled after the last blow: twice what it may take when nothing strikes (60 s), since
a run that was struck several times has a lease or a back-off before it each time."""

Nemesis = Callable[[Play, random.Random], None]
"""One blow. It is called again and again, on the main thread, until everything was created and cancelled."""


def campaign(
    play: Play,
    sagas: int,
    nemesis: Nemesis,
    *,
    every: float = 1.0,
    blows: int = 0,
    longest_wait: float = 1.0,
    within: float = WITHIN,
    share: float = 0.5,
    repair: Callable[[Play], None] | None = None,
) -> str:
    """Create so many, cancel a share of them, strike every so many seconds and so often at least; the figure.

    Everybody waits at most ``longest_wait`` seconds between creating and cancelling. Everything has to settle
    ``within`` so many seconds after the last blow, and after the ``repair`` that needs a person.
    """
    chance = random.Random(play.field.hired)  # a story, not a secret
    over = Event()
    told: Counter[bool] = Counter()
    plans = [(chance.random() < share, chance.uniform(0, longest_wait)) for _ in range(sagas)]

    def one(to_be_cancelled: bool, after: float) -> None:  # noqa: FBT001  # as planned
        saga = play.create()
        if to_be_cancelled:
            over.wait(after)
            told[play.cancel(saga)] += 1

    with ThreadPoolExecutor(LOADERS) as people:
        loading: list[Future[None]] = [people.submit(one, *plan) for plan in plans]
        struck = 0
        while struck < blows or wait(loading, timeout=every).not_done:
            if struck < blows and not wait(loading, timeout=every).not_done:
                over.wait(every)
            nemesis(play, chance)
            struck += 1
        for done in loading:
            done.result()
    play.field.keep_up()
    if repair:
        repair(play)
    ends = play.settle(within)
    return f"{sagas} sagas, {told[True]} cancels accepted, {struck} blows: {_told(ends)}"


def _told(ends: dict[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(ends.items()))
