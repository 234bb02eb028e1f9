"""Helpers of the tests of members, service accounts and support access."""

from typing import Any

from sqlmodel import col, select

from models import Event
from tests.api import Api, Client, Facts
from tests.run_harness import RunHarness

MAX_REVOCATION_DELAY = 5.0
"""Seconds until lost access takes effect: a cached principal is valid for 1 s, sessions are revalidated every 2 s, and
a response may take 2 s."""

VIEWER = "{ viewer { actor { displayName } scopes } }"
MEMBERS = """{ organization { members(first: 100) { edges { node { id name email role pending } } } } }"""


def code_of(payload: Facts) -> str | None:
    return payload["userErrors"][0]["code"] if payload["userErrors"] else None


def events_of(harness: RunHarness, prefix: str) -> list[tuple[str, dict[str, Any]]]:
    """Type and data of the organisation's events of types that start with ``prefix``, in order."""
    mine = select(Event).where(Event.organisation_id == harness.organisation.id, col(Event.type).startswith(prefix))
    rows = harness.read(lambda session: list(session.exec(mine.order_by(col(Event.position)))))
    return [(row.type, row.data) for row in rows]


def members_by_role(client: Client) -> dict[str, Facts]:
    """The members that the client may read; one of each role."""
    edges = client.execute(MEMBERS)["organization"]["members"]["edges"]
    return {edge["node"]["role"]: edge["node"] for edge in edges}


def bearer(api: Api, payload: Facts) -> Client:
    return Client(api.address, f"Bearer {payload['token']}")


def is_unauthenticated(client: Client) -> bool:
    return client.post(VIEWER).status_code == 401
