"""The heaviest operation holds the event loop only for short times, and its answer is that of graphql-core."""

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
from tests.run_harness import RunHarness

MAX_HOLD = 0.05
"""Seconds of processor time of the loop's thread in one iteration of the loop: the machine's load does not count."""

LEAVES = "id databaseId slug name state plan region version createdAt updatedAt url"
STEPS = "name status attempts startedAt finishedAt error message percent compensationAttempts"
HEAVIEST = (
    f"{{ tenants(first: 100) {{ nodes {{ {LEAVES} availableActions currentRun {{ id number status kind startedAt "
    f"steps {{ {STEPS} }} resources {{ kind name status }} }} }} }} }}"
)


class Holds:
    """The longest time for which one iteration of the running loop used its thread."""

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


def test_the_heaviest_operation_holds_the_event_loop_for_fifty_milliseconds_at_most(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    for number in range(100):
        harness.create(f"shop-{number}")
    headers = {"Authorization": owner.authorization or "", "Content-Type": "application/json"}
    body = json.dumps({"query": HEAVIEST})

    async def story() -> tuple[float, dict[str, Any]]:
        async with in_this_loop(harness) as client:
            await client.post("/graphql", content=body, headers=headers)  # parses and validates the document
            holds = Holds()
            response = await client.post("/graphql", content=body, headers=headers)
            holds.stop()
            return holds.longest, response.json()

    longest, answer = asyncio.run(story())

    nodes = answer["data"]["tenants"]["nodes"]
    assert len(nodes) == 100
    assert all(len(node["currentRun"]["steps"]) > 8 for node in nodes)
    assert longest < MAX_HOLD


def test_an_answer_in_slices_is_the_answer_in_one_piece(
    harness: RunHarness, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        harness.create(f"shop-{number}")
    harness.make_moves()
    in_one_piece = owner.result(HEAVIEST)
    turns = []
    take_turn = LoopShare.turn

    async def counted(share: LoopShare, organisation: Any) -> None:
        turns.append(organisation)
        await take_turn(share, organisation)

    monkeypatch.setattr(LoopShare, "turn", counted)
    monkeypatch.setattr(loop_share, "SLICE", 0.0)

    assert owner.result(HEAVIEST) == in_one_piece
    assert len(turns) > 20
