"""Every command in every state: what domain.md allows happens and is told; the rest is refused and changes nothing."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlmodel import select

from models import RunKind, RunStatus, Tenant, TenantState
from models.columns import new_id
from provisioning import bulk_cancellation, cancellation, commands
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
from provisioning.lookup import Change
from provisioning.moves import Backward
from provisioning.saga import NotYet
from provisioning.wakeups import WakeUp
from runtime.settings import settings
from tests.scenes import STEPS, bring_to, everything, fail_for_good, undone
from tests.stage import Stage, operator_of, stage_in
from tests.waiting import wait_until_blocked

S = TenantState
Command = Callable[[Stage], Change]


def command(function: Callable[..., Change], **kwargs: Any) -> Command:
    def run(stage: Stage, **more: Any) -> Change:
        return stage.do(function, stage.tenant_id, **({"by": stage.operator} | kwargs | more))

    return run


def update(**given: Any) -> Command:
    def run(stage: Stage, **more: Any) -> Change:
        wanted = Corrections(**given)
        by = {"by": stage.operator, "regions": stage.settings.regions}
        return stage.do(commands.update_tenant, stage.tenant_id, wanted, **(by | more))

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
"""Each command and the states in which it is legal."""

ILLEGAL = [(name, state) for name, (_, legal) in COMMANDS.items() for state in S if state not in legal]


@pytest.fixture(scope="module")
def standing(database_url: str) -> Iterator[Callable[[TenantState], Stage]]:
    """A tenant in each state, made once: a refused command leaves it as it was, which is what is tested."""
    made: dict[TenantState, Stage] = {}
    with ExitStack() as stack:

        def stage_for(state: TenantState) -> Stage:
            if state not in made:
                made[state] = stack.enter_context(stage_in(settings()))
                bring_to(made[state], state)
            return made[state]

        yield stage_for


@pytest.mark.parametrize(("name", "state"), ILLEGAL)
def test_an_illegal_command_is_refused_with_the_state_and_changes_nothing(
    standing: Callable[[TenantState], Stage], name: str, state: TenantState
) -> None:
    stage = standing(state)
    before = everything(stage)
    act, legal = COMMANDS[name]

    with pytest.raises(IllegalMove) as refusal:
        act(stage)

    assert refusal.value.state is state
    assert state in str(refusal.value)
    assert state not in refusal.value.allowed or isinstance(refusal.value, NotStuck)
    assert legal <= set(refusal.value.allowed) or name == "rename"
    assert everything(stage) == before


def test_cancelling_what_is_not_provisioning_has_a_refusal_of_its_own(
    standing: Callable[[TenantState], Stage],
) -> None:
    with pytest.raises(NotProvisioning, match="The tenant is ACTIVE: only a provisioning under way can be cancelled"):
        standing(S.ACTIVE).cancel()


def test_a_tenant_is_created_and_provisioned_in_one_commit(stage: Stage) -> None:
    change = stage.create(name=" The Shop ", region="us-east")

    assert change.run is not None
    assert (change.run.number, change.run.kind, change.run.status) == (1, RunKind.PROVISION, RunStatus.QUEUED)
    assert stage.tenant().state is S.PROVISIONING
    assert stage.tenant().name == "The Shop"
    assert stage.story() == ["created", "provisioning.started"]
    assert [event.actor_email for event in stage.events()] == [stage.operator.email] * 2
    assert stage.events()[0].data == {
        "slug": "shop",
        "name": "The Shop",
        "region": "us-east",
        "plan": "starter",
        "first_admin_email": "first@shop.example",
        "provisioning_deadline_s": None,
    }
    assert stage.events()[1].data == {
        "run_number": 1,
        "slug": "shop",
        "plan": "starter",
        "requested_by": stage.operator.email,
    }
    assert [wake_up.move.step for wake_up in stage.wake_ups] == ["validate_request"]


def test_a_tenant_can_be_created_without_being_provisioned(stage: Stage) -> None:
    change = stage.create(start=False)

    assert change.run is None
    assert stage.tenant().state is S.PENDING
    assert stage.story() == ["created"]
    assert stage.wake_ups == []


def test_what_nobody_said_is_filled_in(stage: Stage) -> None:
    stage.create(start=False)

    assert (stage.tenant().name, stage.tenant().region) == ("shop", stage.settings.default_region)


def tenants_of(stage: Stage) -> list[Tenant]:
    wanted = select(Tenant).where(Tenant.organisation_id == stage.organisation.id)
    return stage.read(lambda session: list(session.exec(wanted)))


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"slug": "Shop"}, "slug"),
        ({"slug": "admin"}, "slug"),
        ({"slug": "x" * 41}, "slug"),
        ({"name": "x" * 81}, "name"),
        ({"region": "moon"}, "region"),
        ({"plan": "gold"}, "plan"),
        ({"first_admin_email": "nobody"}, "first_admin_email"),
        ({"provisioning_deadline": timedelta(milliseconds=999)}, "provisioning_deadline"),
        ({"provisioning_deadline": timedelta(days=30, seconds=1)}, "provisioning_deadline"),
    ],
    ids=str,
)
def test_a_malformed_value_is_refused_by_its_field_and_creates_nothing(
    stage: Stage, wanted: dict[str, Any], field: str
) -> None:
    with pytest.raises(Malformed) as refusal:
        stage.create(**wanted)

    assert refusal.value.field == field
    assert tenants_of(stage) == []


def test_an_address_that_does_not_fit_into_a_dns_label_is_refused(stage: Stage) -> None:
    rename(stage, f"org-{uuid4().hex}")
    stage.create(slug="s" * 26)

    with pytest.raises(Malformed, match="longer than a DNS label, 63 characters"):
        stage.create(slug="s" * 27)

    assert len(tenants_of(stage)) == 1


def test_a_slug_in_use_is_taken(stage: Stage) -> None:
    stage.create(start=False)
    before = everything(stage)

    with pytest.raises(Taken) as refusal:
        stage.create(start=False)

    assert (refusal.value.field, refusal.value.value) == ("slug", "shop")
    assert everything(stage) == before
    assert len(tenants_of(stage)) == 1


def test_two_creates_racing_for_a_slug_make_one_tenant(stage: Stage) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(stage.create, start=False) for _ in range(8)]

    refusals = [answer.exception() for answer in answers if answer.exception()]
    assert len(refusals) == 7
    assert {type(refusal) for refusal in refusals} == {Taken}
    assert len(tenants_of(stage)) == 1


def test_two_spellings_of_one_address_are_told_apart(database_url: str) -> None:
    tail = f"c{uuid4().hex[:8]}"
    with stage_in(settings()) as one, stage_in(settings()) as other:
        rename(one, f"b-{tail}")
        rename(other, tail)
        one.create(slug="aa", start=False)

        with pytest.raises(Taken) as refusal:
            other.create(slug="aa-b", start=False)

        assert refusal.value.value == "aa-b"
        assert tenants_of(other) == []


def rename(stage: Stage, slug: str) -> None:
    stage.organisation.slug = slug
    with stage.database.transaction() as session:
        session.merge(stage.organisation)


def test_a_slug_is_free_again_after_decommissioning(stage: Stage) -> None:
    bring_to(stage, S.DECOMMISSIONED)
    old = stage.tenant_id

    stage.create()

    assert stage.tenant_id != old
    assert stage.tenant().recreated_from_id is None


def test_a_plan_limits_the_tenants_that_count_at_once(database_url: str) -> None:
    with stage_in(settings(), plan="free") as stage:
        for number in range(3):
            stage.create(slug=f"shop-{number}")

        with pytest.raises(QuotaExceeded) as refusal:
            stage.create(slug="shop-3")

        assert (refusal.value.used, refusal.value.allowed) == (3, 3)
        assert len(tenants_of(stage)) == 3
        stage.cancel()
        stage.create(slug="shop-3")


def test_a_retry_counts_against_the_plan(database_url: str) -> None:
    with stage_in(settings(), plan="free") as stage:
        stage.create(slug="waiting", start=False)
        waiting = stage.tenant_id
        for number in range(3):
            stage.create(slug=f"shop-{number}")
        stage.tenant_id = waiting
        before = everything(stage)

        with pytest.raises(QuotaExceeded):
            stage.retry()

        assert everything(stage) == before


def test_two_creates_cannot_both_have_the_last_place(database_url: str) -> None:
    with stage_in(settings(), plan="free") as stage:
        stage.create(slug="shop-0")
        stage.create(slug="shop-1")
        order = commands.NewTenant(slug="shop-2", plan="free", first_admin_email="a@b.example")
        facts: dict[str, Any] = {
            "organisation_id": stage.organisation.id,
            "by": stage.operator,
            "regions": stage.settings.regions,
        }

        with ThreadPoolExecutor() as pool:
            with stage.database.transaction() as session:
                commands.create_tenant(session, order, **facts)
                other = pool.submit(stage.create, slug="shop-3")
                wait_until_blocked(other, database_url)
            refusal = other.exception(timeout=10)

        assert isinstance(refusal, QuotaExceeded)
        assert sorted(tenant.slug for tenant in tenants_of(stage)) == ["shop-0", "shop-1", "shop-2"]


def test_a_failed_run_can_be_retried_under_the_next_number(stage: Stage) -> None:
    bring_to(stage, S.FAILED)
    version = stage.tenant().version

    change = stage.retry()

    assert change.run is not None
    assert change.run.number == 2
    assert stage.tenant().state is S.PROVISIONING
    assert stage.tenant().version == version + 1
    assert {step.attempts for step in stage.steps()} == {0}
    stage.play()
    assert stage.tenant().state is S.ACTIVE


def test_a_suspended_tenant_keeps_everything_and_can_be_resumed(stage: Stage) -> None:
    bring_to(stage, S.ACTIVE)
    held = stage.outside()

    stage.do(commands.suspend_tenant, stage.tenant_id, by=stage.operator, reason=" unpaid ")
    suspended = stage.tenant()
    stage.do(commands.resume_tenant, stage.tenant_id, by=stage.operator)

    assert suspended.state is S.SUSPENDED
    assert stage.tenant().state is S.ACTIVE
    assert stage.tenant().version == suspended.version + 1
    assert stage.outside() == held != []
    assert stage.story()[-2:] == ["suspended", "resumed"]
    assert stage.events()[-2].data == {"reason": "unpaid"}
    assert stage.run().number == 1


@pytest.mark.parametrize("state", [S.PENDING, S.FAILED])
def test_a_tenant_that_holds_nothing_is_decommissioned_at_once(stage: Stage, state: TenantState) -> None:
    bring_to(stage, state)

    change = stage.do(commands.decommission_tenant, stage.tenant_id, by=stage.operator)

    assert change.run is None
    assert stage.tenant().state is S.DECOMMISSIONED
    assert stage.story()[-1] == "deprovisioning.completed"


@pytest.mark.parametrize("state", [S.ACTIVE, S.SUSPENDED])
def test_decommissioning_releases_everything_in_reverse(stage: Stage, state: TenantState) -> None:
    bring_to(stage, state)
    held = stage.held()

    change = stage.do(commands.decommission_tenant, stage.tenant_id, by=stage.operator, confirm_slug="shop")

    assert change.run is not None
    assert (change.run.number, change.run.kind) == (2, RunKind.DECOMMISSION)
    assert stage.tenant().state is S.DECOMMISSIONING
    stage.play()
    assert stage.tenant().state is S.DECOMMISSIONED
    assert stage.run().status is RunStatus.DECOMMISSIONED
    assert undone(stage) == STEPS[::-1]
    assert stage.held() == stage.outside() == []
    released = stage.events()[-1].data["released"]
    assert sorted(one["name"] for one in released) == sorted(held)
    stage.create()
    assert stage.tenant().state is S.PROVISIONING


@pytest.mark.parametrize("state", [S.ACTIVE, S.SUSPENDED])
@pytest.mark.parametrize("typed", [None, "", "sho", "SHOP", " shop"])
def test_decommissioning_needs_the_slug_typed(
    standing: Callable[[TenantState], Stage], state: TenantState, typed: str | None
) -> None:
    stage = standing(state)
    before = everything(stage)

    with pytest.raises(NotConfirmed):
        stage.do(commands.decommission_tenant, stage.tenant_id, by=stage.operator, confirm_slug=typed)

    assert everything(stage) == before


def test_a_decommissioning_run_cannot_be_cancelled(standing: Callable[[TenantState], Stage]) -> None:
    stage = standing(S.DECOMMISSIONING)

    with pytest.raises(NotProvisioning) as refusal:
        stage.cancel(run_id=stage.run().id)

    assert refusal.value.state is S.DECOMMISSIONING


def test_recreating_gives_a_fresh_tenant_linked_to_the_old(stage: Stage) -> None:
    bring_to(stage, S.DECOMMISSIONED)
    old = stage.tenant()

    change = stage.do(commands.recreate_tenant, old.id, by=stage.operator, regions=stage.settings.regions)

    stage.tenant_id = change.tenant.id
    fresh = stage.tenant()
    assert fresh.id != old.id
    assert fresh.recreated_from_id == old.id
    assert (fresh.slug, fresh.plan_code, fresh.first_admin_email) == (old.slug, old.plan_code, old.first_admin_email)
    assert stage.story() == ["created", "recreated", "provisioning.started"]
    assert stage.run().number == 1
    stage.play()
    assert stage.tenant().state is S.ACTIVE


def test_a_tenant_is_recreated_once_while_its_slug_is_in_use(stage: Stage) -> None:
    bring_to(stage, S.DECOMMISSIONED)
    recreate = COMMANDS["recreate"][0]
    recreate(stage)

    with pytest.raises(Taken):
        recreate(stage)

    assert len(tenants_of(stage)) == 2


@pytest.mark.parametrize("state", [S.PENDING, S.FAILED])
def test_wrong_values_can_be_corrected_while_nothing_is_held(stage: Stage, state: TenantState) -> None:
    bring_to(stage, state)
    version = stage.tenant().version

    update(slug="store", name="Store", plan="pro", region="us-east", first_admin_email="bo@store.example")(stage)

    tenant = stage.tenant()
    assert tenant.version == version + 1
    assert tenant.address == f"store-{stage.organisation.slug}"
    assert stage.events()[-1].data == {
        "changes": {
            "slug": ["shop", "store"],
            "name": ["shop", "Store"],
            "plan": ["starter", "pro"],
            "region": ["eu-central", "us-east"],
            "first_admin_email": ["first@shop.example", "bo@store.example"],
        }
    }
    stage.retry()
    stage.play()
    assert stage.tenant().state is S.ACTIVE


def test_an_update_that_changes_nothing_is_not_told(stage: Stage) -> None:
    stage.create(start=False)
    before = everything(stage)

    update(slug="shop", name="shop")(stage)

    assert everything(stage) == before


@pytest.mark.parametrize("more", [{}, {"plan": "pro"}, {"name": "Other", "region": "us-east"}], ids=str)
def test_a_tenant_cannot_be_renamed_to_a_slug_in_use(stage: Stage, more: dict[str, str]) -> None:
    stage.create(slug="store", start=False)
    stage.create(start=False)
    before = everything(stage)

    with pytest.raises(Taken) as refusal:
        update(slug="store", **more)(stage)

    assert refusal.value.value == "store"
    assert everything(stage) == before


@pytest.mark.parametrize("given", [{"slug": "Bad"}, {"name": ""}, {"plan": "gold"}, {"region": "moon"}], ids=str)
def test_a_malformed_correction_changes_nothing(stage: Stage, given: dict[str, str]) -> None:
    stage.create(start=False)
    before = everything(stage)

    with pytest.raises(Malformed):
        update(**({"first_admin_email": "bo@store.example"} | given))(stage)

    assert everything(stage) == before


EXPECTING: dict[str, TenantState] = {
    "retry": S.PENDING,
    "cancel": S.PROVISIONING,
    "suspend": S.ACTIVE,
    "resume": S.SUSPENDED,
    "decommission": S.ACTIVE,
    "recreate": S.DECOMMISSIONED,
    "correct the slug": S.PENDING,
    "resume the undo": S.PROVISIONING,
}


@pytest.mark.parametrize(("name", "state"), EXPECTING.items())
@pytest.mark.parametrize("off", [-1, 1])
def test_a_command_for_another_version_is_refused(
    standing: Callable[[TenantState], Stage], name: str, state: TenantState, off: int
) -> None:
    stage = standing(state)
    before, version = everything(stage), stage.tenant().version

    with pytest.raises(VersionConflict) as refusal:
        COMMANDS[name][0](stage, expected_version=version + off)  # type: ignore[call-arg]  # every one takes it

    assert (refusal.value.expected, refusal.value.current) == (version + off, version)
    assert everything(stage) == before


def test_a_command_for_the_current_version_goes_through(stage: Stage) -> None:
    stage.create()

    change = stage.cancel(expected_version=stage.tenant().version)

    assert change.tenant.state is S.PENDING


def test_a_version_is_compared_under_the_lock(stage: Stage, database_url: str) -> None:
    stage.create()
    seen = stage.tenant().version

    with ThreadPoolExecutor() as pool:
        with stage.database.transaction() as session:
            wanted = Corrections(name="Renamed")
            commands.update_tenant(session, stage.tenant_id, wanted, by=stage.operator, regions=("eu-central",))
            cancel = pool.submit(stage.cancel, expected_version=seen)
            wait_until_blocked(cancel, database_url)
        refusal = cancel.exception(timeout=10)

    assert isinstance(refusal, VersionConflict)
    assert not stage.run().cancel_requested


STRANGERS: dict[str, Callable[[Stage], Actor]] = {
    "another organisation": lambda stage: Actor(stage.operator.kind, new_id(), "Eve", None, new_id()),
    "an account limited to other tenants": lambda stage: Actor(
        stage.operator.kind, new_id(), "CI", None, stage.organisation.id, frozenset({new_id()})
    ),
}


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize(("name", "state"), EXPECTING.items())
def test_a_tenant_out_of_reach_does_not_exist(
    standing: Callable[[TenantState], Stage], name: str, state: TenantState, stranger: str
) -> None:
    stage = standing(state)
    before = everything(stage)

    with pytest.raises(NotFound) as refusal:
        COMMANDS[name][0](stage, by=STRANGERS[stranger](stage))  # type: ignore[call-arg]  # every one takes it

    assert str(refusal.value) == "There is no such tenant."
    assert everything(stage) == before


def test_an_unknown_id_is_answered_like_one_out_of_reach(stage: Stage) -> None:
    stage.tenant_id = new_id()

    for act, _ in COMMANDS.values():
        with pytest.raises(NotFound, match=r"^There is no such tenant\.$"):
            act(stage)


def test_a_cancel_for_an_earlier_run_is_stale(stage: Stage) -> None:
    stage.create()
    first = stage.run()
    stage.cancel()
    stage.retry()
    before = everything(stage)

    with pytest.raises(StaleRun) as refusal:
        stage.cancel(run_id=first.id)

    assert refusal.value.current_number == 2
    assert everything(stage) == before


def test_cancelling_twice_is_cancelling_once(stage: Stage) -> None:
    stage.create()
    stage.play(until="allocate_identity")
    claim = stage.claim()
    first = stage.cancel(reason="typo")
    before = everything(stage)

    second = stage.cancel(by=operator_of(stage.organisation, "Paul Partner"), reason="me too")

    assert not first.already_requested
    assert second.already_requested
    assert first.run is not None
    assert second.run is not None
    assert second.run.id == first.run.id
    assert (second.run.cancel_actor_name, second.run.cancel_reason) == (stage.operator.email, "typo")
    assert everything(stage) == before
    assert claim.run_id == first.run.id


def test_retrying_is_refused_until_the_run_has_settled(stage: Stage) -> None:
    stage.create()
    stage.play(until="allocate_identity")
    stage.cancel()
    tries = 0

    while stage.run().status is RunStatus.CANCELLING:
        with pytest.raises(IllegalMove) as refusal:
            stage.retry()
        assert refusal.value.state is S.PROVISIONING
        tries += 1
        stage.mover.make_move(stage.run().id, stage.next_move())  # type: ignore[arg-type]  # it goes backward

    assert tries == 2
    assert stage.retry().run is not None


def test_a_bulk_cancel_answers_for_each_tenant(stage: Stage) -> None:
    stage.create(slug="one")
    one = stage.tenant_id
    stage.create(slug="two", start=False)
    two, nowhere = stage.tenant_id, new_id()

    answers = stage.do(bulk_cancellation.cancel_provisionings, [two, nowhere, one], by=stage.operator, reason="storm")

    assert [answer.tenant_id for answer in answers] == [two, nowhere, one]
    assert [type(answer.refusal) for answer in answers] == [NotProvisioning, NotFound, type(None)]
    stage.tenant_id = one
    assert stage.run().id == answers[2].run_id
    assert stage.run().status is RunStatus.CANCELLING
    stage.sweep()
    assert stage.tenant().state is S.PENDING


def test_a_bulk_cancel_turns_back_what_waits_for_its_next_look(stage: Stage) -> None:
    stage.create()
    stage.play(until="await_readiness")
    stage.record(stage.claim(), NotYet(after=timedelta(hours=1)))

    stage.do(bulk_cancellation.cancel_provisionings, [stage.tenant_id], by=stage.operator)
    stage.wake_ups.clear()
    stage.sweep()
    announced = stage.wake_ups.copy()
    stage.play()

    assert WakeUp(stage.run().id, Backward("await_readiness")) in announced
    assert stage.step("await_readiness").error is None
    assert stage.tenant().state is S.PENDING
    assert stage.outside() == []


def test_two_bulk_cancels_in_opposite_orders_both_answer(stage: Stage) -> None:
    ids = []
    for number in range(6):
        stage.create(slug=f"shop-{number}")
        ids.append(stage.tenant_id)

    with ThreadPoolExecutor(2) as pool:
        both = [
            pool.submit(stage.do, bulk_cancellation.cancel_provisionings, order, by=stage.operator)
            for order in (ids, ids[::-1])
        ]

    answers = [answer for one in both for answer in one.result()]
    assert all(answer.run_id for answer in answers)
    assert [answer.already_requested for answer in answers].count(False) == 6
    stage.sweep()
    assert stage.story().count("provisioning.cancelled") == 1


def test_every_refusal_is_a_sentence(standing: Callable[[TenantState], Stage]) -> None:
    for act, legal in COMMANDS.values():
        for state in (S.PENDING, S.PROVISIONING):
            if state not in legal:
                with pytest.raises(ProvisioningRefused) as refusal:
                    act(standing(state))
                assert str(refusal.value)[0].isupper()
                assert str(refusal.value).endswith(".")


def test_a_failure_is_told_with_the_step_and_the_cause(stage: Stage) -> None:
    stage.create()

    fail_for_good(stage)

    told = stage.events()[-1].data
    assert told["failed_step"] == "validate_request"
    assert told["error"] == "No."
    assert told["released"] == []
