"""The latency of an ordinary query during an attack, compared with its latency just before, in real processes."""

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
"""Attacks per second of each attacker, unless one takes longer."""

SECONDS = 0.7
"""Duration of an attack, and of the queries during it, with forty rounds."""

ATTEMPTS = 3
"""Measurements of an attack that exceeds the limit, because a busy machine may be the cause."""

MAX_RATIO = 2.0
"""The latency of another client's query during an attack must stay under twice its usual latency."""

ATTACKS: dict[str, attacks.Attack] = {
    **{f"document: {name}": attacks.document_by_post(*document) for name, document in attacks.DOCUMENTS.items()},
    **{f"request: {name}": attack for name, (attack, _) in attacks.REQUESTS.items()},
    **{f"socket: {name}": attack for name, (attack, _) in attacks.WEBSOCKETS.items()},
    **{f"bytes: {name}": attack for name, (attack, _) in attacks.TCP_STREAMS.items()},
}


def run(settings: Settings, rounds: int) -> None:
    """Run each attack with all attackers, for a duration proportional to ``rounds``."""
    for bucket in ("TENANTRY_BUDGET", "TENANTRY_ORGANISATION_BUDGET"):
        os.environ[bucket] = "100000000"  # so that the rate limit does not refuse the attacks
    context = multiprocessing.get_context("spawn")
    with (
        run_harness_in(settings) as harness,
        serving() as (address, _),
        ProcessPoolExecutor(ATTACKERS, context) as pool,
    ):
        attacker, bystander = _client(settings, harness, address), _client(settings, harness, address)
        seconds = SECONDS * rounds / 40
        _slowdown(pool, "request: no token", attacker, bystander, seconds)  # a warm-up
        ratios = [_slowdown(pool, name, attacker, bystander, seconds) for name in ATTACKS]
    print(f"  {len(ratios)} attacks; the worst made a query take {max(ratios):.2f} times as long (median)")
    if max(ratios) >= MAX_RATIO:
        raise SystemExit(f"An attack slowed another client too much: the ratio must be under {MAX_RATIO}.")


def _slowdown(pool: ProcessPoolExecutor, name: str, attacker: Client, bystander: Client, seconds: float) -> float:
    """The ratio of the median latencies of a query with and without the attack."""
    ratio = math.inf
    for _ in range(ATTEMPTS):
        if ratio < MAX_RATIO:
            break
        before_attack = _query(bystander, seconds)
        attacking = [pool.submit(_repeat, name, attacker, seconds) for _ in range(ATTACKERS)]
        during_attack = _query(bystander, seconds)
        ratio = during_attack.quantile(0.5) / before_attack.quantile(0.5)
        _report(name, before_attack, during_attack, took=max(attack.result() for attack in attacking))
    return ratio


def _report(name: str, before_attack: Samples, during_attack: Samples, took: float) -> None:
    before, during = (
        [samples.quantile(part) * 1000 for part in (0.5, 0.9)] for samples in (before_attack, during_attack)
    )
    print(
        f"  {name:<52} {took * 1000:7.1f} ms   bystander p50 {before[0]:6.2f} to {during[0]:6.2f} ms "
        f"({during[0] / before[0]:4.2f})   p90 {before[1]:6.2f} to {during[1]:6.2f} ms"
    )


def _repeat(name: str, client: Client, seconds: float) -> float:
    """Repeat the attack for ``seconds``. Returns the longest duration of one attack."""
    longest, until = 0.0, time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        ATTACKS[name](client)
        longest = max(longest, time.monotonic() - began)
        time.sleep(max(0.0, began + 1 / PER_SECOND - time.monotonic()))
    return longest


def _query(client: Client, seconds: float) -> Samples:
    """Repeat an ordinary query for ``seconds``. Returns its durations."""
    samples, until = Samples("a query"), time.monotonic() + seconds
    while time.monotonic() < until:
        with samples.timed():
            response = attacks.send_request(client, "POST", "/graphql", attacks.QUERY)
        assert response.status == 200, response
        time.sleep(0.005)
    return samples


def _client(settings: Settings, harness: RunHarness, address: str) -> Client:
    token = sign_token(settings, member_identity(harness.organisation.id), timedelta(hours=2))
    return Client(address, f"Bearer {token}")
