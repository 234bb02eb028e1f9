"""The cost of a step by the number of runs that one statement records: one thread, with Postgres, and no queue."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from benchmarks.cpu import own_seconds
from provisioning import engine
from provisioning.claims import Claim
from provisioning.moves import Forward
from provisioning.saga import Done
from provisioning.steps import saga
from runtime.database import Statements
from runtime.settings import Settings
from tests.run_harness import RunHarness, new_lease, run_harness_in

SIZES = (1, 2, 4, 8, 16, 32)
RUNS = 32
"""Runs of each round, in groups of each size."""


@dataclass
class Cost:
    """Seconds of one size: of the clock, of this process and of the server's process, for ``steps`` steps."""

    steps: int = 0
    passed: float = 0.0
    own: float = 0.0
    server: float = 0.0


def run(settings: Settings, rounds: int) -> None:
    """Measure groups of each size, by turns."""
    costs = {size: Cost() for size in SIZES}
    with run_harness_in(settings) as harness, harness.database.statements() as statements:
        server = psutil.Process(statements.connection.info.backend_pid)
        for number in range(-1, rounds):  # the first round plans the statements, and does not count
            for size, cost in costs.items():
                claims = [_claimed(harness, f"shop-{number + 1}-{size}-{which}") for which in range(RUNS)]
                _pass(statements, server, settings, [claims[i : i + size] for i in range(0, RUNS, size)], cost)
            if number < 0:
                costs = {size: Cost() for size in SIZES}
    print(f"  {'runs in a statement':<22} {'a step':>10} {'this process':>14} {'Postgres':>10}")
    for size, cost in costs.items():
        each = 1000 / cost.steps
        print(f"  {size:<22} {cost.passed * each:7.2f} ms {cost.own * each:11.2f} ms {cost.server * each:7.2f} ms")


def _claimed(harness: RunHarness, slug: str) -> Claim:
    harness.create(slug)
    claim = harness.try_claim(Forward(next(iter(saga)).name))
    assert claim is not None, "a new run is due"
    return claim


def _pass(
    statements: Statements, server: psutil.Process, settings: Settings, groups: Sequence[list[Claim]], cost: Cost
) -> None:
    """Let every group pass the first steps, recorded and claimed in one statement each."""
    for group in groups:
        held = group
        before, used, began = own_seconds(server), time.process_time(), time.perf_counter()
        for _ in range(4):
            changes = [engine.recording(claim, Done(), new_lease(settings.lease)).decided_now() for claim in held]
            decided = engine.apply_together(statements, changes)
            claims = [engine.claim_of(one, settings) for one in decided if one is not None]
            held = [claim for claim in claims if claim is not None]
            assert len(held) == len(group), "each run is kept"
        cost.steps += 4 * len(group)
        cost.passed += time.perf_counter() - began
        cost.own += time.process_time() - used
        cost.server += own_seconds(server) - before
