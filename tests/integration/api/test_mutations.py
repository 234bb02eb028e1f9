"""Mutations on tenants: their payloads, their user errors, and that a refused mutation changes nothing."""

from typing import Any
from uuid import uuid4

import pytest
from sqlmodel import col, select

from models import Event, Role, RunStatus, StepStatus, Tenant, TenantState
from provisioning.moves import Backward
from provisioning.ports import Refused
from schema.node import global_id
from tests.api import Api, Client, Facts, tenant_gid
from tests.run_harness import RunHarness, run_harness_in
from tests.tenant_states import MAIL, all_rows, bring_tenant_to

VALID_INPUT = {"slug": "shop", "plan": "starter", "firstAdminEmail": "ada@shop.example"}


def code_of(payload: Facts) -> str:
    (error,) = payload["userErrors"]
    code: str = error["code"]
    return code


def tenants_of(harness: RunHarness) -> list[Tenant]:
    mine = select(Tenant).where(Tenant.organisation_id == harness.organisation.id)
    return harness.read(lambda session: list(session.exec(mine)))


def test_creating_a_tenant_starts_its_first_run(harness: RunHarness, owner: Client) -> None:
    payload = owner.mutate(
        "createTenant",
        "tenant { slug name region state version firstAdminEmail provisioningDeadline } "
        "tenantEdge { cursor node { slug } } run { number status kind }",
        **VALID_INPUT,
        provisioningDeadline="PT10M",
    )

    assert payload.pop("tenantEdge")["node"] == {"slug": "shop"}
    assert payload == {
        "tenant": {
            "slug": "shop",
            "name": "shop",
            "region": "eu-central",
            "state": "PROVISIONING",
            "version": 2,
            "firstAdminEmail": "ada@shop.example",
            "provisioningDeadline": "PT10M",
        },
        "run": {"number": 1, "status": "QUEUED", "kind": "PROVISION"},
        "userErrors": [],
    }


def test_the_cursor_of_a_created_tenants_edge_continues_the_list_after_it(harness: RunHarness, owner: Client) -> None:
    harness.create("older", start=False)
    payload = owner.mutate("createTenant", "tenantEdge { cursor }", **VALID_INPUT, start=False)

    page = owner.execute(
        "query Rest($after: String!) { tenants(after: $after) { nodes { slug } } }",
        after=payload["tenantEdge"]["cursor"],
    )

    assert page["tenants"]["nodes"] == [{"slug": "older"}]


@pytest.mark.parametrize(
    ("wrong", "code", "field"),
    [
        ({"slug": "Shop"}, "INVALID", "slug"),
        ({"slug": "a"}, "INVALID", "slug"),
        ({"slug": "x" * 41}, "INVALID", "slug"),
        ({"slug": "admin"}, "INVALID", "slug"),
        ({"slug": "shop\0"}, "INVALID", "slug"),
        ({"name": " "}, "INVALID", "name"),
        ({"plan": "gold"}, "INVALID", "plan"),
        ({"plan": "p\0"}, "INVALID", "plan"),
        ({"region": "mars"}, "INVALID", "region"),
        ({"firstAdminEmail": "ada"}, "INVALID", "firstAdminEmail"),
        ({"provisioningDeadline": "PT0.5S"}, "INVALID", "provisioningDeadline"),
        ({"provisioningDeadline": "P31D"}, "INVALID", "provisioningDeadline"),
        ({"name": ""}, "INVALID", "name"),
        ({"name": "a\ud800b"}, "INVALID", "name"),
        ({"slug": "a\ud800b"}, "INVALID", "slug"),
        ({"plan": "a\ud800b"}, "INVALID", "plan"),
        ({"region": ""}, "INVALID", "region"),
        ({"firstAdminEmail": "a\ud800@b.example"}, "INVALID", "firstAdminEmail"),
        ({"idempotencyKey": ""}, "INVALID", "idempotencyKey"),
        ({"idempotencyKey": "k" * 256}, "INVALID", "idempotencyKey"),
        ({"slug": "taken"}, "TAKEN", "slug"),
    ],
)
def test_an_invalid_value_is_refused_with_its_field_and_nothing_is_created(
    harness: RunHarness, owner: Client, wrong: dict[str, str], code: str, field: str
) -> None:
    harness.create("taken", start=False)

    payload = owner.mutate("createTenant", "tenant { id } tenantEdge { cursor } run { id }", **(VALID_INPUT | wrong))

    (error,) = payload.pop("userErrors")
    assert (error["code"], error["field"]) == (code, ["input", field])
    assert payload == {"tenant": None, "tenantEdge": None, "run": None}
    assert [tenant.slug for tenant in tenants_of(harness)] == ["taken"]


