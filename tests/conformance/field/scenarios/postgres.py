"""When the product's own database restarts, cuts commits off, and when clocks differ."""

import random
from typing import cast

from tests.conformance.field.campaign import campaign
from tests.conformance.field.invariant_checker import STARTED
from tests.conformance.field.postgres_relay import CutsCommits
from tests.conformance.field.processes import Wishes
from tests.conformance.field.scenario import Play, scenario


@scenario(without="no_token_check", breaks=("V1", "V9"), wishes=Wishes(cut_commits=0.02))
def cancel_across_postgres_restart(play: Play) -> str:
    """Postgres crashes again and again, and links end at a COMMIT: each create makes one tenant, each cancel holds."""
    relay = cast("CutsCommits", play.field.relays[0])
    play.checker.handed_on = True
    relay.share = 0.1 if play.hurried else 0.02
    sagas = play.many(200)
    figure = campaign(play, sagas, restart, every=4, blows=2, longest_wait=2.0)
    tenants = len(play.checker.tenants())
    assert tenants == sagas, f"V9: {sagas} were created, and there are {tenants}"
    return f"{relay.never_sent} commits never sent, {relay.never_answered} never answered; {figure}"


@scenario(without="leases_by_the_workers_clock", breaks="V8", wishes=Wishes(clocks=(-300, 300), lease=15))
def cancel_with_skewed_clocks(play: Play) -> str:
    """One worker's clock is five minutes slow, the other's five minutes fast: nobody waits, nobody's work is taken."""
    figure = campaign(play, play.many(200), _nothing, within=play.within(120))
    attempts = [event["data"]["attempt"] for event in play.checker.events() if event["type"] == STARTED]
    assert set(attempts) == {1}, f"V9: {len(attempts) - attempts.count(1)} steps were taken from a worker that lives"
    return f"{len(attempts)} steps, each attempted once; {figure}"


def restart(play: Play, _: random.Random) -> None:
    """Postgres crashes, and is back at once."""
    play.field.restart_postgres()


def _nothing(_: Play, __: random.Random) -> None:
    """The clocks are wrong all the time."""
