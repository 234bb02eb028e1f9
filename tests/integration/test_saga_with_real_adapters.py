"""The whole saga over the real adapters: what a tenant holds and what the edge answers, before, during and after."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import cast

import pytest
from starlette.testclient import TestClient

from adapters import infrastructure
from adapters.http_deployer import HttpDeployer
from edge import edge_app
from models import RunStatus, StepRole, TenantState
from provisioning import commands
from provisioning.ports import Infrastructure
from provisioning.resource_names import ResourceNames
from provisioning.steps import saga
from runtime.settings import Settings
from tests.builders import settings_with
from tests.local_deployer import local_deployer
from tests.run_harness import RunHarness, run_harness_in

STEPS = [step.name for step in saga if step.role is StepRole.STEP]


@dataclass(frozen=True)
class Outside:
    """A stage whose steps act on the real world."""

    harness: RunHarness
    infrastructure: Infrastructure
    edge: TestClient

    def present(self) -> list[str]:
        return self.infrastructure.present(
            ResourceNames(self.harness.tenant_id, self._address, self.harness.run().number)
        )

    def answer(self, path: str = "/healthz") -> int:
        return self.edge.get(path, headers={"Host": f"{self._address}.localhost"}).status_code

    @property
    def _address(self) -> str:
        return self.harness.tenant().address


@pytest.fixture(params=["edge", "http"])
def outside(request: pytest.FixtureRequest, database_url: str) -> Iterator[Outside]:
    with ExitStack() as stack:
        settings = _settings(request.param, database_url, stack)
        harness = stack.enter_context(run_harness_in(settings))
        built = infrastructure(settings, harness.database)
        harness.infrastructure = harness.step_runner.infrastructure = harness.faults.wrap(built)
        if request.param == "http":
            stack.callback(cast("HttpDeployer", built.deployer).close)
        yield Outside(harness, built, stack.enter_context(TestClient(edge_app(settings, harness.database))))


def _settings(kind: str, database_url: str, stack: ExitStack) -> Settings:
    if kind == "edge":
        return settings_with(database_url)
    address = stack.enter_context(local_deployer()).address
    return settings_with(database_url, deployer="http", deployer_url=address)


def test_a_run_to_the_end_holds_what_the_ledger_says_and_answers(outside: Outside) -> None:
    outside.harness.create()
    before = outside.answer()

    outside.harness.make_moves()

    assert outside.harness.tenant().state is TenantState.ACTIVE
    assert (before, outside.answer(), outside.answer("/.well-known/jwks.json")) == (404, 200, 200)
    assert outside.present() == outside.harness.held_resources()


@pytest.mark.parametrize("boundary", [*STEPS[1:], "mark_active"])
def test_a_cancel_leaves_nothing_outside_and_the_next_run_goes_live(outside: Outside, boundary: str) -> None:
    outside.harness.create()
    outside.harness.make_moves(until=boundary)

    outside.harness.cancel()
    outside.harness.make_moves()

    assert (outside.harness.run().status, outside.present(), outside.answer()) == (RunStatus.CANCELLED, [], 404)
    outside.harness.retry()
    outside.harness.make_moves()
    assert (outside.harness.tenant().state, outside.answer()) == (TenantState.ACTIVE, 200)


def test_a_tenant_is_paused_and_closed_for_everybody_to_see(outside: Outside) -> None:
    outside.harness.create()
    outside.harness.make_moves()
    held = outside.present()

    outside.harness.transact(commands.suspend_tenant, outside.harness.tenant_id, by=outside.harness.operator)
    paused = outside.answer()
    outside.harness.transact(
        commands.decommission_tenant, outside.harness.tenant_id, by=outside.harness.operator, confirm_slug="shop"
    )
    closing = outside.answer()
    outside.harness.make_moves()

    assert (paused, closing, outside.answer()) == (503, 410, 410)
    released = ResourceNames(outside.harness.tenant_id, outside.harness.tenant().address, 1)
    assert (len(held), outside.infrastructure.present(released)) == (6, [])