def test_a_tenant_beyond_the_quota_is_refused_with_the_limit(api: Api, harness: RunHarness) -> None:
    with run_harness_in(harness.settings, plan="free") as small:
        owner = api.member(small.organisation.id)
        for number in range(3):
            assert owner.mutate("createTenant", **(VALID_INPUT | {"slug": f"shop-{number}"}))["userErrors"] == []

        payload = owner.mutate("createTenant", "tenant { id }", **VALID_INPUT)

        assert code_of(payload) == "QUOTA_EXCEEDED"
        assert "3 tenants" in payload["userErrors"][0]["message"]
        assert len(tenants_of(small)) == 3


def test_a_plan_without_a_quota_neither_counts_tenants_nor_locks_the_organisation(
    api: Api, harness: RunHarness
) -> None:
    with api.statements() as sent:
        assert api.member(harness.organisation.id).mutate("createTenant", **VALID_INPUT)["userErrors"] == []

    assert not [one for one in sent if "count(" in one.lower() or "count_tenants" in one]
    assert not [one for one in sent if "FROM organisations" in one and "FOR " in one]


CHANGES: dict[str, dict[str, Any]] = {
    "updateTenant": {"name": "Other"},
    "cancelProvisioning": {},
    "retryProvisioning": {},
    "resumeCompensation": {},
    "suspendTenant": {},
    "resumeTenant": {},
    "decommissionTenant": {"confirmSlug": "shop"},
    "recreateTenant": {},
    "resendWelcomeEmails": {},
}

ALLOWED = {
    "cancelProvisioning": {TenantState.PROVISIONING},
    "retryProvisioning": {TenantState.PENDING, TenantState.FAILED},
    "resumeCompensation": set[TenantState](),
    "suspendTenant": {TenantState.ACTIVE},
    "resumeTenant": {TenantState.SUSPENDED},
    "recreateTenant": {TenantState.DECOMMISSIONED},
    "resendWelcomeEmails": {TenantState.ACTIVE},
}


@pytest.mark.parametrize("state", TenantState)
def test_a_mutation_that_the_state_does_not_allow_names_the_state_and_changes_nothing(
    harness: RunHarness, owner: Client, state: TenantState
) -> None:
    bring_tenant_to(harness, state)
    before = all_rows(harness)

    for mutation in [mutation for mutation, allowed in ALLOWED.items() if state not in allowed]:
        payload = owner.mutate(
            mutation, "tenant { state }", tenantId=tenant_gid(harness.tenant_id), **CHANGES[mutation]
        )

        (error,) = payload["userErrors"]
        assert error["__typename"] == "InvalidStateError", mutation
        assert error["code"] == "INVALID_STATE", mutation
        assert error["currentState"] == state, mutation
        assert error["allowedStates"], mutation
        assert payload["tenant"] == {"state": state}, mutation
    assert all_rows(harness) == before


@pytest.mark.parametrize("which", ["unknown", "foreign", "another type", "garbled"])
def test_a_tenant_of_another_organisation_gets_the_same_error_as_an_unknown_one(
    harness: RunHarness, other: RunHarness, owner: Client, which: str
) -> None:
    harness.create()
    other.create()
    before = all_rows(harness), all_rows(other)
    ids = {
        "unknown": tenant_gid(uuid4()),
        "foreign": tenant_gid(other.tenant_id),
        "another type": global_id("ProvisioningRun", harness.tenant_id),
        "garbled": "nonsense",
    }

    for mutation, facts in CHANGES.items():
        payload = owner.mutate(mutation, "tenant { id }", tenantId=ids[which], **facts)

        assert payload == {
            "tenant": None,
            "userErrors": [
                {
                    "__typename": "GenericError",
                    "code": "NOT_FOUND",
                    "message": "The tenant was not found: it does not exist, or you have no access to it.",
                    "field": ["input", "tenantId"],
                }
            ],
        }, mutation
    assert (all_rows(harness), all_rows(other)) == before


