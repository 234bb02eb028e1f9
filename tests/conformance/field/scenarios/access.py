"""Who may cancel, who really did, and which run was meant."""

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
from tests.conformance.field.invariant_checker import nodes
from tests.conformance.field.people import Caller, Saga, cast_in, codes, uuid_of
from tests.conformance.field.scenario import EVERYBODY, Play, scenario

OTHER_SECRET = "somebody-else-s-secret-key-0123456789abcdef"  # nobody's, and that is the point
DENIALS = '{ auditEvents(first: 50, filter: { typeIn: ["access.denied"] }) { edges { node { actor { id } data } } } }'
BRIEF, AT_WORK = timedelta(seconds=3), timedelta(seconds=10)
"""Deadlines, of a run that waits and of one that has to be in its second step by then: that took 1.1 s at the most
at a load of 20 on two cores."""

CANCELLED_WITHIN = timedelta(seconds=15)
"""After the deadline: a sweep (0.5 s) finds the run; three lapsed leases (3 s) delay its end."""

CANCEL = """
    mutation C($input: CancelProvisioningInput!) {
      it: cancelProvisioning(input: $input) { run { id } userErrors { code } } }
"""


@scenario(without="no_regard_for_who_asks", breaks="V5", quick=True)
def cross_org_cancel_denied_and_audited(play: Play) -> str:
    """A stranger, a partner of other tenants, a viewer and support are refused and put on record; the run goes on."""
    stranger = cast_in(play.field).owner
    saga, halt = play.create_halting("before deployer.deploy")
    other = play.create()
    halt.await_one()
    limited = play.cast.caller(
        "the partner of others",
        service_account_identity(
            play.cast.organisation.id,
            *("tenants:read", "tenants:cancel", "audit:read"),
            only={other.uuid},
            settings=play.field.settings,
        ),
    )
    support = play.cast.caller("support", Identity(Actor(ActorKind.SUPPORT, new_id(), "Sam", "sam@tenantry.example")))
    unknown, forbidden = [stranger, limited], [play.cast.viewer, support]

    for caller in [*unknown, *forbidden]:
        code = "NOT_FOUND" if caller in unknown else "FORBIDDEN"
        answer = caller.cancel(saga)
        assert codes(answer) == [code], f"V5: {caller.name} was told {answer}"
        assert answer["tenant"] is None or caller in forbidden, f"V5: {caller.name} was shown the tenant"
        bulk = caller.retry_until_available("cancelProvisionings", tenantIds=[saga.id], reason="all of them")
        refusals = codes(bulk) + [one for result in bulk["results"] for one in codes(result)]
        assert refusals == [code], f"V5: {caller.name} was told {bulk}"
    halt.let_go()
    play.checker.await_run(saga, "SUCCEEDED")

    _expect_on_record(play.owner, [limited, *forbidden])
    _expect_on_record(stranger, [stranger])
    assert play.settle() == {"SUCCEEDED": 2}, "V5: somebody's cancel was carried out"
    return f"{len(unknown + forbidden)} callers, two ways each"


@scenario(without="no_look_at_signatures", breaks="V7", quick=True)
def spoofed_actor_rejected(play: Play) -> str:
    """Forged tokens are turned away, and whatever else claims to be somebody: the feed names the token's actor."""
    saga, halt = play.create_halting("before deployer.deploy", patient=True)
    halt.await_one()

    forgeries = _forgeries(play)
    for kind, token in forgeries.items():
        response = _post(play, saga, {"Authorization": f"Bearer {token}"} if token else {})
        assert response.status_code == 401, f"V7: {kind} was answered {response.status_code}: {response.text[:300]}"
    before = play.owner.look(saga)["run"]
    assert (before["status"], before["cancelRequest"]) == ("RUNNING", None), f"V7: {before}"

    claimed = {"actorId": play.cast.admin.id, "requestedBy": play.cast.admin.id}
    for name, value in claimed.items():
        answer = _post(play, saga, {"Authorization": f"Bearer {play.owner.token}"}, **{name: value}).json()
        assert "errors" in answer, f"V7: {name} was taken: {answer}"
    admin = play.cast.admin.identity.actor
    headers = {
        "Authorization": f"Bearer {play.owner.token}",
        "X-Actor-Id": str(admin.id),
        "X-User": admin.name,
        "X-Forwarded-User": str(admin.email),
        "X-Remote-User": str(admin.email),
    }
    response = _post(play, saga, headers).json()
    assert not response["data"]["it"]["userErrors"], f"V5: {response}"
    play.settle()

    told = {event["type"].rpartition(".")[2]: event["actor"]["id"] for event in play.checker.events(saga)}
    assert told["cancel_requested"] == told["cancelled"] == play.owner.id, f"V7: {told}"
    return f"{len(forgeries)} forgeries, {len(claimed) + len(headers) - 1} claims"


