"""The saga with the real adapters: a tenant's resources and the edge's answers after each kind of run."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import cast

import pytest
from starlette.testclient import TestClient

from adapters import infrastructure
from adapters.http_deployer import HttpDeployer
from edge.app import edge_app
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
class RealInfrastructure:
    """A run harness on the real adapters, and an edge on the same database."""

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
def real(request: pytest.FixtureRequest, database_url: str) -> Iterator[RealInfrastructure]:
    with ExitStack() as stack:
        settings = _settings(request.param, database_url, stack)
        harness = stack.enter_context(run_harness_in(settings))
        built = infrastructure(settings, harness.database)
        harness.infrastructure = harness.step_runner.infrastructure = harness.faults.wrap(built)
        if request.param == "http":
            stack.callback(cast("HttpDeployer", built.deployer).close)
        yield RealInfrastructure(harness, built, stack.enter_context(TestClient(edge_app(settings, harness.database))))


def _settings(kind: str, database_url: str, stack: ExitStack) -> Settings:
    if kind == "edge":
        return settings_with(database_url)
    address = stack.enter_context(local_deployer()).address
    return settings_with(database_url, deployer="http", deployer_url=address)


def test_a_completed_run_holds_the_resources_of_its_ledger_and_the_edge_answers(real: RealInfrastructure) -> None:
    real.harness.create()
    before = real.answer()

    real.harness.make_moves()

    assert real.harness.tenant().state is TenantState.ACTIVE
    assert (before, real.answer(), real.answer("/.well-known/jwks.json")) == (404, 200, 200)
    assert real.present() == real.harness.held_resources()


@pytest.mark.parametrize("boundary", [*STEPS[1:], "mark_active"])
def test_a_cancel_leaves_no_resources_and_the_next_run_activates_the_tenant(
    real: RealInfrastructure, boundary: str
) -> None:
    real.harness.create()
    real.harness.make_moves(until=boundary)

    real.harness.cancel()
    real.harness.make_moves()

    assert (real.harness.run().status, real.present(), real.answer()) == (RunStatus.CANCELLED, [], 404)
    real.harness.retry()
    real.harness.make_moves()
    assert (real.harness.tenant().state, real.answer()) == (TenantState.ACTIVE, 200)


def test_the_edge_answers_503_when_suspended_and_410_when_decommissioned(real: RealInfrastructure) -> None:
    real.harness.create()
    real.harness.make_moves()
    held = real.present()

    real.harness.transact(commands.suspend_tenant, real.harness.tenant_id, by=real.harness.operator)
    paused = real.answer()
    real.harness.transact(
        commands.decommission_tenant, real.harness.tenant_id, by=real.harness.operator, confirm_slug="shop"
    )
    closing = real.answer()
    real.harness.make_moves()

    assert (paused, closing, real.answer()) == (503, 410, 410)
    released = ResourceNames(real.harness.tenant_id, real.harness.tenant().address, 1)
    assert (len(held), real.infrastructure.present(released)) == (6, [])
