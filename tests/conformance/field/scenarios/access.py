"""Scenarios of authorization, authentication, stale run ids and deadlines."""

import base64
import json
from collections.abc import Mapping
from datetime import timedelta

import httpx
import jwt

from access.permissions import Identity
from models import ActorKind
from models.columns import new_id
from provisioning.actors import PLATFORM, Actor
from schema.node import global_id
from server.auth.tokens import sign_token
from tests.api import Facts, service_account_identity
from tests.conformance.field.api_clients import ApiClient, Saga, codes, create_clients, uuid_of
from tests.conformance.field.invariant_checker import nodes
from tests.conformance.field.scenario import ALL_RUNS, ScenarioHarness, scenario
from tests.http_client import HTTP

OTHER_SECRET = "another-secret-key-0123456789abcdef-012345"  # no deployment has this key
DENIALS = '{ auditEvents(first: 50, filter: { typeIn: ["access.denied"] }) { edges { node { actor { id } data } } } }'
SHORT_DEADLINE, WORKING_DEADLINE = timedelta(seconds=3), timedelta(seconds=10)
"""Deadlines of a queued run, and of a run that has to reach its second step before: that took 1.1 s at the most at a
load of 20 on two cores."""

CANCELLED_WITHIN = timedelta(seconds=15)
"""Time after the deadline: a sweep (0.5 s) finds the run; three expired leases (3 s) delay its end."""

CANCEL = """
    mutation C($input: CancelProvisioningInput!) {
      it: cancelProvisioning(input: $input) { run { id } userErrors { code } } }
"""


@scenario(without="no_authorization", breaks="V5", quick=True)
def cross_org_cancel_denied_and_audited(harness: ScenarioHarness) -> str:
    """Cancels of another organisation, of a partner of other tenants, a viewer and support are refused and audited."""
    stranger = create_clients(harness.testbed).owner
    saga, halt = harness.create_halted("before deployer.deploy")
    other = harness.create()
    halt.await_first()
    limited = harness.clients.client(
        "the partner of other tenants",
        service_account_identity(
            harness.clients.organisation.id,
            *("tenants:read", "tenants:cancel", "audit:read"),
            only={other.uuid},
            settings=harness.testbed.settings,
        ),
    )
    support = harness.clients.client(
        "support", Identity(Actor(ActorKind.SUPPORT, new_id(), "Sam", "sam@tenantry.example"))
    )
    unknown, forbidden = [stranger, limited], [harness.clients.viewer, support]

    for client in [*unknown, *forbidden]:
        code = "NOT_FOUND" if client in unknown else "FORBIDDEN"
        answer = client.cancel(saga)
        assert codes(answer) == [code], f"V5: {client.name} got {answer}"
        assert answer["tenant"] is None or client in forbidden, f"V5: {client.name} got the tenant"
        bulk = client.retry_until_available("cancelProvisionings", tenantIds=[saga.id], reason="all of them")
        refusals = codes(bulk) + [one for result in bulk["results"] for one in codes(result)]
        assert refusals == [code], f"V5: {client.name} got {bulk}"
    halt.release()
    harness.checker.await_run(saga, "SUCCEEDED")

    _expect_audited(harness.owner, [limited, *forbidden])
    _expect_audited(stranger, [stranger])
    assert harness.await_all_runs() == {"SUCCEEDED": 2}, "V5: a refused cancel took effect"
    return f"{len(unknown + forbidden)} callers, two mutations each"


@scenario(without="no_signature_check", breaks="V7", quick=True)
def spoofed_actor_rejected(harness: ScenarioHarness) -> str:
    """Forged tokens are refused; arguments and headers that claim another actor have no effect on the feed."""
    saga, halt = harness.create_halted("before deployer.deploy", stoppable=True)
    halt.await_first()

    forgeries = _forgeries(harness)
    for kind, token in forgeries.items():
        response = _post(harness, saga, {"Authorization": f"Bearer {token}"} if token else {})
        assert response.status_code == 401, f"V7: {kind} was answered {response.status_code}: {response.text[:300]}"
    before = harness.owner.read(saga)["run"]
    assert (before["status"], before["cancelRequest"]) == ("RUNNING", None), f"V7: {before}"

    claimed = {"actorId": harness.clients.admin.id, "requestedBy": harness.clients.admin.id}
    for name, value in claimed.items():
        answer = _post(harness, saga, {"Authorization": f"Bearer {harness.owner.token}"}, **{name: value}).json()
        assert "errors" in answer, f"V7: {name} was accepted: {answer}"
    admin = harness.clients.admin.identity.actor
    headers = {
        "Authorization": f"Bearer {harness.owner.token}",
        "X-Actor-Id": str(admin.id),
        "X-User": admin.name,
        "X-Forwarded-User": str(admin.email),
        "X-Remote-User": str(admin.email),
    }
    response = _post(harness, saga, headers).json()
    assert not response["data"]["it"]["userErrors"], f"V5: {response}"
    harness.await_all_runs()

    actors = {event["type"].rpartition(".")[2]: event["actor"]["id"] for event in harness.checker.events(saga)}
    assert actors["cancel_requested"] == actors["cancelled"] == harness.owner.id, f"V7: {actors}"
    return f"{len(forgeries)} forgeries, {len(claimed) + len(headers) - 1} claims"


