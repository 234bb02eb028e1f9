"""Parts of make bench on a real database: the world of its workers, and the statements of the chains."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from benchmarks import chain_worker, moves
from benchmarks.chain_worker import CLAIM, KEEP, RECORD, STEPS, TABLE
from benchmarks.worker import Counted
from benchmarks.world import HELD, WAITING, FactFile, InstantWorld
from models import TenantState
from provisioning.event_types import EventType
from runtime.settings import settings
from tests.run_harness import RunHarness


def in_an_instant_world(harness: RunHarness, facts: FactFile) -> None:
    harness.step_runner.infrastructure = InstantWorld(facts, holds=False)


def test_a_saga_passes_an_instant_world_both_ways(harness: RunHarness, tmp_path: Path) -> None:
    facts = FactFile(tmp_path / "facts")
    in_an_instant_world(harness, facts)
    harness.create("shop")
    harness.make_moves()
    active = harness.tenant()
    harness.create(f"{HELD}-1")
    harness.make_moves(until="await_readiness")

    harness.cancel()
    harness.make_moves()

    assert active.state is TenantState.ACTIVE
    assert harness.tenant().state is TenantState.PENDING
    assert [fact.what for fact in facts.read()] == ["began"]
    undone = [event for event in harness.events() if event.type == EventType.STEP_COMPENSATED]
    assert len(undone) == 6


def test_a_waiting_tenant_is_looked_at_and_not_ready(harness: RunHarness, tmp_path: Path) -> None:
    facts = FactFile(tmp_path / "facts")
    in_an_instant_world(harness, facts)
    harness.create(f"{WAITING}-1")
    harness.make_moves(until="await_readiness")

    for _ in range(3):
        move = harness.next_move()
        harness.end_waits()
        harness.step_runner.make_move(harness.run().id, move)  # type: ignore[arg-type]  # it is a move forward

    assert len(list(facts.read("looked"))) == 3
    assert harness.tenant().state is TenantState.PROVISIONING


def test_a_counted_claim_counts_stale_messages(harness: RunHarness) -> None:
    counted = Counted()
    claim = counted.counting(lambda found: found)

    assert [claim(None), claim("claim"), claim(None)] == [None, "claim", None]
    assert (counted.calls, counted.without_result) == (3, 2)


def test_the_cost_of_moves_is_printed(database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    moves.run(settings(), rounds=1)

    measured = [line.split(" p50 ")[0].strip() for line in capsys.readouterr().out.splitlines()]
    expected = ["createTenant", "claim", "record", "dropping a stale message", "cancelProvisioning"]
    assert measured == [*expected, "a sweep with 1 finished runs"]


@pytest.fixture
def chain(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url) as connection:
        connection.execute(TABLE.encode())
        connection.execute("INSERT INTO chain VALUES (1)")
        yield connection
        connection.rollback()


def test_the_smallest_chain_fences_each_step(chain: psycopg.Connection[Any]) -> None:
    owner, other = uuid4(), uuid4()

    def changes(statement: str, *values: object) -> bool:
        return chain.execute(statement.encode(), values).rowcount == 1

    assert changes(CLAIM, owner, 1, 0)
    assert not changes(CLAIM, other, 1, 0), "the lease has not ended"
    assert not changes(RECORD, STEPS - 1, 1, other), "the other token is not in the row"
    assert changes(RECORD, STEPS - 1, 1, owner)
    assert not changes(CLAIM, other, 1, 0), "the message is stale"
    assert changes(CLAIM, other, 1, 1)


def test_a_kept_run_writes_each_step_once_and_ends(chain: psycopg.Connection[Any]) -> None:
    owner = uuid4()

    def keep(step: int, token: object) -> int:
        return chain.execute(KEEP.encode(), (token, STEPS - 1, 1, step, token)).rowcount

    assert [keep(step, owner) for step in range(STEPS)] == [1] * STEPS
    assert keep(0, owner) == 0, "the step was written"
    assert keep(STEPS, uuid4()) == 0, "another token is in the row"
    row = chain.execute("SELECT step, ended_at IS NOT NULL FROM chain").fetchone()
    assert row == (chain_worker.STEPS, True)
