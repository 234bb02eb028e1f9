"""A heavy operation is executed in slices, and its answer is the same as in one piece."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from runtime import loop_share
from runtime.loop_share import LoopShare
from server.asgi import create_app
from tests.api import TIMEOUT, Api, Client
from tests.integration.api.test_nodes import ALL_FIELDS
from tests.run_harness import RunHarness

STEPS = "name status attempts startedAt finishedAt error message percent"
HEAVIEST = (
    "{ tenants(first: 100) { nodes { slug currentRun { number "
    + " ".join(f"s{number}: steps {{ {STEPS} }}" for number in range(5))
    + " } } } }"
)
"""It costs 4,901 points, and returns a step of each run for one of them."""


class Holds:
    """The longest time for which one iteration of the loop used its thread: the machine's load does not count."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = time.thread_time()
        self._handle = asyncio.get_running_loop().call_soon(self._tick)

    def stop(self) -> None:
        self._handle.cancel()

    def _tick(self) -> None:
        now = time.thread_time()
        self.longest = max(self.longest, now - self._last)
        self._last = now
        self._handle = asyncio.get_running_loop().call_soon(self._tick)


@asynccontextmanager
async def in_this_loop(harness: RunHarness) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API that runs in this event loop."""
    app = create_app(harness.settings)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://api", timeout=TIMEOUT) as client,
    ):
        yield client


def test_slices_shorten_the_longest_hold_of_the_event_loop_to_half_at_most(
    api: Api, harness: RunHarness, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        harness.create(f"shop-{number}")
    headers = {"Authorization": owner.authorization or "", "Content-Type": "application/json"}
    body = json.dumps({"query": HEAVIEST})

    async def longest_hold() -> tuple[float, dict[str, Any]]:
        async with in_this_loop(harness) as client:
            await client.post("/graphql", content=body, headers=headers)  # parses and validates the document
            holds = Holds()
            response = await client.post("/graphql", content=body, headers=headers)
            holds.stop()
            return holds.longest, response.json()

    in_slices, answer = asyncio.run(longest_hold())
    monkeypatch.setattr(loop_share, "SLICE", 100.0)
    monkeypatch.setattr(loop_share, "SHARED_SLICE", 100.0)
    in_one_piece, same = asyncio.run(longest_hold())

    nodes = answer["data"]["tenants"]["nodes"]
    assert answer == same
    assert len(nodes) == 100
    assert all(len(node["currentRun"]["s4"]) > 8 for node in nodes)
    assert in_slices < in_one_piece / 2


def test_an_answer_in_slices_is_the_answer_in_one_piece(
    harness: RunHarness, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        harness.create(f"shop-{number}")
    harness.make_moves()
    in_one_piece = owner.result(HEAVIEST)
    turns: list[Any] = []
    take_turn = LoopShare.turn

    async def counted(share: LoopShare, organisation: Any) -> None:
        turns.append(organisation)
        await take_turn(share, organisation)

    monkeypatch.setattr(LoopShare, "turn", counted)
    monkeypatch.setattr(loop_share, "SLICE", 0.0)

    assert owner.result(HEAVIEST) == in_one_piece
    assert len(turns) > 20


@pytest.mark.parametrize("seconds", [0.0, 0.001])
def test_an_operation_in_slices_takes_as_many_statements_as_in_one_piece(
    api: Api, harness: RunHarness, owner: Client, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    for number in range(20):
        harness.create(f"shop-{number}")
    harness.make_moves(until="allocate_traffic")
    monkeypatch.setattr(loop_share, "SLICE", 100.0)
    monkeypatch.setattr(loop_share, "SHARED_SLICE", 100.0)
    with api.statements() as in_one_piece:
        answer = owner.result(ALL_FIELDS, first=20)
    monkeypatch.setattr(loop_share, "SLICE", seconds)

    with api.statements() as in_slices:
        same = owner.result(ALL_FIELDS, first=20)

    assert same == answer
    assert sorted(in_slices) == sorted(in_one_piece)
    assert len(in_one_piece) == 12
