"""Whether this process can do its work: is it alive, and is everything there that it needs."""

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

from models import Run
from runtime import migrations
from runtime.database import Database
from runtime.settings import Settings

logger = logging.getLogger(__name__)

WITHIN = 2.0
"""Seconds that a check may take; whoever asks has a limit too."""

OVERDUE = 60.0
"""Seconds: a run that is due for longer means that no worker is at work."""

Check = Callable[[], Awaitable[Any]]


class Unfit(Exception):
    """A check found something wrong; the message says what."""


@dataclass(frozen=True)
class Health:
    """The checks of this process."""

    settings: Settings
    database: Database

    async def alive(self, _: Request) -> JSONResponse:
        """This process answers."""
        return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})

    async def ready(self, _: Request) -> JSONResponse:
        """Everything that is needed is there; otherwise 503, naming what is not."""
        checks: dict[str, Check] = {
            "database": self._database,
            "migrations": self._migrations,
            "broker": self._broker,
            "oldest_due_run": self._oldest_due_run,
        }
        found = dict(zip(checks, await asyncio.gather(*map(_outcome, checks.values())), strict=True))
        fit = all(one["ok"] for one in found.values())
        return JSONResponse(
            {"status": "ok" if fit else "unfit", "checks": found}, 200 if fit else 503, {"Cache-Control": "no-store"}
        )

    async def _database(self) -> None:
        await self._read(lambda session: session.execute(select(1)))

    async def _migrations(self) -> None:
        if not await self._read(lambda session: migrations.at_head(session.connection())):
            raise Unfit("the schema is not the one of this release: python -m server migrate")

    async def _broker(self) -> None:
        retry = Retry(NoBackoff(), 0)
        async with redis.asyncio.from_url(
            self.settings.redis_url, socket_connect_timeout=WITHIN, socket_timeout=WITHIN, retry=retry
        ) as client:
            await client.ping()

    async def _oldest_due_run(self) -> dict[str, float]:
        seconds = await self._read(_seconds_overdue)
        if seconds > OVERDUE:
            raise Unfit(f"a run has been due for {seconds:.0f} s: no worker is at work")
        return {"seconds": round(seconds, 1)}

    async def _read(self, work: Callable[[Session], Any]) -> Any:  # noqa: ANN401  # what the check reads
        return await to_thread.run_sync(self.database.transact, work, abandon_on_cancel=True)


async def _outcome(check: Check) -> dict[str, Any]:
    try:
        facts = await asyncio.wait_for(check(), WITHIN)
    except Unfit as reason:
        return {"ok": False, "reason": str(reason)}
    except TimeoutError:
        return {"ok": False, "reason": f"no answer within {WITHIN:.0f} s"}
    except Exception as error:  # noqa: BLE001  # whatever it is, this part is not fit
        logger.warning("a readiness check failed", extra={"cause": _first_line(error)})
        return {"ok": False, "reason": "it cannot be reached"}
    return {"ok": True, **(facts or {})}


def _first_line(error: Exception) -> str:
    """What an error says first; some say nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _seconds_overdue(session: Session) -> float:
    """How long the run has been due that has been due longest. Index: runs_that_are_due."""
    age = session.scalar(
        select(func.extract("epoch", func.clock_timestamp() - func.min(col(Run.due_at)))).where(
            col(Run.due_at) <= func.clock_timestamp()
        )
    )
    return float(age or 0.0)
