"""What a socket's operations leave behind: nothing, also when they do not hear at once that they are over."""

import asyncio
from contextlib import suppress

import pytest

from server.graphql import websocket
from server.graphql.websocket import cancel_until_it_ends


async def deaf_at_first(cancellations: int) -> None:
    for _ in range(cancellations):
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
    await asyncio.Event().wait()


@pytest.mark.parametrize("cancellations", [0, 1, 3])
def test_an_operation_ends_whose_cancellation_was_swallowed(
    monkeypatch: pytest.MonkeyPatch, cancellations: int
) -> None:
    monkeypatch.setattr(websocket, "CANCEL_AGAIN_AFTER", 0.001)

    async def story() -> bool:
        task = asyncio.create_task(deaf_at_first(cancellations))
        await asyncio.sleep(0)  # one that has not begun hears the first
        cancel_until_it_ends(task)
        await asyncio.wait([task], timeout=10)
        return task.cancelled()

    assert asyncio.run(story())
