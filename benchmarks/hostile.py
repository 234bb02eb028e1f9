"""How long an ordinary question takes while an attack is repeated, against the same just before: in whole processes."""

import math
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta

from benchmarks.figures import Samples
from benchmarks.processes import serving
from runtime.settings import Settings
from server.auth.tokens import sign_token
from tests import attacks
from tests.api import Client, member_identity
from tests.run_harness import RunHarness, run_harness_in

ATTACKERS = 2
PER_SECOND = 5
"""Attacks of each attacker, unless one takes longer."""

SECONDS = 0.7
"""For which an attack is repeated, and others are asked, with forty rounds."""

LOOKS = 3
"""At an attack that seems to do harm: a busy machine does too, but not every time."""

PROMISED = 2.0
"""A bystander's request stays under twice its usual time."""

EACH: dict[str, attacks.Attack] = {
    **{f"document: {name}": attacks.document_by_post(*one) for name, one in attacks.DOCUMENTS.items()},
    **{f"request: {name}": attack for name, (attack, _) in attacks.REQUESTS.items()},
    **{f"socket: {name}": attack for name, (attack, _) in attacks.WEBSOCKETS.items()},
    **{f"bytes: {name}": attack for name, (attack, _) in attacks.TCP_STREAMS.items()},
}


def run(settings: Settings, rounds: int) -> None:
    """Each attack in turn, repeated by all attackers for a while that grows with ``rounds``."""
    os.environ["TENANTRY_BUDGET"] = (
        "100000000"  # what is measured is refused for what it is, not for how often it comes
    )
    context = multiprocessing.get_context("spawn")
    with (
        run_harness_in(settings) as harness,
        serving() as (address, _),
        ProcessPoolExecutor(ATTACKERS, context) as pool,
    ):
        attacker, bystander = _client(settings, harness, address), _client(settings, harness, address)
        seconds = SECONDS * rounds / 40
        _harm(pool, "request: no token", attacker, bystander, seconds)  # everything is loaded after that
        ratios = [_harm(pool, name, attacker, bystander, seconds) for name in EACH]
    print(f"  {len(ratios)} attacks; the worst made a question take {max(ratios):.2f} times as long (median)")
    if max(ratios) >= PROMISED:
        raise SystemExit(f"promised: under {PROMISED} times")


def _harm(pool: ProcessPoolExecutor, name: str, attacker: Client, bystander: Client, seconds: float) -> float:
    """How many times as long a question takes beside the attack, by the median."""
    ratio = math.inf
    for _ in range(LOOKS):
        if ratio < PROMISED:
            break
        alone = _waits(bystander, seconds)
        attacking = [pool.submit(_repeat, name, attacker, seconds) for _ in range(ATTACKERS)]
        beside = _waits(bystander, seconds)
        ratio = beside.quantile(0.5) / alone.quantile(0.5)
        _report(name, alone, beside, max(one.result() for one in attacking))
    return ratio


def _report(name: str, alone: Samples, beside: Samples, took: float) -> None:
    before, during = ([samples.quantile(part) * 1000 for part in (0.5, 0.9)] for samples in (alone, beside))
    print(
        f"  {name:<52} {took * 1000:7.1f} ms   bystander p50 {before[0]:6.2f} to {during[0]:6.2f} ms "
        f"({during[0] / before[0]:4.2f})   p90 {before[1]:6.2f} to {during[1]:6.2f} ms"
    )


def _repeat(name: str, client: Client, seconds: float) -> float:
    """Attack for a while; the longest that one took."""
    longest, until = 0.0, time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        EACH[name](client)
        longest = max(longest, time.monotonic() - began)
        time.sleep(max(0.0, began + 1 / PER_SECOND - time.monotonic()))
    return longest


def _waits(client: Client, seconds: float) -> Samples:
    """An ordinary question again and again for as long as an attack is repeated."""
    samples, until = Samples("a question"), time.monotonic() + seconds
    while time.monotonic() < until:
        with samples.timed():
            told = attacks.send_request(client, "POST", "/graphql", attacks.QUERY)
        assert told.status == 200, told
        time.sleep(0.005)
    return samples


def _client(settings: Settings, harness: RunHarness, address: str) -> Client:
    token = sign_token(settings, member_identity(harness.organisation.id), timedelta(hours=2))
    return Client(address, f"Bearer {token}")
