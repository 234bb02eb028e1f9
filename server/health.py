"""Liveness and readiness checks of the API process."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import redis.asyncio
from anyio import to_thread
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sqlalchemy import func, select
from sqlmodel import Session, col
from starlette.requests import Request
from starlette.responses import JSONResponse

from adapters.start_checks import RecentProblem
from models import Run
from runtime import migrations
from runtime.database import Database
from runtime.settings import Settings

logger = logging.getLogger(__name__)

CHECK_TIMEOUT = 2.0
"""Seconds for one check; the probe of a load balancer has a timeout too."""

MAX_OVERDUE = 60.0
"""Seconds: a run that has been due for longer means that no worker is running, or that the workers have a backlog."""

Check = Callable[[], Awaitable[Any]]


class CheckFailed(Exception):
    """A check failed; the message is its reason."""


@dataclass(frozen=True)
class Health:
    """The addresses for liveness and readiness."""

    settings: Settings
    database: Database
    problem: RecentProblem

    async def alive(self, _: Request) -> JSONResponse:
        """Answer 200: the process is alive."""
        return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})

    async def ready(self, _: Request) -> JSONResponse:
        """Answer 200 when all checks pass, otherwise 503, with the result of each check."""
        checks: dict[str, Check] = {
            "database": self._database,
            "migrations": self._migrations,
            "broker": self._broker,
            "oldest_due_run": self._oldest_due_run,
            "rights": self._rights,
        }
        results = dict(zip(checks, await asyncio.gather(*map(_result_of, checks.values())), strict=True))
        ready = all(result["ok"] for result in results.values())
        body = {"status": "ok" if ready else "unfit", "checks": results}
        return JSONResponse(body, 200 if ready else 503, {"Cache-Control": "no-store"})

    async def _database(self) -> None:
        await self._read(lambda session: session.execute(select(1)))

    async def _migrations(self) -> None:
        if not await self._read(lambda session: migrations.at_head(session.connection())):
            raise CheckFailed("the database's schema is not the one of this release: run python -m server migrate")

    async def _broker(self) -> None:
        retry = Retry(NoBackoff(), 0)
        async with redis.asyncio.from_url(
            self.settings.redis_url, socket_connect_timeout=CHECK_TIMEOUT, socket_timeout=CHECK_TIMEOUT, retry=retry
        ) as client:
            await client.ping()

    async def _rights(self) -> None:
        if problem := await to_thread.run_sync(self.problem.get, abandon_on_cancel=True):
            raise CheckFailed(problem)

    async def _oldest_due_run(self) -> dict[str, float]:
        seconds = await self._read(_seconds_overdue)
        if seconds > MAX_OVERDUE:
            raise CheckFailed(
                f"a run has been due for {seconds:.0f} s: no worker is running, or the workers have a backlog"
            )
        return {"seconds": round(seconds, 1)}

    async def _read(self, work: Callable[[Session], Any]) -> Any:  # noqa: ANN401  # each check reads another type
        return await to_thread.run_sync(self.database.transact, work, abandon_on_cancel=True)


async def _result_of(check: Check) -> dict[str, Any]:
    try:
        facts = await asyncio.wait_for(check(), CHECK_TIMEOUT)
    except CheckFailed as failure:
        return {"ok": False, "reason": str(failure)}
    except TimeoutError:
        return {"ok": False, "reason": f"no answer within {CHECK_TIMEOUT:.0f} s"}
    except Exception as error:  # noqa: BLE001  # any error means that the checked part cannot be used
        logger.warning("readiness check failed", extra={"cause": _first_line(error)})
        return {"ok": False, "reason": "it cannot be reached"}
    return {"ok": True, **(facts or {})}


def _first_line(error: Exception) -> str:
    """The first line of an error's message, or its type if the message is empty."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _seconds_overdue(session: Session) -> float:
    """Seconds for which the oldest due run has been due. Index: runs_that_are_due."""
    age = session.scalar(
        select(func.extract("epoch", func.clock_timestamp() - func.min(col(Run.due_at)))).where(
            col(Run.due_at) <= func.clock_timestamp()
        )
    )
    return float(age or 0.0)
