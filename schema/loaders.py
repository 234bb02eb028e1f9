"""Data loaders: a field of a hundred tenants is read with one statement."""

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


class SharedLoader(DataLoader[K, V]):
    """A data loader for several fields that await the same key: cancelling one of them does not cancel the others."""

    def load(self, key: K) -> Awaitable[V]:
        """Load a key, once for all fields that need it."""
        return asyncio.shield(super().load(key))


class Loaders:
    """The data loaders of one operation. Nothing is read twice, and nothing is kept for the next operation."""

    def __init__(self, transact: Transact, by: Actor, *, reads: bool) -> None:
        self._transact = transact
        self._by = by
        self._reads = reads
        self.tenants: DataLoader[UUID, Tenant | None] = self._one(queries.tenants_by_id, by=by)
        self.runs: DataLoader[UUID, Run | None] = self._one(queries.runs_by_id, by=by)
        self.live_runs: DataLoader[UUID, Run | None] = self._one(queries.live_runs, by=by)
        self.events: DataLoader[UUID, Event | None] = self._one(audit_feed.events_by_id, by=by)
        self.member_names: DataLoader[UUID, str | None] = self._one(queries.member_names, by=by)
        self.organisations: DataLoader[UUID, Organisation | None] = self._one(queries.organisations_by_id)
        self.quotas: DataLoader[UUID, Quota | None] = self._one(queries.quotas)
        self.steps: DataLoader[UUID, list[RunStep] | None] = self._details(queries.steps_of_runs)
        self.resources: DataLoader[UUID, list[Resource] | None] = self._details(queries.resources_of_runs)
        self.absence_checks: DataLoader[UUID, list[AbsenceCheck] | None] = self._details(queries.absence_checks_of_runs)
        self.held: DataLoader[UUID, list[Resource] | None] = self._details(queries.held_resources)
        self.abandoned: DataLoader[UUID, list[Resource] | None] = self._details(queries.abandoned_resources)
        self.runs_of_tenants: DataLoader[tuple[UUID, Window], Page[Run]] = SharedLoader(self._run_pages)
        self.timelines: DataLoader[tuple[UUID, Window], Page[Event]] = SharedLoader(self._timeline_pages)

    def _one(self, query: Callable[..., Mapping[UUID, V]], **scope: Actor) -> DataLoader[UUID, V | None]:
        async def load(keys: list[UUID]) -> list[V | None]:
            found: Mapping[UUID, V] = await self._transact(query, keys, **scope)
            return [found.get(key) for key in keys]

        return SharedLoader(load)

    def _details(self, query: Callable[..., Mapping[UUID, V]]) -> DataLoader[UUID, V | None]:
        """Load details of tenants or runs, for callers with the right tenants:read only.

        Other callers can have the tenant or run itself, from a mutation of theirs.
        """
        load = self._one(query).load_fn

        async def load_for_readers(keys: list[UUID]) -> Sequence[V | BaseException | None]:
            self._require_reader()
            return await load(keys)

        return SharedLoader(load_for_readers)

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
        for window in {window for _, window in keys}:
            parents = [parent for parent, its in keys if its == window]
            pages = await self._transact(query, parents, window, **scope)
            found.update({(parent, window): page for parent, page in pages.items()})
        return [found[key] for key in keys]
