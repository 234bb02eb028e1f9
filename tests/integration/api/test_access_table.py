"""One table says what each kind of caller may do with each root field of the schema."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from graphql import build_schema

from access.permissions import SCOPES
from models import Member, Role, ServiceAccount
from models.columns import new_id
from runtime.settings import settings
from schema.node import global_id, parts_of
from schema.root import build_schema as served_schema
from tests.api import TIMEOUT, Api, Client, Facts, member_identity, running_api, tenant_gid
from tests.http_client import HTTP
from tests.run_harness import RunHarness, run_harness_in

TABLE = """
                           owner  admin  viewer  partner  without  limited  support  stranger  expired  revoked  missing
node                       yes    yes    yes     yes      hidden   hidden   yes      hidden    401      401      401
nodes                      yes    yes    yes     yes      hidden   hidden   yes      hidden    401      401      401
viewer                     yes    yes    yes     yes      yes      yes      yes      yes       401      401      401
organization               yes    yes    yes     yes      yes      yes      yes      hidden    401      401      401
tenant                     yes    yes    yes     yes      no       hidden   yes      hidden    401      401      401
tenantBySlug               yes    yes    yes     yes      no       hidden   yes      hidden    401      401      401
tenants                    yes    yes    yes     yes      no       hidden   yes      hidden    401      401      401
slugCheck                  yes    yes    no      yes      no       no       no       yes       401      401      401
provisioningOptions        yes    yes    yes     yes      no       yes      yes      yes       401      401      401
auditEvents                yes    yes    yes     yes      no       hidden   yes      hidden    401      401      401
rateLimit                  yes    yes    yes     yes      yes      yes      yes      yes       401      401      401
createTenant               yes    yes    no      yes      no       no       no       yes       401      401      401
updateTenant               yes    yes    no      yes      no       hidden   no       hidden    401      401      401
cancelProvisioning         yes    yes    no      yes      no       hidden   no       hidden    401      401      401
cancelProvisionings        yes    yes    no      yes      no       hidden   no       hidden    401      401      401
retryProvisioning          yes    yes    no      yes      no       hidden   no       hidden    401      401      401
resumeCompensation         yes    yes    no      yes      no       hidden   no       hidden    401      401      401
suspendTenant              yes    yes    no      yes      no       hidden   no       hidden    401      401      401
resumeTenant               yes    yes    no      yes      no       hidden   no       hidden    401      401      401
decommissionTenant         yes    yes    no      yes      no       hidden   no       hidden    401      401      401
recreateTenant             yes    yes    no      yes      no       hidden   no       hidden    401      401      401
resendWelcomeEmails        yes    yes    no      yes      no       hidden   no       hidden    401      401      401
inviteMember               yes    yes    no      no       no       no       no       yes       401      401      401
changeMemberRole           yes    yes    no      no       no       no       no       hidden    401      401      401
removeMember               yes    yes    no      no       no       no       no       hidden    401      401      401
createServiceAccount       yes    yes    no      no       no       no       no       yes       401      401      401
updateServiceAccount       yes    yes    no      no       no       no       no       hidden    401      401      401
rotateServiceAccountToken  yes    yes    no      no       no       no       no       hidden    401      401      401
revokeServiceAccount       yes    yes    no      no       no       no       no       hidden    401      401      401
tenantProvisioning         yes    yes    yes     yes      no       hidden   yes      hidden    401      401      401
auditEventAdded            yes    yes    yes     yes      no       hidden   yes      hidden    401      401      401
"""
"""yes: executed, or refused for a reason other than access. hidden: as if it did not exist. no: FORBIDDEN.
401: not authenticated. A stranger, the owner of another organisation, creates objects only in its own organisation."""

HEAD, *ROWS = (line.split() for line in TABLE.splitlines() if line.strip())
EXPECTED = {field: dict(zip(HEAD, answers, strict=True)) for field, *answers in ROWS}
ACCESS = {"FORBIDDEN": "no", "NOT_FOUND": "hidden", "UNAUTHENTICATED": "401"}


@dataclass
class Scenario:
    """A tenant of an organisation, with a client for each kind of caller."""

    harness: RunHarness
    api: Api
    callers: dict[str, Client]
    viewer_id: str = ""
    account_id: str = ""
    revoked_id: str = ""

    @property
    def tenant(self) -> str:
        return tenant_gid(self.harness.tenant_id)

    def spare_member(self) -> str:
        """The id of a new member, which a test may remove."""
        member = Member(
            organisation_id=self.harness.organisation.id, email=f"{new_id().hex}@shop.example", name="Spare",
            role=Role.VIEWER, created_at=datetime.now(UTC),
        )  # fmt: skip
        with self.harness.database.transaction() as session:
            session.add(member)
        return str(global_id("Member", member.id))


@pytest.fixture(scope="module")
def scenario(database_url: str, redis_url: str) -> Iterator[Scenario]:
    unlimited = settings().model_copy(
        update=dict.fromkeys(
            ("budget", "budget_refill", "organisation_budget", "organisation_budget_refill"), 1_000_000
        )
    )
    with run_harness_in(settings()) as harness, run_harness_in(settings()) as other, running_api(unlimited) as api:
        hidden = harness.create("hidden", start=False).tenant.id
        harness.create("shop", start=False)
        yield scenario_in(harness, other, api, only=hidden)


def scenario_in(harness: RunHarness, other: RunHarness, api: Api, only: UUID) -> Scenario:
    home = harness.organisation.id
    callers = {
        "owner": api.member(home, Role.OWNER),
        "admin": api.member(home, Role.ADMIN),
        "viewer": api.member(home, Role.VIEWER),
        "partner": api.service_account(home, *SCOPES),
        "without": api.service_account(home),
        "limited": api.service_account(home, *SCOPES, only={only}),
        "support": api.support(),
        "stranger": api.member(other.organisation.id),
        "expired": api.client(member_identity(home), timedelta(seconds=-1)),
        "revoked": api.service_account(home, *SCOPES),
        "missing": Client(api.address, None),
    }
    scenario = Scenario(harness, api, callers)
    owner = callers["owner"]
    found = owner.execute(
        "{ organization { members(first: 9) { edges { node { id role } } }"
        " serviceAccounts(first: 9) { edges { node { id } } } } }"
    )["organization"]
    scenario.viewer_id = next(
        edge["node"]["id"] for edge in found["members"]["edges"] if edge["node"]["role"] == "VIEWER"
    )
    accounts = [edge["node"]["id"] for edge in found["serviceAccounts"]["edges"]]
    scenario.account_id, scenario.revoked_id = accounts[0], accounts[-1]
    assert owner.mutate("revokeServiceAccount", serviceAccountId=scenario.revoked_id)["userErrors"] == []
    assert owner.mutate("updateTenant", tenantId=scenario.tenant, name="Shop")["userErrors"] == []
    return scenario


QUERIES: dict[str, Callable[[Scenario], str]] = {
    "node": lambda scenario: f'node(id: "{scenario.tenant}") {{ id }}',
    "nodes": lambda scenario: f'nodes(ids: ["{scenario.tenant}"]) {{ id }}',
    "viewer": lambda _: "viewer { scopes }",
    "organization": lambda scenario: f'organization(slug: "{scenario.harness.organisation.slug}") {{ slug }}',
    "tenant": lambda scenario: f'tenant(id: "{scenario.tenant}") {{ slug }}',
    "tenantBySlug": lambda _: 'tenantBySlug(slug: "shop") { slug }',
    "tenants": lambda _: 'tenants(first: 1, filter: {slugPrefix: "shop"}) { edges { cursor } }',
    "slugCheck": lambda _: 'slugCheck(slug: "shop") { available }',
    "provisioningOptions": lambda _: "provisioningOptions { plans }",
    "auditEvents": lambda scenario: (
        f'auditEvents(first: 1, filter: {{tenantId: "{scenario.tenant}"}}) {{ edges {{ cursor }} }}'
    ),
    "rateLimit": lambda _: "rateLimit { cost }",
}

OUTDATED_VERSION = 999
"""No tenant has this version: an authorized mutation is refused by the version check, so it changes nothing."""

MUTATIONS: dict[str, Callable[[Scenario], dict[str, Any]]] = {
    "createTenant": lambda _: {"slug": "-", "plan": "free", "firstAdminEmail": "ada@shop.example"},
    "cancelProvisionings": lambda scenario: {"tenantIds": [scenario.tenant]},
    "inviteMember": lambda _: {"email": "nonsense", "role": "VIEWER"},
    "changeMemberRole": lambda scenario: {"memberId": scenario.viewer_id, "role": "VIEWER"},
    "removeMember": lambda scenario: {"memberId": scenario.spare_member()},
    "createServiceAccount": lambda _: {"name": "", "scopes": ["tenants:read"]},
    "updateServiceAccount": lambda scenario: {"serviceAccountId": scenario.account_id},
    "rotateServiceAccountToken": lambda scenario: {"serviceAccountId": scenario.account_id, "overlap": "P99D"},
    "revokeServiceAccount": lambda scenario: {"serviceAccountId": scenario.revoked_id},
}

SUBSCRIPTIONS: dict[str, Callable[[Scenario], str]] = {
    "tenantProvisioning": lambda scenario: f'tenantProvisioning(tenantId: "{scenario.tenant}") {{ kind }}',
    "auditEventAdded": lambda scenario: (
        f'auditEventAdded(after: "{first_cursor(scenario)}", filter: {{tenantId: "{scenario.tenant}"}}) {{ type }}'
    ),
}


def test_the_table_has_a_row_for_every_root_field() -> None:
    schema = build_schema(served_schema().as_str())
    roots = [schema.query_type, schema.mutation_type, schema.subscription_type]

    assert list(EXPECTED) == [field for root in roots if root for field in root.fields]


@pytest.mark.parametrize("field", EXPECTED)
def test_each_caller_has_the_access_that_the_table_says(scenario: Scenario, field: str) -> None:
    expected = EXPECTED[field]
    access = {name: access_of(scenario, caller, field, expected[name]) for name, caller in scenario.callers.items()}

    assert access == expected


def test_the_calls_of_the_access_table_changed_nothing(scenario: Scenario) -> None:
    types = {event.type for event in scenario.harness.events()}
    accounts = scenario.harness.read(lambda session: session.get_one(ServiceAccount, _uuid(scenario.account_id)))

    assert types == {"tenant.created", "tenant.updated"}
    assert accounts.revoked_at is None


def access_of(scenario: Scenario, caller: Client, field: str, expected: str) -> str:
    if field in QUERIES:
        return query_access(caller.post(f"{{ it: {QUERIES[field](scenario)} }}"))
    if field in SUBSCRIPTIONS:
        document = f"subscription {{ it: {SUBSCRIPTIONS[field](scenario)} }}"
        return subscription_access(caller, document, 1 if expected == "hidden" else TIMEOUT)
    outdated = {"tenantId": scenario.tenant, "expectedVersion": OUTDATED_VERSION}
    return mutation_access(caller, field, MUTATIONS[field](scenario) if field in MUTATIONS else outdated)


def query_access(response: httpx.Response) -> str:
    body = response.json()
    if "errors" in body:
        return ACCESS[body["errors"][0]["extensions"]["code"]]
    found = body["data"]["it"]
    empty = found in (None, [None]) or (isinstance(found, dict) and found.get("edges") == [])
    return "hidden" if empty else "yes"


def mutation_access(caller: Client, field: str, input: dict[str, Any]) -> str:
    kind = field[0].upper() + field[1:]
    each = "results { userErrors { code } }" if field == "cancelProvisionings" else ""
    response = caller.post(
        f"mutation M($input: {kind}Input!) {{ it: {field}(input: $input) {{ {each} userErrors {{ code }} }} }}",
        input=input,
    )
    body: Facts = response.json()
    if "errors" in body:
        code = body["errors"][0]["extensions"]["code"]
        assert code in ACCESS, f"{field} needs its input in MUTATIONS: {body['errors'][0]['message']}"
        return ACCESS[code]
    payload = body["data"]["it"]
    refusals = [*payload["userErrors"], *(error for one in payload.get("results", ()) for error in one["userErrors"])]
    return ACCESS.get(refusals[0]["code"], "yes") if refusals else "yes"


def subscription_access(caller: Client, document: str, within: float) -> str:
    """Access by server-sent events; "hidden" if nothing is delivered within so many seconds.

    Only a caller for whom "hidden" is expected gets a short time, because the test waits for all of it.
    """
    headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
    if caller.authorization:
        headers["Authorization"] = caller.authorization
    body, timeout = json.dumps({"query": document}), httpx.Timeout(TIMEOUT, read=within)
    try:
        with HTTP.stream(
            "POST", f"http://{caller.address}/graphql/stream", content=body, headers=headers, timeout=timeout,
        ) as response:  # fmt: skip
            if response.status_code != 200:
                return str(response.status_code)
            line = next((line for line in response.iter_lines() if line.startswith("data: {")), None)
    except httpx.ReadTimeout:
        return "hidden"
    result = json.loads(line.removeprefix("data: ")) if line else {}
    if "errors" in result:
        return ACCESS[result["errors"][0]["extensions"]["code"]]
    return "yes"


def first_cursor(scenario: Scenario) -> str:
    document = f'{{ auditEvents(last: 1, filter: {{tenantId: "{scenario.tenant}"}}) {{ edges {{ cursor }} }} }}'
    edges = scenario.callers["owner"].execute(document)["auditEvents"]["edges"]
    return str(edges[0]["cursor"])


def _uuid(gid: str) -> UUID:
    parts = parts_of(gid)
    assert parts is not None
    return parts[1]