@pytest.mark.parametrize("mutation", CHANGES)
def test_a_mutation_with_an_outdated_expected_version_is_refused(
    harness: RunHarness, owner: Client, mutation: str
) -> None:
    state = next(iter(ALLOWED.get(mutation, set())), TenantState.PENDING)
    if mutation == "resumeCompensation":
        _make_run_stuck(harness)
    else:
        bring_tenant_to(harness, state)
    before = all_rows(harness)
    payload = owner.mutate(
        mutation, "tenant { version }", tenantId=tenant_gid(harness.tenant_id), expectedVersion=99, **CHANGES[mutation]
    )

    assert code_of(payload) == "VERSION_CONFLICT"
    assert payload["tenant"] == {"version": harness.tenant().version}
    assert all_rows(harness) == before


def test_a_mutation_with_the_current_expected_version_is_accepted(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    version = harness.tenant().version

    payload = owner.mutate(
        "suspendTenant", "tenant { state version }", tenantId=tenant_gid(harness.tenant_id), expectedVersion=version
    )

    assert payload["tenant"] == {"state": "SUSPENDED", "version": version + 1}


def test_every_field_of_a_pending_tenant_can_be_updated(harness: RunHarness, owner: Client) -> None:
    harness.create(start=False)

    payload = owner.mutate(
        "updateTenant",
        "tenant { slug name plan region firstAdminEmail provisioningDeadline version }",
        tenantId=tenant_gid(harness.tenant_id),
        slug="store",
        name="Store",
        plan="pro",
        region="us-east",
        firstAdminEmail="grace@shop.example",
        provisioningDeadline="PT90S",
    )

    assert payload == {
        "tenant": {
            "slug": "store",
            "name": "Store",
            "plan": "pro",
            "region": "us-east",
            "firstAdminEmail": "grace@shop.example",
            "provisioningDeadline": "PT1M30S",
            "version": 2,
        },
        "userErrors": [],
    }


def test_a_second_cancel_returns_the_request_of_the_first(api: Api, harness: RunHarness, owner: Client) -> None:
    harness.create()
    harness.make_moves(until="deploy_workloads")
    harness.claim()
    fields = "alreadyRequested tenant { state } run { status cancelRequest { reason stepInFlight requestedBy { id } } }"
    admin = api.member(harness.organisation.id, Role.ADMIN)

    first = owner.mutate("cancelProvisioning", fields, tenantId=tenant_gid(harness.tenant_id), reason="wrong plan")
    second = admin.mutate("cancelProvisioning", fields, tenantId=tenant_gid(harness.tenant_id), reason="mine")

    assert first["alreadyRequested"] is False
    assert second["alreadyRequested"] is True
    assert first["run"] == second["run"]
    assert first["run"]["status"] == "CANCELLING"
    assert first["run"]["cancelRequest"]["reason"] == "wrong plan"
    assert first["run"]["cancelRequest"]["stepInFlight"] == "deploy_workloads"
    assert (
        first["run"]["cancelRequest"]["requestedBy"] == owner.execute("{ viewer { actor { id } } }")["viewer"]["actor"]
    )
    assert first["tenant"] == {"state": "PROVISIONING"}


def test_a_cancel_of_an_earlier_run_is_refused_as_stale(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.FAILED)
    earlier = global_id("ProvisioningRun", harness.run().id)
    harness.retry()
    before = all_rows(harness)

    payload = owner.mutate("cancelProvisioning", "run { id }", tenantId=tenant_gid(harness.tenant_id), runId=earlier)

    assert code_of(payload) == "STALE_RUN"
    assert payload["userErrors"][0]["field"] == ["input", "runId"]
    assert payload["run"] is None
    assert all_rows(harness) == before


def test_null_removes_a_deadline_and_an_absent_field_keeps_it(harness: RunHarness, owner: Client) -> None:
    harness.create(start=False)
    facts, fields = {"tenantId": tenant_gid(harness.tenant_id)}, "tenant { provisioningDeadline version }"
    owner.mutate("updateTenant", **facts, provisioningDeadline="PT1H")

    left = owner.mutate("updateTenant", fields, **facts, name="The Shop")
    gone = owner.mutate("updateTenant", fields, **facts, provisioningDeadline=None)
    again = owner.mutate("updateTenant", fields, **facts, provisioningDeadline=None)

    assert left["tenant"]["provisioningDeadline"] == "PT1H"
    assert gone == again
    assert gone["tenant"] == {"provisioningDeadline": None, "version": left["tenant"]["version"] + 1}
    assert harness.events()[-1].data["changes"] == {"provisioning_deadline_s": [3600.0, None]}


def test_an_empty_run_id_is_not_found(harness: RunHarness, owner: Client) -> None:
    harness.create()
    before = harness.event_lines()

    payload = owner.mutate("cancelProvisioning", "run { id }", tenantId=tenant_gid(harness.tenant_id), runId="")

    assert code_of(payload) == "NOT_FOUND"
    assert harness.event_lines() == before


def test_an_id_of_another_type_given_as_run_id_is_not_found(harness: RunHarness, owner: Client) -> None:
    harness.create()
    before = all_rows(harness)
    wrong = tenant_gid(harness.run().id)

    payload = owner.mutate("cancelProvisioning", tenantId=tenant_gid(harness.tenant_id), runId=wrong)

    assert [(one["code"], one["field"]) for one in payload["userErrors"]] == [("NOT_FOUND", ["input", "runId"])]
    assert all_rows(harness) == before


def test_a_reason_of_more_than_five_hundred_characters_is_refused(harness: RunHarness, owner: Client) -> None:
    harness.create()

    payload = owner.mutate("cancelProvisioning", tenantId=tenant_gid(harness.tenant_id), reason="x" * 501)

    assert [(one["code"], one["field"]) for one in payload["userErrors"]] == [("INVALID", ["input", "reason"])]
    assert harness.run().status is RunStatus.QUEUED


def test_decommissioning_with_another_slug_as_confirmation_is_refused(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    before = all_rows(harness)

    payload = owner.mutate(
        "decommissionTenant", "tenant { state }", tenantId=tenant_gid(harness.tenant_id), confirmSlug="store"
    )

    assert code_of(payload) == "NOT_CONFIRMED"
    assert payload["tenant"] == {"state": "ACTIVE"}
    assert all_rows(harness) == before


def test_a_decommissioned_tenant_can_be_recreated_with_its_slug(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    tenant_id = tenant_gid(harness.tenant_id)

    gone = owner.mutate(
        "decommissionTenant",
        "tenant { state } run { kind resources { status } }",
        tenantId=tenant_id,
        confirmSlug="shop",
    )
    harness.make_moves()
    fresh = owner.mutate(
        "recreateTenant", "tenant { id slug state recreatedFrom { id } } run { number }", tenantId=tenant_id
    )

    assert gone["tenant"] == {"state": "DECOMMISSIONING"}
    assert gone["run"]["kind"] == "DECOMMISSION"
    assert {resource["status"] for resource in gone["run"]["resources"]} == {"HELD"}
    assert harness.tenant().state is TenantState.DECOMMISSIONED
    assert fresh["run"] == {"number": 1}
    assert fresh["tenant"]["id"] != tenant_id
    assert fresh["tenant"]["recreatedFrom"] == {"id": tenant_id}
    assert (fresh["tenant"]["slug"], fresh["tenant"]["state"]) == ("shop", "PROVISIONING")


def test_a_cancelled_run_whose_compensation_another_actor_resumes_keeps_the_cancelling_actor(
    harness: RunHarness, owner: Client
) -> None:
    _make_run_stuck(harness)

    payload = owner.mutate(
        "resumeCompensation",
        "tenant { state }",
        tenantId=tenant_gid(harness.tenant_id),
        skipSteps=["allocate_storage", "validate_request"],
        reason="it is gone",
    )

    assert payload == {"tenant": {"state": "PENDING"}, "userErrors": []}
    actors = {event.type: event.actor_id for event in harness.events()}
    assert actors["tenant.provisioning.cancelled"] == harness.operator.id
    assert actors["tenant.provisioning.compensation_resumed"] != harness.operator.id


def test_a_stuck_run_resumes_when_a_step_is_skipped_with_a_reason(harness: RunHarness, owner: Client) -> None:
    _make_run_stuck(harness)
    tenant_id = tenant_gid(harness.tenant_id)
    offered = owner.execute("query A($id: ID!) { tenant(id: $id) { availableActions } }", id=tenant_id)

    without_reason = owner.mutate("resumeCompensation", tenantId=tenant_id, skipSteps=["allocate_storage"])
    unknown_step = owner.mutate("resumeCompensation", tenantId=tenant_id, skipSteps=["no_step"], reason="it is gone")
    payload = owner.mutate(
        "resumeCompensation",
        "tenant { state } run { status steps { name status } }",
        tenantId=tenant_id,
        skipSteps=["allocate_storage"],
        reason="it is gone",
    )
    harness.make_moves()

    assert offered["tenant"]["availableActions"] == ["RESUME_COMPENSATION"]
    assert without_reason["userErrors"][0]["field"] == ["input", "reason"]
    assert unknown_step["userErrors"][0]["field"] == ["input", "skipSteps"]
    assert payload["userErrors"] == []
    assert {step["name"]: step["status"] for step in payload["run"]["steps"]}["allocate_storage"] == "ABANDONED"
    assert harness.tenant().state is TenantState.PENDING


def test_welcome_emails_are_sent_again_on_request(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)

    payload = owner.mutate("resendWelcomeEmails", "tenant { state }", tenantId=tenant_gid(harness.tenant_id))

    assert payload == {"tenant": {"state": "ACTIVE"}, "userErrors": []}
    assert harness.step(MAIL).status is StepStatus.WAITING
    harness.make_moves()
    assert harness.step(MAIL).status is StepStatus.DONE
    assert [line for line in harness.event_lines() if line == "welcome_email_sent"] == ["welcome_email_sent"] * 2


def test_resending_welcome_emails_that_are_still_being_sent_changes_nothing(harness: RunHarness, owner: Client) -> None:
    harness.create()
    harness.make_moves(until=MAIL)
    before = all_rows(harness)

    payload = owner.mutate("resendWelcomeEmails", tenantId=tenant_gid(harness.tenant_id))

    assert payload["userErrors"] == []
    assert all_rows(harness) == before


def test_a_bulk_cancel_returns_one_result_per_tenant_in_the_order_of_the_ids(
    harness: RunHarness, other: RunHarness, owner: Client
) -> None:
    first = tenant_gid(harness.create("one").tenant.id)
    pending = tenant_gid(harness.create("two", start=False).tenant.id)
    last = tenant_gid(harness.create("three").tenant.id)
    foreign = tenant_gid(other.create().tenant.id)
    fields = """results { tenant { slug } run { status } alreadyRequested userErrors {
        __typename code ... on InvalidStateError { currentState allowedStates } } }"""

    payload = owner.mutate(
        "cancelProvisionings", fields, tenantIds=[last, foreign, pending, "nonsense", first], reason="storm"
    )

    assert payload["userErrors"] == []
    not_found = {
        "tenant": None,
        "run": None,
        "alreadyRequested": False,
        "userErrors": [{"__typename": "GenericError", "code": "NOT_FOUND"}],
    }
    cancelled = {"run": {"status": "CANCELLING"}, "alreadyRequested": False, "userErrors": []}
    assert payload["results"] == [
        {"tenant": {"slug": "three"}, **cancelled},
        not_found,
        {
            "tenant": {"slug": "two"},
            "run": None,
            "alreadyRequested": False,
            "userErrors": [
                {
                    "__typename": "InvalidStateError",
                    "code": "INVALID_STATE",
                    "currentState": "PENDING",
                    "allowedStates": ["PROVISIONING"],
                }
            ],
        },
        not_found,
        {"tenant": {"slug": "one"}, **cancelled},
    ]
    assert other.run().status is RunStatus.QUEUED


def test_a_refused_cancel_shows_no_tenant_to_a_caller_that_may_not_read_tenants(harness: RunHarness, api: Api) -> None:
    partner = api.service_account(harness.organisation.id, "tenants:cancel")
    pending = tenant_gid(harness.create("one", start=False).tenant.id)
    provisioning = tenant_gid(harness.create("two").tenant.id)

    alone = partner.mutate("cancelProvisioning", "tenant { slug }", tenantId=pending)
    together = partner.mutate(
        "cancelProvisionings", "results { tenant { slug } userErrors { code } }", tenantIds=[pending, provisioning]
    )

    assert alone["tenant"] is None
    assert [error["code"] for error in alone["userErrors"]] == ["INVALID_STATE"]
    assert together["results"] == [
        {"tenant": None, "userErrors": [{"code": "INVALID_STATE"}]},
        {"tenant": {"slug": "two"}, "userErrors": []},
    ]


def test_a_bulk_cancel_by_filter_cancels_only_matching_tenants_in_provisioning(
    harness: RunHarness, other: RunHarness, owner: Client
) -> None:
    for slug, plan in [("one", "pro"), ("two", "pro"), ("three", "free")]:
        harness.create(slug, plan=plan)
    harness.create("four", plan="pro", start=False)
    other.create("five", plan="pro")

    payload = owner.mutate("cancelProvisionings", "results { tenant { slug } }", filter={"planIn": ["pro"]})
    none = owner.mutate("cancelProvisionings", "results { tenant { slug } }", filter={"stateIn": ["ACTIVE"]})

    assert sorted(result["tenant"]["slug"] for result in payload["results"]) == ["one", "two"]
    assert none["results"] == []
    assert other.run().status is RunStatus.QUEUED


@pytest.mark.parametrize(
    "input",
    [{}, {"tenantIds": ["x"], "filter": {}}, {"tenantIds": [], "reason": "x" * 501}],
)
def test_an_invalid_bulk_cancel_is_refused_as_a_whole(owner: Client, input: dict[str, Any]) -> None:
    payload = owner.mutate("cancelProvisionings", "results { tenant { id } }", **input)

    assert code_of(payload) == "INVALID"
    assert payload["results"] == []


def test_a_bulk_cancel_of_more_than_500_tenants_is_refused_as_a_whole(owner: Client) -> None:
    document = "mutation { it: cancelProvisionings(input: {tenantIds: [%s]}) { results { tenant { id } } %s } }"
    payload = owner.execute(document % ('"x" ' * 501, "userErrors { code }"))["it"]

    assert payload == {"results": [], "userErrors": [{"code": "INVALID"}]}


def test_a_bulk_cancel_of_no_tenants_returns_no_results(owner: Client) -> None:
    assert owner.mutate("cancelProvisionings", "results { tenant { id } }", tenantIds=[]) == {
        "results": [],
        "userErrors": [],
    }


def test_events_of_a_mutation_record_its_request_id(harness: RunHarness, owner: Client) -> None:
    owner.headers["X-Request-ID"] = "support-case-17"

    owner.mutate("createTenant", **VALID_INPUT)

    mine = select(Event).where(Event.organisation_id == harness.organisation.id).order_by(col(Event.position))
    assert {event.request_id for event in harness.read(lambda session: session.exec(mine).all())} == {"support-case-17"}


def test_available_actions_follow_the_state_of_the_tenant(harness: RunHarness, owner: Client) -> None:
    document = "query A($id: ID!) { tenant(id: $id) { availableActions } }"

    def offered() -> list[str]:
        actions: list[str] = owner.execute(document, id=tenant_gid(harness.tenant_id))["tenant"]["availableActions"]
        return actions

    bring_tenant_to(harness, TenantState.PENDING)
    assert offered() == ["RETRY_PROVISIONING", "UPDATE", "DECOMMISSION"]
    harness.retry()
    assert offered() == ["CANCEL_PROVISIONING"]
    harness.cancel()
    assert offered() == ([] if harness.tenant().state is TenantState.PROVISIONING else offered())
    harness.make_moves()
    harness.retry()
    harness.make_moves()
    assert offered() == ["SUSPEND", "DECOMMISSION", "RESEND_WELCOME_EMAILS"]


def test_each_of_two_mutations_in_one_request_returns_the_tenant_as_it_left_it(
    harness: RunHarness, owner: Client
) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    document = """
    mutation Both($id: ID!) {
      suspend: suspendTenant(input: {tenantId: $id}) { tenant { state availableActions } }
      resume: resumeTenant(input: {tenantId: $id}) { tenant { state availableActions } }
    }
    """

    both = owner.execute(document, id=tenant_gid(harness.tenant_id))

    assert both["suspend"]["tenant"] == {"state": "SUSPENDED", "availableActions": ["RESUME", "DECOMMISSION"]}
    assert both["resume"]["tenant"]["state"] == "ACTIVE"


def _make_run_stuck(harness: RunHarness) -> None:
    """Cancel a run, and let the compensation of allocate_storage fail permanently."""
    harness.create()
    harness.make_moves(until="allocate_identity")
    harness.cancel()
    harness.record_failure(harness.claim(Backward("allocate_storage")), Refused("The disk is on fire."))
    assert harness.run().status is RunStatus.STUCK
