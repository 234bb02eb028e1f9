"""Every query of the API with every filter and order, also with filters that find nothing."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

from models.columns import new_id
from schema.node import global_id

TENANTS = (
    "query ($filter: TenantFilter, $orderBy: TenantOrder, $last: Int) { tenants(last: $last, filter: $filter, "
    "orderBy: $orderBy) { nodes { id slug state availableActions currentRun { id status } abandonedResources { name } }"
    " pageInfo { hasNextPage endCursor } } }"
)
EVENTS = (
    "query ($filter: AuditEventFilter, $last: Int) { auditEvents(last: $last, filter: $filter) { nodes: edges { node { "
    "id type data actor { id displayName } tenant { slug } run { number } } } pageInfo { hasNextPage endCursor } } }"
)
FAR = datetime(2999, 1, 1, tzinfo=UTC).isoformat()


@dataclass(frozen=True, slots=True)
class Read:
    """One query with its variables."""

    name: str
    document: str
    variables: dict[str, Any] = field(default_factory=dict)


def every_read(tenant_id: UUID, run_id: UUID, slug: str) -> list[Read]:
    """The queries for a caller that sees this tenant and this run of it."""
    tenant, run = global_id("Tenant", tenant_id), global_id("ProvisioningRun", run_id)
    return [
        *_lists_of_tenants(),
        *_pages_of_events(tenant, run),
        Read(
            "tenant",
            "query ($id: ID!) { tenant(id: $id) { id slug runs(first: 4) { nodes: edges { node { id steps { name "
            "} resources { name } absenceChecks { found } } } } heldResources { name } } }",
            {"id": tenant},
        ),
        Read("tenant, absent", "query ($id: ID!) { tenant(id: $id) { id } }", {"id": global_id("Tenant", new_id())}),
        Read("tenantBySlug", "query ($slug: String!) { tenantBySlug(slug: $slug) { id } }", {"slug": slug}),
        Read(
            "tenantBySlug, absent", "query ($slug: String!) { tenantBySlug(slug: $slug) { id } }", {"slug": "no-such"}
        ),
        Read(
            "node, timeline",
            "query ($id: ID!) { node(id: $id) { ... on ProvisioningRun { timeline(last: 60) { edges { "
            "node { message } } } } } }",
            {"id": run},
        ),
        Read("slugCheck", '{ slugCheck(slug: "no-such") { available } }'),
        Read("organization", "{ organization { id slug } }"),
        Read("tenantsUsed", "{ organization { tenantsUsed } }"),
        Read("totalCount", "{ tenants(first: 1) { totalCount } }"),
        Read("members", "{ organization { members(first: 20) { edges { node { id } } } } }"),
        Read("serviceAccounts", "{ organization { serviceAccounts(first: 20) { edges { node { id } } } } }"),
    ]


def _lists_of_tenants() -> list[Read]:
    soon, past = datetime.now(UTC) + timedelta(days=1), datetime.now(UTC) - timedelta(minutes=30)
    filters: dict[str, dict[str, Any]] = {
        "all": {},
        "state": {"stateIn": ["ACTIVE"]},
        "two states": {"stateIn": ["SUSPENDED", "FAILED"]},
        "absent state": {"stateIn": ["FAILED"]},
        "plan": {"planIn": ["pro"]},
        "absent plan": {"planIn": ["enterprise"]},
        "prefix": {"slugPrefix": "grown-1"},
        "absent prefix": {"slugPrefix": "zzz"},
        "since": {"createdFrom": past.isoformat()},
        "absent time": {"createdFrom": soon.isoformat()},
        "until": {"createdUntil": soon.isoformat()},
        "before all": {"createdUntil": datetime(2000, 1, 1, tzinfo=UTC).isoformat()},
        "state and absent plan": {"stateIn": ["ACTIVE"], "planIn": ["enterprise"]},
        "plan and absent state": {"planIn": ["pro"], "stateIn": ["FAILED"]},
        "abandoned": {"hasAbandonedResources": True},
        "not abandoned": {"hasAbandonedResources": False},
    }
    orders = [("CREATED_AT", "DESC"), ("UPDATED_AT", "ASC"), ("SLUG", "ASC")]
    return [
        Read(
            f"tenants: {name}, {order}",
            TENANTS,
            {"filter": wanted, "orderBy": {"field": order, "direction": direction}},
        )
        for (name, wanted), (order, direction) in product(filters.items(), orders)
    ] + [Read("tenants: last", TENANTS, {"last": 20})]


def _pages_of_events(tenant: str, run: str) -> list[Read]:
    past = (datetime.now(UTC) - timedelta(minutes=30)).isoformat()
    filters: dict[str, dict[str, Any]] = {
        "all": {},
        "tenant": {"tenantId": tenant},
        "absent tenant": {"tenantId": global_id("Tenant", new_id())},
        "run": {"runId": run},
        "absent run": {"runId": global_id("ProvisioningRun", new_id())},
        "absent actor": {"actorId": global_id("Actor", new_id())},
        "type": {"typeIn": ["tenant.created"]},
        "prefix": {"typeIn": ["tenant.*"]},
        "types": {"typeIn": ["tenant.created", "tenant.suspended"]},
        "absent type": {"typeIn": ["member.invited"]},
        "absent types": {"typeIn": ["member.invited", "org.*"]},
        "since": {"occurredFrom": past},
        "absent time": {"occurredFrom": FAR},
        "before all": {"occurredUntil": datetime(2000, 1, 1, tzinfo=UTC).isoformat()},
        "type, absent time": {"typeIn": ["tenant.created"], "occurredFrom": FAR},
        "tenant, absent type": {"tenantId": tenant, "typeIn": ["member.invited"]},
        "tenant, absent time": {"tenantId": tenant, "occurredFrom": FAR},
    }
    return [Read(f"auditEvents: {name}", EVENTS, {"filter": wanted}) for name, wanted in filters.items()] + [
        Read("auditEvents: last", EVENTS, {"last": 20})
    ]
