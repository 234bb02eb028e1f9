"""Operations of a websocket are cancelled until they end, also when a cancellation was swallowed."""

import asyncio
from contextlib import suppress

import pytest

from server.graphql import websocket
from server.graphql.websocket import cancel_until_done


async def swallow(cancellations: int) -> None:
    for _ in range(cancellations):
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
    await asyncio.Event().wait()


@pytest.mark.parametrize("cancellations", [0, 1, 3])
def test_an_operation_ends_although_its_cancellations_were_swallowed(
    monkeypatch: pytest.MonkeyPatch, cancellations: int
) -> None:
    monkeypatch.setattr(websocket, "CANCEL_RETRY_INTERVAL", 0.001)

    async def cancelled() -> bool:
        task = asyncio.create_task(swallow(cancellations))
        await asyncio.sleep(0)  # a task that has not started yet ends at the first cancellation
        cancel_until_done(task)
        await asyncio.wait([task], timeout=10)
        return task.cancelled()

    assert asyncio.run(cancelled())
