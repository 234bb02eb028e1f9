"""Every command in every tenant state: legal ones take effect and emit events, illegal ones change nothing."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest

from models import RunKind, RunStatus, TenantState
from models.columns import new_id
from provisioning import cancellation, commands
from provisioning.actors import Actor
from provisioning.commands import Corrections
from provisioning.errors import (
    IllegalMove,
    Malformed,
    NotConfirmed,
    NotFound,
    NotProvisioning,
    NotStuck,
    ProvisioningRefused,
    QuotaExceeded,
    StaleRun,
    Taken,
    VersionConflict,
)
from provisioning.locking import Change
from provisioning.moves import Backward
from provisioning.saga import NotYet
from provisioning.wakeups import WakeUp
from runtime.settings import settings
from tests.run_harness import RunHarness, operator_of, run_harness_in
from tests.tenant_states import STEPS, all_rows, bring_tenant_to, compensated_steps, fail_permanently, tenants_of
from tests.waiting import wait_until_blocked

S = TenantState
Command = Callable[[RunHarness], Change]


def command(function: Callable[..., Change], **kwargs: Any) -> Command:
    def run(harness: RunHarness, **more: Any) -> Change:
        return harness.transact(function, harness.tenant_id, **({"by": harness.operator} | kwargs | more))

    return run


def update(**given: Any) -> Command:
    def run(harness: RunHarness, **more: Any) -> Change:
        wanted = Corrections(**given)
        by = {"by": harness.operator, "regions": harness.settings.regions}
        return harness.transact(commands.update_tenant, harness.tenant_id, wanted, **(by | more))

    return run


COMMANDS: dict[str, tuple[Command, set[TenantState]]] = {
    "retry": (command(commands.retry_provisioning), {S.PENDING, S.FAILED}),
    "cancel": (command(cancellation.cancel_provisioning), {S.PROVISIONING}),
    "suspend": (command(commands.suspend_tenant), {S.ACTIVE}),
    "resume": (command(commands.resume_tenant), {S.SUSPENDED}),
    "decommission": (
        command(commands.decommission_tenant, confirm_slug="shop"),
        {S.PENDING, S.FAILED, S.ACTIVE, S.SUSPENDED},
    ),
    "recreate": (command(commands.recreate_tenant, regions=("eu-central", "us-east")), {S.DECOMMISSIONED}),
    "correct the slug": (update(slug="other-shop"), {S.PENDING, S.FAILED}),
    "correct the plan": (update(plan="pro"), {S.PENDING, S.FAILED}),
    "rename": (update(name="Other"), {S.PENDING, S.FAILED, S.PROVISIONING, S.ACTIVE, S.SUSPENDED}),
    "resume the undo": (command(cancellation.resume_compensation), set()),
}
"""Each command, with the states in which it is legal."""

ILLEGAL = [(name, state) for name, (_, legal) in COMMANDS.items() for state in S if state not in legal]


@pytest.fixture(scope="module")
def harness_in_state(database_url: str) -> Iterator[Callable[[TenantState], RunHarness]]:
    """A tenant in each state, created once: the refused commands under test leave it unchanged."""
    made: dict[TenantState, RunHarness] = {}
    with ExitStack() as stack:

        def harness_in(state: TenantState) -> RunHarness:
            if state not in made:
                made[state] = stack.enter_context(run_harness_in(settings()))
                bring_tenant_to(made[state], state)
            return made[state]

        yield harness_in


@pytest.mark.parametrize(("name", "state"), ILLEGAL)
def test_an_illegal_command_is_refused_with_the_state_and_changes_nothing(
    harness_in_state: Callable[[TenantState], RunHarness], name: str, state: TenantState
) -> None:
    harness = harness_in_state(state)
    before = all_rows(harness)
    act, legal = COMMANDS[name]

    with pytest.raises(IllegalMove) as refusal:
        act(harness)

    assert refusal.value.state is state
    assert state in str(refusal.value)
    assert state not in refusal.value.allowed or isinstance(refusal.value, NotStuck)
    assert legal <= set(refusal.value.allowed) or name == "rename"
    assert all_rows(harness) == before


def test_cancelling_an_active_tenant_is_refused_as_not_provisioning(
    harness_in_state: Callable[[TenantState], RunHarness],
) -> None:
    with pytest.raises(NotProvisioning, match="The tenant is ACTIVE: only a provisioning in progress can be cancelled"):
        harness_in_state(S.ACTIVE).cancel()


def test_a_slug_is_free_again_after_decommissioning(harness: RunHarness) -> None:
    bring_tenant_to(harness, S.DECOMMISSIONED)
    old = harness.tenant_id

    harness.create()

    assert harness.tenant_id != old
    assert harness.tenant().recreated_from_id is None


def test_a_retry_counts_against_the_plan(database_url: str) -> None:
    with run_harness_in(settings(), plan="free") as harness:
        harness.create(slug="waiting", start=False)
        waiting = harness.tenant_id
        for number in range(3):
            harness.create(slug=f"shop-{number}")
        harness.tenant_id = waiting
        before = all_rows(harness)

        with pytest.raises(QuotaExceeded):
            harness.retry()

        assert all_rows(harness) == before


def test_a_failed_run_can_be_retried_under_the_next_number(harness: RunHarness) -> None:
    bring_tenant_to(harness, S.FAILED)
    version = harness.tenant().version

    change = harness.retry()

    assert change.run is not None
    assert change.run.number == 2
    assert harness.tenant().state is S.PROVISIONING
    assert harness.tenant().version == version + 1
    assert {step.attempts for step in harness.steps()} == {0}
    harness.make_moves()
    assert harness.tenant().state is S.ACTIVE


def test_a_suspended_tenant_keeps_its_resources_and_can_be_resumed(harness: RunHarness) -> None:
    bring_tenant_to(harness, S.ACTIVE)
    held = harness.existing_resources()

    harness.transact(commands.suspend_tenant, harness.tenant_id, by=harness.operator, reason=" unpaid ")
    suspended = harness.tenant()
    harness.transact(commands.resume_tenant, harness.tenant_id, by=harness.operator)

    assert suspended.state is S.SUSPENDED
    assert harness.tenant().state is S.ACTIVE
    assert harness.tenant().version == suspended.version + 1
    assert harness.existing_resources() == held != []
    assert harness.event_lines()[-2:] == ["suspended", "resumed"]
    assert harness.events()[-2].data == {"reason": "unpaid"}
    assert harness.run().number == 1


@pytest.mark.parametrize("state", [S.PENDING, S.FAILED])
def test_a_tenant_that_holds_nothing_is_decommissioned_at_once(harness: RunHarness, state: TenantState) -> None:
    bring_tenant_to(harness, state)

    change = harness.transact(commands.decommission_tenant, harness.tenant_id, by=harness.operator)

    assert change.run is None
    assert harness.tenant().state is S.DECOMMISSIONED
    assert harness.event_lines()[-1] == "deprovisioning.completed"


@pytest.mark.parametrize("state", [S.ACTIVE, S.SUSPENDED])
def test_decommissioning_releases_everything_in_reverse(harness: RunHarness, state: TenantState) -> None:
    bring_tenant_to(harness, state)
    held = harness.held_resources()

    change = harness.transact(commands.decommission_tenant, harness.tenant_id, by=harness.operator, confirm_slug="shop")

    assert change.run is not None
    assert (change.run.number, change.run.kind) == (2, RunKind.DECOMMISSION)
    assert harness.tenant().state is S.DECOMMISSIONING
    harness.make_moves()
    assert harness.tenant().state is S.DECOMMISSIONED
    assert harness.run().status is RunStatus.DECOMMISSIONED
    assert compensated_steps(harness) == STEPS[::-1]
    assert harness.held_resources() == harness.existing_resources() == []
    released = harness.events()[-1].data["released"]
    assert sorted(resource["name"] for resource in released) == sorted(held)
    harness.create()
    assert harness.tenant().state is S.PROVISIONING


@pytest.mark.parametrize("state", [S.ACTIVE, S.SUSPENDED])
@pytest.mark.parametrize("typed", [None, "", "sho", "SHOP", " shop"])
def test_decommissioning_requires_the_slug_as_confirmation(
    harness_in_state: Callable[[TenantState], RunHarness], state: TenantState, typed: str | None
) -> None:
    harness = harness_in_state(state)
    before = all_rows(harness)

    with pytest.raises(NotConfirmed):
        harness.transact(commands.decommission_tenant, harness.tenant_id, by=harness.operator, confirm_slug=typed)

    assert all_rows(harness) == before


def test_a_decommissioning_run_cannot_be_cancelled(harness_in_state: Callable[[TenantState], RunHarness]) -> None:
    harness = harness_in_state(S.DECOMMISSIONING)

    with pytest.raises(NotProvisioning) as refusal:
        harness.cancel(run_id=harness.run().id)

    assert refusal.value.state is S.DECOMMISSIONING


def test_recreating_makes_a_new_tenant_that_refers_to_the_old_one(harness: RunHarness) -> None:
    bring_tenant_to(harness, S.DECOMMISSIONED)
    old = harness.tenant()

    change = harness.transact(commands.recreate_tenant, old.id, by=harness.operator, regions=harness.settings.regions)

    harness.tenant_id = change.tenant.id
    fresh = harness.tenant()
    assert fresh.id != old.id
    assert fresh.recreated_from_id == old.id
    assert (fresh.slug, fresh.plan_code, fresh.first_admin_email) == (old.slug, old.plan_code, old.first_admin_email)
    assert harness.event_lines() == ["created", "recreated", "provisioning.started"]
    assert harness.run().number == 1
    harness.make_moves()
    assert harness.tenant().state is S.ACTIVE


def test_a_tenant_is_recreated_once_while_its_slug_is_in_use(harness: RunHarness) -> None:
    bring_tenant_to(harness, S.DECOMMISSIONED)
    recreate = COMMANDS["recreate"][0]
    recreate(harness)

    with pytest.raises(Taken):
        recreate(harness)

    assert len(tenants_of(harness)) == 2


@pytest.mark.parametrize("state", [S.PENDING, S.FAILED])
def test_all_values_can_be_corrected_while_no_resources_are_held(harness: RunHarness, state: TenantState) -> None:
    bring_tenant_to(harness, state)
    version = harness.tenant().version

    update(slug="store", name="Store", plan="pro", region="us-east", first_admin_email="bo@store.example")(harness)

    tenant = harness.tenant()
    assert tenant.version == version + 1
    assert tenant.address == f"store-{harness.organisation.slug}"
    assert harness.events()[-1].data == {
        "changes": {
            "slug": ["shop", "store"],
            "name": ["shop", "Store"],
            "plan": ["starter", "pro"],
            "region": ["eu-central", "us-east"],
            "first_admin_email": ["first@shop.example", "bo@store.example"],
        }
    }
    harness.retry()
    harness.make_moves()
    assert harness.tenant().state is S.ACTIVE


def test_an_update_that_changes_nothing_emits_no_event(harness: RunHarness) -> None:
    harness.create(start=False)
    before = all_rows(harness)

    update(slug="shop", name="shop")(harness)

    assert all_rows(harness) == before


@pytest.mark.parametrize("more", [{}, {"plan": "pro"}, {"name": "Other", "region": "us-east"}], ids=str)
def test_a_tenant_cannot_be_renamed_to_a_slug_in_use(harness: RunHarness, more: dict[str, str]) -> None:
    harness.create(slug="store", start=False)
    harness.create(start=False)
    before = all_rows(harness)

    with pytest.raises(Taken) as refusal:
        update(slug="store", **more)(harness)

    assert refusal.value.value == "store"
    assert all_rows(harness) == before


@pytest.mark.parametrize("given", [{"slug": "Bad"}, {"name": ""}, {"plan": "gold"}, {"region": "moon"}], ids=str)
def test_a_malformed_correction_changes_nothing(harness: RunHarness, given: dict[str, str]) -> None:
    harness.create(start=False)
    before = all_rows(harness)

    with pytest.raises(Malformed):
        update(**({"first_admin_email": "bo@store.example"} | given))(harness)

    assert all_rows(harness) == before


LEGAL_STATE: dict[str, TenantState] = {
    "retry": S.PENDING,
    "cancel": S.PROVISIONING,
    "suspend": S.ACTIVE,
    "resume": S.SUSPENDED,
    "decommission": S.ACTIVE,
    "recreate": S.DECOMMISSIONED,
    "correct the slug": S.PENDING,
    "resume the undo": S.PROVISIONING,
}


@pytest.mark.parametrize(("name", "state"), LEGAL_STATE.items())
@pytest.mark.parametrize("off", [-1, 1])
def test_a_command_for_another_version_is_refused(
    harness_in_state: Callable[[TenantState], RunHarness], name: str, state: TenantState, off: int
) -> None:
    harness = harness_in_state(state)
    before, version = all_rows(harness), harness.tenant().version

    with pytest.raises(VersionConflict) as refusal:
        COMMANDS[name][0](harness, expected_version=version + off)  # type: ignore[call-arg]  # every command takes it

    assert (refusal.value.expected, refusal.value.current) == (version + off, version)
    assert all_rows(harness) == before


def test_a_command_for_the_current_version_is_accepted(harness: RunHarness) -> None:
    harness.create()

    change = harness.cancel(expected_version=harness.tenant().version)

    assert change.tenant.state is S.PENDING


def test_a_version_is_compared_under_the_lock(harness: RunHarness, database_url: str) -> None:
    harness.create()
    seen = harness.tenant().version

    with ThreadPoolExecutor() as pool:
        with harness.database.transaction() as session:
            wanted = Corrections(name="Renamed")
            commands.update_tenant(session, harness.tenant_id, wanted, by=harness.operator, regions=("eu-central",))
            cancel = pool.submit(harness.cancel, expected_version=seen)
            wait_until_blocked(cancel, database_url)
        refusal = cancel.exception(timeout=10)

    assert isinstance(refusal, VersionConflict)
    assert not harness.run().cancel_requested


UNAUTHORIZED_CALLERS: dict[str, Callable[[RunHarness], Actor]] = {
    "another organisation": lambda harness: Actor(harness.operator.kind, new_id(), "Eve", None, new_id()),
    "an account limited to other tenants": lambda harness: Actor(
        harness.operator.kind, new_id(), "CI", None, harness.organisation.id, frozenset({new_id()})
    ),
}


@pytest.mark.parametrize("caller", UNAUTHORIZED_CALLERS)
@pytest.mark.parametrize(("name", "state"), LEGAL_STATE.items())
def test_a_tenant_that_the_caller_may_not_see_is_not_found(
    harness_in_state: Callable[[TenantState], RunHarness], name: str, state: TenantState, caller: str
) -> None:
    harness = harness_in_state(state)
    before = all_rows(harness)

    with pytest.raises(NotFound) as refusal:
        COMMANDS[name][0](harness, by=UNAUTHORIZED_CALLERS[caller](harness))  # type: ignore[call-arg]  # every command takes it

    assert str(refusal.value) == "The tenant was not found: it does not exist, or you have no access to it."
    assert all_rows(harness) == before


def test_an_unknown_tenant_id_is_not_found(harness: RunHarness) -> None:
    harness.tenant_id = new_id()

    for act, _ in COMMANDS.values():
        with pytest.raises(
            NotFound, match=r"^The tenant was not found: it does not exist, or you have no access to it\.$"
        ):
            act(harness)


def test_a_cancel_for_an_earlier_run_is_stale(harness: RunHarness) -> None:
    harness.create()
    first = harness.run()
    harness.cancel()
    harness.retry()
    before = all_rows(harness)

    with pytest.raises(StaleRun) as refusal:
        harness.cancel(run_id=first.id)

    assert refusal.value.current_number == 2
    assert all_rows(harness) == before


def test_cancelling_twice_is_cancelling_once(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="allocate_identity")
    claim = harness.claim()
    first = harness.cancel(reason="typo")
    before = all_rows(harness)

    second = harness.cancel(by=operator_of(harness.organisation, "Paul Partner"), reason="me too")

    assert not first.already_requested
    assert second.already_requested
    assert first.run is not None
    assert second.run is not None
    assert second.run.id == first.run.id
    assert (second.run.cancel_actor_name, second.run.cancel_reason) == (harness.operator.email, "typo")
    assert all_rows(harness) == before
    assert claim.run_id == first.run.id


def test_a_retry_is_refused_until_the_run_has_settled(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="allocate_identity")
    harness.cancel()
    tries = 0

    while harness.run().status is RunStatus.CANCELLING:
        with pytest.raises(IllegalMove) as refusal:
            harness.retry()
        assert refusal.value.state is S.PROVISIONING
        tries += 1
        harness.step_runner.make_move(harness.run().id, harness.next_move())  # type: ignore[arg-type]  # it goes backward

    assert tries == 2
    assert harness.retry().run is not None


def test_a_bulk_cancel_answers_for_each_tenant(harness: RunHarness) -> None:
    harness.create(slug="one")
    one = harness.tenant_id
    harness.create(slug="two", start=False)
    two, nowhere = harness.tenant_id, new_id()

    answers = harness.transact(
        cancellation.cancel_provisionings, [two, nowhere, one], by=harness.operator, reason="storm"
    )

    assert [answer.tenant_id for answer in answers] == [two, nowhere, one]
    assert [type(answer.refusal) for answer in answers] == [NotProvisioning, NotFound, type(None)]
    harness.tenant_id = one
    assert harness.run().id == answers[2].run_id
    assert harness.run().status is RunStatus.CANCELLING
    harness.sweep()
    assert harness.tenant().state is S.PENDING


def test_a_bulk_cancel_undoes_a_run_that_waits_for_its_next_poll(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="await_readiness")
    harness.record(harness.claim(), NotYet(after=timedelta(hours=1)))

    harness.transact(cancellation.cancel_provisionings, [harness.tenant_id], by=harness.operator)
    harness.wake_ups.clear()
    harness.sweep()
    sent = harness.wake_ups.copy()
    harness.make_moves()

    assert WakeUp(harness.run().id, Backward("await_readiness")) in sent
    assert harness.step("await_readiness").error is None
    assert harness.tenant().state is S.PENDING
    assert harness.existing_resources() == []


def test_two_bulk_cancels_in_opposite_orders_both_succeed(harness: RunHarness) -> None:
    ids = []
    for number in range(6):
        harness.create(slug=f"shop-{number}")
        harness.make_moves(until="allocate_identity")
        ids.append(harness.tenant_id)

    with ThreadPoolExecutor(2) as pool:
        both = [
            pool.submit(harness.transact, cancellation.cancel_provisionings, order, by=harness.operator)
            for order in (ids, ids[::-1])
        ]

    answers = [answer for future in both for answer in future.result()]
    assert all(answer.run_id for answer in answers)
    assert [answer.already_requested for answer in answers].count(False) == 6
    harness.make_moves()
    assert harness.event_lines().count("provisioning.cancelled") == 1


def test_every_refusal_is_a_sentence(harness_in_state: Callable[[TenantState], RunHarness]) -> None:
    for act, legal in COMMANDS.values():
        for state in (S.PENDING, S.PROVISIONING):
            if state not in legal:
                with pytest.raises(ProvisioningRefused) as refusal:
                    act(harness_in_state(state))
                assert str(refusal.value)[0].isupper()
                assert str(refusal.value).endswith(".")


def test_a_failure_event_has_the_step_and_the_cause(harness: RunHarness) -> None:
    harness.create()

    fail_permanently(harness)

    data = harness.events()[-1].data
    assert data["failed_step"] == "validate_request"
    assert data["error"] == "No."
    assert data["released"] == []
