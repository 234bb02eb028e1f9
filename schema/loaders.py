"""Data loaders: a field of a hundred tenants is read with one statement."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar, cast
from uuid import UUID

from sqlmodel import Session
from strawberry.dataloader import DataLoader

from models import AbsenceCheck, Event, Organisation, Resource, Run, RunStep, Tenant
from provisioning import anchors, audit_feed, queries
from provisioning.actors import Actor
from provisioning.pagination import Page, Window
from provisioning.validation import Quota
from runtime.loop_share import Parts
from schema.errors import Forbidden, UnknownCursor

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
R = TypeVar("R")

Transact = Callable[..., Awaitable[Any]]


Related = tuple["RowLoader[Any]", Callable[[Any], UUID | None]]
"""A loader, and the key that a row has for it."""


class SharedLoader(DataLoader[K, V]):
    """A data loader for several fields that await the same key: cancelling one of them does not cancel the others.

    The fields go on by turns: what a read returns for hundreds of them would hold the event loop otherwise.
    """

    def __init__(self, load_fn: Callable[[list[K]], Awaitable[Sequence[Any]]], parts: Parts) -> None:
        super().__init__(load_fn)
        self._parts = parts

    def load(self, key: K) -> Awaitable[V]:
        """Load a key, once for all fields that need it."""
        return self._in_turn(super().load(key))

    async def _in_turn(self, loaded: Awaitable[V]) -> V:
        value = await asyncio.shield(loaded)
        await self._parts.take_turn()
        return value


class RowLoader(SharedLoader[UUID, V | None]):
    """Loads what ``query`` returns for a key. The query returns a mapping, in which a key may be missing."""

    def __init__(
        self,
        load_fn: Callable[[list[UUID]], Awaitable[Sequence[Any]]],
        query: Callable[[Session, Sequence[UUID]], Mapping[UUID, V]],
        parts: Parts,
    ) -> None:
        super().__init__(load_fn, parts)
        self.query = query

    def keep(self, keys: Sequence[UUID], found: Mapping[UUID, V]) -> None:
        """Keep what was found for these keys, so that loading them takes no time."""
        self.prime_many({key: found.get(key) for key in keys})


@dataclass(frozen=True, slots=True)
class PendingRead:
    """A query of a loader, and where its result goes."""

    query: Callable[[Session], Any]
    found: asyncio.Future[Any]

    def answer(self, answer: object) -> None:
        """Hand over the result or the error, unless the reader was cancelled."""
        if self.found.done():
            return
        if isinstance(answer, Exception):
            self.found.set_exception(answer)
        else:
            self.found.set_result(answer)


@dataclass(frozen=True, slots=True)
class PendingKeys:
    """The keys of a read that has not begun, and its result. More can be added."""

    needed: dict[Any, None]
    found: asyncio.Future[Any]


def _read_all(session: Session, queries: Sequence[Callable[[Session], Any]]) -> list[Any]:
    """The result of each query, or its refusal, which does not concern the others."""
    return [_result_of(query, session) for query in queries]


def _result_of(query: Callable[[Session], Any], session: Session) -> Any:  # noqa: ANN401  # what the query returns
    try:
        return query(session)
    except anchors.UnknownCursor as refusal:
        return UnknownCursor(str(refusal))


class Loaders:
    """The data loaders of one operation. Nothing is read twice, and nothing is kept for the next operation.

    Each is made when it is first used: an operation needs few of them, and every entry of a stream is an operation.
    """

    def __init__(self, transact: Transact, by: Actor, parts: Parts, *, reads: bool) -> None:
        self._transact = transact
        self._by = by
        self._parts = parts
        self._reads = reads
        self._pending: list[PendingRead] = []
        self._pending_keys: dict[tuple[object, ...], PendingKeys] = {}
        self._reading: set[asyncio.Task[None]] = set()
        """Keeps a reference to each read: the event loop itself keeps weak references only."""

    @cached_property
    def tenants(self) -> RowLoader[Tenant]:
        """Tenants by id, of those that the caller may read."""
        return self._one(queries.tenants_by_id, by=self._by)

    @cached_property
    def runs(self) -> RowLoader[Run]:
        """Runs by id, of those that the caller may read."""
        return self._one(queries.runs_by_id, by=self._by)

    @cached_property
    def live_runs(self) -> RowLoader[Run]:
        """The live run of each tenant."""
        return self._one(queries.live_runs, by=self._by)

    @cached_property
    def events(self) -> RowLoader[Event]:
        """Events by id, of those that the caller may read."""
        return self._one(audit_feed.events_by_id, by=self._by)

    @cached_property
    def member_names(self) -> RowLoader[str]:
        """The names of members by id."""
        return self._one(queries.member_names, by=self._by)

    @cached_property
    def organisations(self) -> RowLoader[Organisation]:
        """Organisations by id."""
        return self._one(queries.organisations_by_id)

    @cached_property
    def quotas(self) -> RowLoader[Quota]:
        """The quota of each organisation."""
        return self._one(queries.quotas)

    @cached_property
    def steps(self) -> RowLoader[list[RunStep]]:
        """The steps of each run."""
        return self._details(queries.steps_of_runs)

    @cached_property
    def resources(self) -> RowLoader[list[Resource]]:
        """The resources that each run took."""
        return self._details(queries.resources_of_runs)

    @cached_property
    def absence_checks(self) -> RowLoader[list[AbsenceCheck]]:
        """The absence checks of each run."""
        return self._details(queries.absence_checks_of_runs)

    @cached_property
    def held(self) -> RowLoader[list[Resource]]:
        """The resources that each tenant holds."""
        return self._details(queries.held_resources)

    @cached_property
    def abandoned(self) -> RowLoader[list[Resource]]:
        """The resources that each tenant has abandoned."""
        return self._details(queries.abandoned_resources)

    @cached_property
    def runs_of_tenants(self) -> DataLoader[tuple[UUID, Window], Page[Run]]:
        """Pages of the runs of each tenant."""
        return SharedLoader(self._run_pages, self._parts)

    @cached_property
    def timelines(self) -> DataLoader[tuple[UUID, Window], Page[Event]]:
        """Pages of the timeline of each run."""
        return SharedLoader(self._timeline_pages, self._parts)

    async def _read(self, query: Callable[[Session], T]) -> T:
        """Run a query in one transaction with those that other loaders need at this moment. Raises what it raises."""
        return cast("T", await self._begin(query))

    async def _read_keys(
        self, query: Callable[..., Mapping[Any, V]], keys: Sequence[Any], *args: object, **scope: Actor
    ) -> Mapping[Any, V]:
        """Run a query for these keys, and for those that other parts of the operation need of it at this moment."""
        pending = self._pending_keys.get((query, *args))
        if pending is None:
            needed: dict[Any, None] = {}
            found = self._begin(lambda session: query(session, list(needed), *args, **scope))
            pending = self._pending_keys[query, *args] = PendingKeys(needed, found)
        pending.needed.update(dict.fromkeys(keys))
        return cast("Mapping[Any, V]", await asyncio.shield(pending.found))

    def _begin(self, query: Callable[[Session], Any]) -> asyncio.Future[Any]:
        read = PendingRead(query, asyncio.get_running_loop().create_future())
        self._pending.append(read)
        if len(self._pending) == 1:
            reading = asyncio.create_task(self._read_pending())
            self._reading.add(reading)
            reading.add_done_callback(self._reading.discard)
        return read.found

    async def _read_pending(self) -> None:
        await asyncio.sleep(0)  # the loaders of this moment are started one after the other
        await self._parts.complete()
        pending, self._pending = self._pending, []
        self._pending_keys = {}
        try:
            answers = await self._transact(_read_all, [one.query for one in pending])
        except Exception as error:  # noqa: BLE001  # each reader raises it
            answers = [error] * len(pending)
        for one, answer in zip(pending, answers, strict=True):
            one.answer(answer)

    async def read_page(self, read: Callable[[Session], Page[R]], related: Sequence[Related]) -> Page[R]:
        """Read a page, and what its rows are shown with, in one transaction. Raises what ``read`` raises."""

        def read_all(session: Session) -> tuple[Page[R], list[tuple[list[UUID], Mapping[UUID, Any]]]]:
            page = read(session)
            needed = [list({key for row in page.rows if (key := key_of(row))}) for _, key_of in related]
            found = [loader.query(session, keys) for (loader, _), keys in zip(related, needed, strict=True)]
            return page, list(zip(needed, found, strict=True))

        page, rows = await self._read(read_all)
        for (loader, _), (keys, found) in zip(related, rows, strict=True):
            loader.keep(keys, found)
        return page

    def _one(self, query: Callable[..., Mapping[UUID, V]], **scope: Actor) -> RowLoader[V]:
        async def load(keys: list[UUID]) -> list[V | None]:
            found: Mapping[UUID, V] = await self._read_keys(query, keys, **scope)
            return [found.get(key) for key in keys]

        return RowLoader(load, partial(query, **scope), self._parts)

    def _details(self, query: Callable[..., Mapping[UUID, V]]) -> RowLoader[V]:
        """Load details of tenants or runs, for callers with the right tenants:read only.

        Other callers can have the tenant or run itself, from a mutation of theirs.
        """
        loader = self._one(query)

        async def load_for_readers(keys: list[UUID]) -> Sequence[V | BaseException | None]:
            self._require_reader()
            return await loader.load_fn(keys)

        return RowLoader(load_for_readers, loader.query, self._parts)

    def _require_reader(self) -> None:
        # An empty list would say that there are no details.
        if not self._reads:
            raise Forbidden("You need the right tenants:read for details of tenants and runs.")

    async def _run_pages(self, keys: list[tuple[UUID, Window]]) -> list[Page[Run]]:
        return await self._pages(keys, queries.runs_of_tenants, by=self._by)

    async def _timeline_pages(self, keys: list[tuple[UUID, Window]]) -> list[Page[Event]]:
        return await self._pages(keys, audit_feed.timeline_of_runs)

    async def _pages(
        self,
        keys: Sequence[tuple[UUID, Window]],
        query: Callable[..., Mapping[UUID, Page[V]]],
        **scope: Actor,
    ) -> list[Page[V]]:
        """Read with one statement for each window. The same field of many objects has the same window."""
        self._require_reader()
        found: dict[tuple[UUID, Window], Page[V]] = {}
        windows = list({window for _, window in keys})
        parents = [[parent for parent, its in keys if its == window] for window in windows]
        pages = await asyncio.gather(
            *(self._read_keys(query, its, window, **scope) for its, window in zip(parents, windows, strict=True))
        )
        for window, its in zip(windows, pages, strict=True):
            found.update({(parent, window): page for parent, page in its.items()})
        return [found[key] for key in keys]
