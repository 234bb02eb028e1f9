"""Data loaders: a field of a hundred tenants is read with one statement."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
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
    """The data loaders of one operation. Nothing is read twice, and nothing is kept for the next operation.

    Each is made when it is first used: an operation needs few of them, and every entry of a stream is an operation.
    """

    def __init__(self, transact: Transact, by: Actor, *, reads: bool) -> None:
        self._transact = transact
        self._by = by
        self._reads = reads

    @cached_property
    def tenants(self) -> DataLoader[UUID, Tenant | None]:
        """Tenants by id, of those that the caller may read."""
        return self._one(queries.tenants_by_id, by=self._by)

    @cached_property
    def runs(self) -> DataLoader[UUID, Run | None]:
        """Runs by id, of those that the caller may read."""
        return self._one(queries.runs_by_id, by=self._by)

    @cached_property
    def live_runs(self) -> DataLoader[UUID, Run | None]:
        """The live run of each tenant."""
        return self._one(queries.live_runs, by=self._by)

    @cached_property
    def events(self) -> DataLoader[UUID, Event | None]:
        """Events by id, of those that the caller may read."""
        return self._one(audit_feed.events_by_id, by=self._by)

    @cached_property
    def member_names(self) -> DataLoader[UUID, str | None]:
        """The names of members by id."""
        return self._one(queries.member_names, by=self._by)

    @cached_property
    def organisations(self) -> DataLoader[UUID, Organisation | None]:
        """Organisations by id."""
        return self._one(queries.organisations_by_id)

    @cached_property
    def quotas(self) -> DataLoader[UUID, Quota | None]:
        """The quota of each organisation."""
        return self._one(queries.quotas)

    @cached_property
    def steps(self) -> DataLoader[UUID, list[RunStep] | None]:
        """The steps of each run."""
        return self._details(queries.steps_of_runs)

    @cached_property
    def resources(self) -> DataLoader[UUID, list[Resource] | None]:
        """The resources that each run took."""
        return self._details(queries.resources_of_runs)

    @cached_property
    def absence_checks(self) -> DataLoader[UUID, list[AbsenceCheck] | None]:
        """The absence checks of each run."""
        return self._details(queries.absence_checks_of_runs)

    @cached_property
    def held(self) -> DataLoader[UUID, list[Resource] | None]:
        """The resources that each tenant holds."""
        return self._details(queries.held_resources)

    @cached_property
    def abandoned(self) -> DataLoader[UUID, list[Resource] | None]:
        """The resources that each tenant has abandoned."""
        return self._details(queries.abandoned_resources)

    @cached_property
    def runs_of_tenants(self) -> DataLoader[tuple[UUID, Window], Page[Run]]:
        """Pages of the runs of each tenant."""
        return SharedLoader(self._run_pages)

    @cached_property
    def timelines(self) -> DataLoader[tuple[UUID, Window], Page[Event]]:
        """Pages of the timeline of each run."""
        return SharedLoader(self._timeline_pages)

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
