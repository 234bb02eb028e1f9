"""Liveness and readiness checks of the API process. Readiness does what the product does: it writes."""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio
import redis.exceptions
from anyio import to_thread
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col
from starlette.requests import Request
from starlette.responses import JSONResponse

from adapters.start_checks import RecentProblem
from models import ReadinessCheck, Run
from runtime import migrations
from runtime.database import Database, sqlstate
from runtime.error_lines import first_line
from runtime.settings import Settings
from workers.broker import NAMESPACE

logger = logging.getLogger(__name__)

CHECK_TIMEOUT = 2.0
"""Seconds for one check; the probe of a load balancer has a timeout too."""

READ_ONLY = "25006"
OUT_OF_RESOURCES = "53"
"""The SQLSTATE of a write to a read-only database, and the class of those of a full one."""

MAX_OVERDUE = 60.0
"""Seconds: a run that has been due for longer means that no worker is running, or that the workers have a backlog."""

REPORT_LIFETIME = 1.0
"""Seconds for which a report is answered again: many requests cost no more than one a second."""

PROBE_KEY = f"{NAMESPACE}:readiness"
PROBE = "redis.call('RPUSH', KEYS[2], ARGV[1]) redis.call('DEL', KEYS[2])"
"""What sending a wake-up does: a script with the namespace as a key that pushes to a list. It leaves nothing behind."""

Check = Callable[[], Awaitable[Any]]
Report = dict[str, dict[str, Any]]


class CheckFailed(Exception):
    """A check failed; the message is its reason."""


@dataclass(frozen=True)
class Health:
    """The addresses for liveness and readiness."""

    settings: Settings
    database: Database
    problem: RecentProblem
    _reports: "SharedReport" = field(init=False)
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_reports", SharedReport(self._make_report))

    async def alive(self, _: Request) -> JSONResponse:
        """Answer 200: the process is alive."""
        return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})

    async def ready(self, _: Request) -> JSONResponse:
        """Answer 200 when all checks pass, otherwise 503, with the result of each check."""
        results = await self._reports.current()
        ready = all(result["ok"] for result in results.values())
        body = {"status": "ok" if ready else "unfit", "checks": results}
        return JSONResponse(body, 200 if ready else 503, {"Cache-Control": "no-store"})

    async def _make_report(self) -> Report:
        checks: dict[str, Check] = {
            "database": self._database,
            "migrations": self._migrations,
            "broker": self._broker,
            "oldest_due_run": self._oldest_due_run,
            "rights": self._rights,
        }
        return dict(zip(checks, await asyncio.gather(*map(_result_of, checks.values())), strict=True))

    async def _database(self) -> None:
        """Commit one write, and connect as callers do."""
        await to_thread.run_sync(self._write, abandon_on_cancel=True)

    def _write(self) -> None:
        # A commit may hang, for example without a synchronous standby: only one thread and connection waits for it.
        if not self._writing.acquire(blocking=False):
            raise CheckFailed("an earlier write has not been committed yet")
        try:
            self.database.transact(_write_row)
            if self.database.caller_engine is not self.database.engine:
                with self.database.caller_engine.connect() as connection:
                    connection.execute(select(1))
        except SQLAlchemyError as error:
            if sqlstate(error) == READ_ONLY:
                raise CheckFailed("it is read-only") from error
            if (sqlstate(error) or "").startswith(OUT_OF_RESOURCES):
                raise CheckFailed("it is out of disk space or memory") from error
            raise
        finally:
            self._writing.release()

    async def _migrations(self) -> None:
        if not await self._read(lambda session: migrations.at_head(session.connection())):
            raise CheckFailed("the database's schema is not the one of this release: run python -m server migrate")

    async def _broker(self) -> None:
        retry = Retry(NoBackoff(), 0)
        async with redis.asyncio.from_url(
            self.settings.redis_url, socket_connect_timeout=CHECK_TIMEOUT, socket_timeout=CHECK_TIMEOUT, retry=retry
        ) as client:
            try:
                await client.eval(PROBE, 2, NAMESPACE, PROBE_KEY, "probe")
            except redis.exceptions.ReadOnlyError as error:
                raise CheckFailed("it is a read-only replica") from error
            except redis.exceptions.OutOfMemoryError as error:
                raise CheckFailed("it is full: it has reached maxmemory") from error
            except redis.exceptions.NoPermissionError as error:
                raise CheckFailed("its login lacks a right that docs/operating.md lists") from error
            except redis.exceptions.ResponseError as error:
                raise CheckFailed("it refuses writes") from error

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


class SharedReport:
    """The report of all requests of one second: it is made once, also for requests that arrive meanwhile."""

    def __init__(self, make: Callable[[], Awaitable[Report]]) -> None:
        self._make = make
        self._making: asyncio.Task[Report] | None = None
        self._made_at = 0.0

    async def current(self) -> Report:
        """The report, made anew if it is older than REPORT_LIFETIME. A request that is cancelled cancels no other."""
        if self._making is None or (self._making.done() and time.monotonic() - self._made_at >= REPORT_LIFETIME):
            self._making = asyncio.create_task(self._make_now())
        return await asyncio.shield(self._making)

    async def _make_now(self) -> Report:
        report = await self._make()
        self._made_at = time.monotonic()
        return report


async def _result_of(check: Check) -> dict[str, Any]:
    try:
        facts = await asyncio.wait_for(check(), CHECK_TIMEOUT)
    except CheckFailed as failure:
        return {"ok": False, "reason": str(failure)}
    except TimeoutError:
        return {"ok": False, "reason": f"no answer within {CHECK_TIMEOUT:.0f} s"}
    except Exception as error:  # noqa: BLE001  # any error means that the checked part cannot be used
        logger.warning("readiness check failed", extra={"cause": first_line(error)})
        return {"ok": False, "reason": "it cannot be reached, or refuses connections"}
    return {"ok": True, **(facts or {})}


def _write_row(session: Session) -> None:
    values = {"id": 1, "written_at": func.clock_timestamp()}
    session.execute(insert(ReadinessCheck).values(values).on_conflict_do_update(index_elements=["id"], set_=values))


def _seconds_overdue(session: Session) -> float:
    """Seconds for which the oldest due run has been due. Index: runs_that_are_due."""
    age = session.scalar(
        select(func.extract("epoch", func.clock_timestamp() - func.min(col(Run.due_at)))).where(
            col(Run.due_at) <= func.clock_timestamp()
        )
    )
    return float(age or 0.0)
