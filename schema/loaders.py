"""One question for many objects: a field asked for on each of a hundred tenants is one statement."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader

from models import AbsenceCheck, Event, Organisation, Resource, Run, RunStep, Tenant
from provisioning import audit_feed, queries
from provisioning.actors import Actor
from provisioning.pagination import Page, Window
from provisioning.validation import Quota
from schema.errors import Forbidden

K = TypeVar("K")
V = TypeVar("V")

Transact = Callable[..., Awaitable[Any]]


class Shared(DataLoader[K, V]):
    """What one field waits for, others may wait for too: when its sibling fails it stops waiting, and they do not."""

    def load(self, key: K) -> Awaitable[V]:
        """The answer, of which the loader keeps a copy for everybody who asks."""
        return asyncio.shield(super().load(key))


class Loaders:
    """What has been asked for by one operation. Nothing is asked twice, and nothing is kept for the next one."""

    def __init__(self, transact: Transact, by: Actor, *, reads: bool) -> None:
        self._transact = transact
        self._by = by
        self._reads = reads
        self.tenants: DataLoader[UUID, Tenant | None] = self._one(queries.tenants_by_id, by=by)
        self.runs: DataLoader[UUID, Run | None] = self._one(queries.runs_by_id, by=by)
        self.live_runs: DataLoader[UUID, Run | None] = self._one(queries.live_runs, by=by)
        self.events: DataLoader[UUID, Event | None] = self._one(audit_feed.events_by_id, by=by)
        self.organisations: DataLoader[UUID, Organisation | None] = self._one(queries.organisations_by_id)
        self.quotas: DataLoader[UUID, Quota | None] = self._one(queries.quotas)
        self.steps: DataLoader[UUID, list[RunStep] | None] = self._details(queries.steps_of_runs)
        self.resources: DataLoader[UUID, list[Resource] | None] = self._details(queries.resources_of_runs)
        self.absence_checks: DataLoader[UUID, list[AbsenceCheck] | None] = self._details(queries.absence_checks_of_runs)
        self.held: DataLoader[UUID, list[Resource] | None] = self._details(queries.held_resources)
        self.runs_of_tenants: DataLoader[tuple[UUID, Window], Page[Run]] = Shared(self._run_pages)
        self.timelines: DataLoader[tuple[UUID, Window], Page[Event]] = Shared(self._timeline_pages)

    def _one(self, query: Callable[..., Mapping[UUID, V]], **scope: Actor) -> DataLoader[UUID, V | None]:
        async def load(keys: list[UUID]) -> list[V | None]:
            found: Mapping[UUID, V] = await self._transact(query, keys, **scope)
            return [found.get(key) for key in keys]

        return Shared(load)

    def _details(self, query: Callable[..., Mapping[UUID, V]]) -> DataLoader[UUID, V | None]:
        """What lies below a tenant or run, which callers without the right to read also get, from their own calls."""
        load = self._one(query).load_fn

        async def load_for_readers(keys: list[UUID]) -> Sequence[V | BaseException | None]:
            self._demand_reader()
            return await load(keys)

        return Shared(load_for_readers)

    def _demand_reader(self) -> None:
        # An empty list would say that there is nothing.
        if not self._reads:
            raise Forbidden("What a tenant or run consists of needs the right tenants:read, which you do not have.")

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
        """One statement for each window: fields of one name in a document ask for the same one."""
        self._demand_reader()
        found: dict[tuple[UUID, Window], Page[V]] = {}
        for window in {window for _, window in keys}:
            parents = [parent for parent, its in keys if its == window]
            pages = await self._transact(query, parents, window, **scope)
            found.update({(parent, window): page for parent, page in pages.items()})
        return [found[key] for key in keys]