@scenario(without="no_run_id_check", breaks="V5", quick=True)
def stale_cancel_for_old_run_refused(harness: ScenarioHarness) -> str:
    """A cancel of run 1 that arrives while run 2 is in progress is refused as stale, and run 2 succeeds."""
    saga, halt = harness.create_halted("before deployer.deploy", stoppable=True)
    halt.await_first()
    assert harness.cancel(saga, runId=saga.run), "V5: the cancel was refused"
    harness.checker.await_run(saga, "CANCELLED")
    second = harness.testbed.controller.halt_at("before deployer.deploy", times=ALL_RUNS)
    retried = harness.owner.retry(saga)
    assert not retried["userErrors"], "V12: the retry was refused"
    second.restrict_to(uuid_of(retried["run"]["id"]))
    second.await_first()

    answer = harness.owner.cancel(saga, runId=saga.run)

    assert codes(answer) == ["STALE_RUN"], f"V5: {answer}"
    second.release()
    assert harness.await_all_runs() == {"CANCELLED": 1, "SUCCEEDED": 1}, "V5: the wrong run was cancelled"
    return "STALE_RUN"


@scenario(without="no_deadlines", breaks="V13")
def deadline_auto_cancel(harness: ScenarioHarness) -> str:
    """A run past its deadline, in progress or queued, is cancelled by the platform, and the feed names the platform."""
    working, at_work = harness.create_halted(
        "before storage.create", stoppable=True, provisioningDeadline=_iso(WORKING_DEADLINE)
    )
    at_work.await_first(within=WORKING_DEADLINE.total_seconds())
    _expect_cancelled_by_the_platform(harness, working, WORKING_DEADLINE)
    gate = harness.testbed.controller.halt_at("before claim", step="validate_request", times=1000)
    queued = harness.create(provisioningDeadline=_iso(SHORT_DEADLINE))
    in_time = harness.create(provisioningDeadline="PT1H")
    _expect_cancelled_by_the_platform(harness, queued, SHORT_DEADLINE)
    gate.release()
    harness.checker.await_run(in_time, "SUCCEEDED")
    ends = harness.await_all_runs()
    assert ends == {"CANCELLED": 2, "SUCCEEDED": 1}, f"V13: {ends}"
    return "two past the deadline, one within it"


def _iso(length: timedelta) -> str:
    return f"PT{length.total_seconds():.0f}S"


def _expect_cancelled_by_the_platform(harness: ScenarioHarness, saga: Saga, deadline: timedelta) -> None:
    within = (deadline + CANCELLED_WITHIN).total_seconds()
    run = harness.checker.await_run(saga, "CANCELLED", "SUCCEEDED", within=within)["run"]
    assert run["status"] == "CANCELLED", f"V13: {run['status']} after its deadline"
    request, platform = run["cancelRequest"], str(global_id("Actor", PLATFORM.id))
    assert request["requestedBy"]["id"] == platform, f"V7: {request}"
    assert "deadline" in request["reason"], f"V7: {request}"
    actors = {event["type"].rpartition(".")[2]: event["actor"]["id"] for event in harness.checker.events(saga)}
    assert actors["cancel_requested"] == actors["cancelled"] == platform, f"V7: {actors}"


def _expect_audited(reader: ApiClient, callers: list[ApiClient]) -> None:
    """V7: the feed has two denials for each of these clients."""
    found = nodes(reader.execute(DENIALS)["auditEvents"])
    actors = sorted((event["actor"]["id"], event["data"]["action"]) for event in found)
    actions = ("cancelProvisioning", "cancelProvisionings")
    assert actors == sorted((client.id, action) for client in callers for action in actions), f"V7: {actors}"


def _forgeries(harness: ScenarioHarness) -> Mapping[str, str]:
    """Tokens with the claims of the owner or of more rights, without a valid signature of these claims."""
    settings, owner = harness.testbed.settings, harness.owner
    claims = jwt.decode(owner.token, options={"verify_signature": False})
    header, payload, signature = owner.token.split(".")
    foreign = settings.model_copy(update={"secret_key": type(settings.secret_key)(OTHER_SECRET)})
    return {
        "no token": "",
        "no signature": f"{header}.{payload}.",
        "alg none": jwt.encode(claims, "", algorithm="none"),
        "signed with another key": sign_token(foreign, owner.identity, timedelta(hours=1)),
        "expired": sign_token(settings, owner.identity, timedelta(seconds=-1)),
        "another subject, the same signature": f"{header}.{_with(payload, sub=str(new_id()))}.{signature}",
        "a viewer with the role of an owner": _promoted(harness.clients.viewer.token),
        "the actor kind of the platform": f"{header}.{_with(payload, kind='SYSTEM')}.{signature}",
    }


def _promoted(token: str) -> str:
    header, payload, signature = token.split(".")
    return f"{header}.{_with(payload, role='OWNER')}.{signature}"


def _with(payload: str, **claims: str) -> str:
    claims_: Facts = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return base64.urlsafe_b64encode(json.dumps(claims_ | claims).encode()).decode().rstrip("=")


def _post(harness: ScenarioHarness, saga: Saga, headers: Mapping[str, str], **more: object) -> httpx.Response:
    return HTTP.post(
        f"http://{harness.testbed.address}/graphql",
        json={"query": CANCEL, "variables": {"input": {"tenantId": saga.id, **more}}},
        headers=headers,
        timeout=20,
    )