@scenario(without="no_regard_for_the_run_that_was_meant", breaks="V5", quick=True)
def stale_cancel_for_old_run_refused(play: Play) -> str:
    """A cancel of run 1 that arrives when run 2 is at work: refused as stale, and run 2 goes live."""
    saga, halt = play.create_halting("before deployer.deploy", patient=True)
    halt.await_one()
    assert play.cancel(saga, runId=saga.run), "V5: refused"
    play.checker.await_run(saga, "CANCELLED")
    second = play.field.director.hold("before deployer.deploy", times=EVERYBODY)
    retried = play.owner.retry(saga)
    assert not retried["userErrors"], "V12: it cannot be retried"
    second.only(uuid_of(retried["run"]["id"]))
    second.await_one()

    answer = play.owner.cancel(saga, runId=saga.run)

    assert codes(answer) == ["STALE_RUN"], f"V5: {answer}"
    second.let_go()
    assert play.settle() == {"CANCELLED": 1, "SUCCEEDED": 1}, "V5: the wrong run was cancelled"
    return "STALE_RUN"


@scenario(without="no_deadlines", breaks="V13")
def deadline_auto_cancel(play: Play) -> str:
    """A run that takes too long, at work or waiting, is cancelled by the platform, and the feed says so."""
    working, at_work = play.create_halting("before storage.create", patient=True, provisioningDeadline=_iso(AT_WORK))
    at_work.await_one(within=AT_WORK.total_seconds())
    _expect_cancelled_by_the_platform(play, working, AT_WORK)
    gate = play.field.director.hold("before claim", step="validate_request", times=1000)
    queued = play.create(provisioningDeadline=_iso(BRIEF))
    in_time = play.create(provisioningDeadline="PT1H")
    _expect_cancelled_by_the_platform(play, queued, BRIEF)
    gate.let_go()
    play.checker.await_run(in_time, "SUCCEEDED")
    ends = play.settle()
    assert ends == {"CANCELLED": 2, "SUCCEEDED": 1}, f"V13: {ends}"
    return "two past it, one within it"


def _iso(length: timedelta) -> str:
    return f"PT{length.total_seconds():.0f}S"


def _expect_cancelled_by_the_platform(play: Play, saga: Saga, deadline: timedelta) -> None:
    within = (deadline + CANCELLED_WITHIN).total_seconds()
    run = play.checker.await_run(saga, "CANCELLED", "SUCCEEDED", within=within)["run"]
    assert run["status"] == "CANCELLED", f"V13: {run['status']} in spite of its deadline"
    request, platform = run["cancelRequest"], str(global_id("Actor", PLATFORM.id))
    assert request["requestedBy"]["id"] == platform, f"V7: {request}"
    assert "deadline" in request["reason"], f"V7: {request}"
    told = {event["type"].rpartition(".")[2]: event["actor"]["id"] for event in play.checker.events(saga)}
    assert told["cancel_requested"] == told["cancelled"] == platform, f"V7: {told}"


def _expect_on_record(reader: Caller, callers: list[Caller]) -> None:
    """Each was denied twice, and the feed that belongs to them says so."""
    found = nodes(reader.ask(DENIALS)["auditEvents"])
    told = sorted((event["actor"]["id"], event["data"]["action"]) for event in found)
    tried = ("cancelProvisioning", "cancelProvisionings")
    assert told == sorted((caller.id, action) for caller in callers for action in tried), f"V7: {told}"


def _forgeries(play: Play) -> Mapping[str, str]:
    """Tokens that claim to be the owner, or more, and were not signed for that."""
    settings, owner = play.field.settings, play.owner
    claims = jwt.decode(owner.token, options={"verify_signature": False})
    header, payload, signature = owner.token.split(".")
    foreign = settings.model_copy(update={"secret_key": type(settings.secret_key)(OTHER_SECRET)})
    return {
        "no token": "",
        "no signature": f"{header}.{payload}.",
        "alg none": jwt.encode(claims, "", algorithm="none"),
        "signed with another key": sign_token(foreign, owner.identity, timedelta(hours=1)),
        "expired": sign_token(settings, owner.identity, timedelta(seconds=-1)),
        "another's name, the same signature": f"{header}.{_with(payload, sub=str(new_id()))}.{signature}",
        "a viewer who calls himself owner": _promoted(play.cast.viewer.token),
        "the platform's own kind": f"{header}.{_with(payload, kind='SYSTEM')}.{signature}",
    }


def _promoted(token: str) -> str:
    header, payload, signature = token.split(".")
    return f"{header}.{_with(payload, role='OWNER')}.{signature}"


def _with(payload: str, **claims: str) -> str:
    said: Facts = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return base64.urlsafe_b64encode(json.dumps(said | claims).encode()).decode().rstrip("=")


def _post(play: Play, saga: Saga, headers: Mapping[str, str], **more: object) -> httpx.Response:
    return httpx.post(
        f"http://{play.field.address}/graphql",
        json={"query": CANCEL, "variables": {"input": {"tenantId": saga.id, **more}}},
        headers=headers,
        timeout=20,
        trust_env=False,
    )
