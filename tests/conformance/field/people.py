"""Whoever uses the product in a story: an organisation's people and partners, all of them over GraphQL."""

import json
import time
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import httpx

from access.permissions import Identity
from models import Organisation, Role
from models.columns import new_id
from runtime.database import Database, clock
from schema.node import global_id, parts_of
from server.auth.tokens import sign_token
from tests.api import Facts, member_identity, service_account_identity
from tests.conformance.field.processes import Field

RUN = "id number status cancelRequest { requestedBy { id displayName } reason stepInFlight }"
ERRORS = "userErrors { __typename code message ... on InvalidStateError { currentState } }"
DOCUMENTS = {
    "createTenant": "tenant { id databaseId slug url state } run { id }",
    "updateTenant": "tenant { name }",
    "cancelProvisioning": f"alreadyRequested tenant {{ state }} run {{ {RUN} }}",
    "cancelProvisionings": f"results {{ alreadyRequested tenant {{ id }} run {{ {RUN} }} {ERRORS} }}",
    "retryProvisioning": "tenant { state } run { id number }",
    "resumeCompensation": f"tenant {{ state }} run {{ {RUN} }}",
    "decommissionTenant": "tenant { state } run { id number }",
}
PATIENCE = 120.0
"""Seconds until a mutation has to be answered, whatever strikes meanwhile: three calls (40 s) given up in a row."""


class NoAnswer(Exception):
    """The API did not answer, or could not: whether it did what was asked is unknown."""


@dataclass(frozen=True)
class Saga:
    """A tenant that is being provisioned, and its first run."""

    id: str
    uuid: UUID
    slug: str
    url: str
    run: str
    run_id: str


@dataclass
class Caller:
    """Somebody with a token. Safe to use from several threads."""

    name: str
    field: Field
    token: str
    identity: Identity

    @property
    def id(self) -> str:
        """How the feed names this person."""
        return str(global_id("Actor", self.identity.actor.id))

    def ask(self, document: str, **variables: object) -> Facts:
        """The data. Raises NoAnswer when there is none, or an error among it."""
        try:
            answer = self.field.http.post(
                f"http://{self.field.address}/graphql",
                content=json.dumps({"query": document, "variables": variables}),
                headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"},
            )
        except httpx.TransportError as error:
            raise NoAnswer(repr(error)) from error
        body: Facts = answer.json()
        if "errors" in body:
            raise NoAnswer(str(body["errors"])[:500])
        data: Facts = body["data"]
        return data

    def mutate(self, mutation: str, **wanted: object) -> Facts:
        """One mutation's payload. Raises NoAnswer."""
        kind = mutation[0].upper() + mutation[1:]
        document = (
            f"mutation M($input: {kind}Input!) {{ it: {mutation}(input: $input) {{ {DOCUMENTS[mutation]} {ERRORS} }} }}"
        )
        payload: Facts = self.ask(document, input=wanted)["it"]
        return payload

    def retry_until_available(self, mutation: str, **wanted: object) -> Facts:
        """Ask with one key until there is an answer, as a careful client does."""
        key, began = str(uuid4()), time.monotonic()
        while True:
            try:
                payload = self.mutate(mutation, idempotencyKey=key, **wanted)
            except NoAnswer as failure:
                if time.monotonic() - began > PATIENCE:
                    told = f"V8: {mutation} is never answered: {failure}\n{self.field.complaints()}"
                    raise AssertionError(told) from failure
            else:
                if "IDEMPOTENCY_IN_PROGRESS" not in codes(payload):
                    return payload
            time.sleep(0.05)  # between two attempts; a client would rest as well

    def create(self, slug: str, **wanted: object) -> Saga:
        """A tenant on its way."""
        order = {"slug": slug, "plan": "starter", "firstAdminEmail": self.mail_of(slug)} | wanted
        payload = self.retry_until_available("createTenant", **order)
        assert not payload["userErrors"], payload["userErrors"]
        tenant, run = payload["tenant"], payload["run"]["id"]
        return Saga(tenant["id"], UUID(tenant["databaseId"]), slug, tenant["url"], run, uuid_of(run))

    def mail_of(self, slug: str) -> str:
        """Where a tenant's first administrator is welcomed."""
        return f"{slug}@{self.identity.actor.organisation_id}.example"

    def cancel(self, saga: Saga, **wanted: object) -> Facts:
        """The answer to a cancel, whatever it is."""
        return self.retry_until_available(
            "cancelProvisioning", **({"tenantId": saga.id, "reason": f"{self.name} says so"} | wanted)
        )

    def retry(self, saga: Saga) -> Facts:
        """The answer to a retry, whatever it is."""
        return self.retry_until_available("retryProvisioning", tenantId=saga.id)

    def look(self, saga: Saga) -> Facts:
        """The tenant and its newest run."""
        document = (
            "query Q($id: ID!) { tenant(id: $id) { state slug url availableActions heldResources { name }"
            " runs(first: 1) { edges { node { id number status elapsed cancelRequest { requestedBy { id displayName }"
            " reason stepInFlight } steps { name status attempts compensationAttempts error interruptible }"
            " absenceChecks { askedAt found } resources { name status } } } } } }"
        )
        tenant: Facts = self.ask(document, id=saga.id)["tenant"]
        return tenant | {"run": tenant["runs"]["edges"][0]["node"]}


@dataclass(frozen=True)
class Cast:
    """An organisation of its own, so that no story meets another's tenants."""

    field: Field
    organisation: Organisation
    owner: Caller
    admin: Caller
    viewer: Caller
    partner: Caller

    def caller(self, name: str, identity: Identity) -> Caller:
        """Somebody else."""
        return Caller(name, self.field, sign_token(self.field.settings, identity, timedelta(hours=3)), identity)


def cast_in(field_: Field) -> Cast:
    """Found an organisation. There is no mutation for that: it is the platform's to do."""
    slug = f"o{new_id().hex[-10:]}"
    database = Database(field_.settings, name="tenantry-cast")
    try:
        with database.transaction() as session:
            organisation = Organisation(slug=slug, name=slug, plan_code="enterprise", created_at=clock(session))
            session.add(organisation)
    finally:
        database.close()

    def caller(name: str, identity: Identity) -> Caller:
        return Caller(name, field_, sign_token(field_.settings, identity, timedelta(hours=3)), identity)

    return Cast(
        field_,
        organisation,
        owner=caller("the owner", member_identity(organisation.id, settings=field_.settings)),
        admin=caller("the admin", member_identity(organisation.id, Role.ADMIN, field_.settings)),
        viewer=caller("the viewer", member_identity(organisation.id, Role.VIEWER, field_.settings)),
        partner=caller(
            "the partner",
            service_account_identity(
                organisation.id, "tenants:read", "tenants:cancel", "audit:read", settings=field_.settings
            ),
        ),
    )


def uuid_of(global_id: str) -> str:
    """The plain id behind a global one."""
    parts = parts_of(global_id)
    assert parts is not None, global_id
    return str(parts[1])


def codes(payload: Facts) -> list[str]:
    """What was refused, by code."""
    return [error["code"] for error in payload["userErrors"]]


def accepted(payload: Facts) -> bool:
    """Whether a cancel was accepted, now or before."""
    return not payload["userErrors"]
