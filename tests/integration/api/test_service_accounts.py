"""Managing an organisation's service accounts, and the sessions that end with an account's access."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import select
from websockets.exceptions import ConnectionClosed

from access import api_tokens
from models import IdempotencyKey, Role, ServiceAccount
from models.columns import new_id
from schema.node import parts_of
from tests.access import MAX_REVOCATION_DELAY, VIEWER, bearer, code_of, events_of, is_unauthenticated, members_by_role
from tests.api import Api, Client, Facts, tenant_gid
from tests.run_harness import RunHarness
from tests.waiting import wait_until

SERVICE_ACCOUNTS = """{ organization { serviceAccounts(first: 100) {
  edges { node { id name scopes tenantIds expiresAt lastUsedAt revokedAt previousTokenUntil } }
} } }"""
ACCOUNT = "serviceAccount { id name scopes tenantIds revokedAt previousTokenUntil } token"


def create_account(client: Client, *scopes: str, **more: object) -> Facts:
    payload = client.mutate("createServiceAccount", ACCOUNT, name="Billing", scopes=list(scopes), **more)
    assert payload["userErrors"] == []
    return payload


def stored_account(harness: RunHarness, payload: Facts) -> ServiceAccount:
    parts = parts_of(payload["serviceAccount"]["id"])
    assert parts is not None
    return harness.read(lambda session: session.get_one(ServiceAccount, parts[1]))


def test_an_api_token_is_returned_once_and_stored_only_as_a_digest(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    key = f"account-{harness.organisation.slug}"

    first = create_account(owner, "tenants:read", idempotencyKey=key)
    again = owner.mutate("createServiceAccount", ACCOUNT, name="Billing", scopes=["tenants:read"], idempotencyKey=key)

    token = first["token"]
    assert api_tokens.is_token(token)
    assert again == first | {"token": None}
    assert bearer(api, first).execute(VIEWER)["viewer"] == {
        "actor": {"displayName": "Billing"},
        "scopes": ["tenants:read"],
    }
    assert stored_account(harness, first).token_sha256 == api_tokens.digest_of(token)
    kept = harness.read(lambda session: session.exec(select(IdempotencyKey).where(IdempotencyKey.key == key)).one())
    readable = [events_of(harness, "org."), owner.execute(SERVICE_ACCOUNTS), stored_account(harness, first)]
    assert token not in f"{kept.outcome} {readable}"
    assert [name for name, _ in events_of(harness, "org.")] == ["org.service_account_created"]


def test_a_service_account_is_limited_to_its_scopes_and_tenants(api: Api, harness: RunHarness, owner: Client) -> None:
    mine, hidden = harness.create("mine").tenant.id, harness.create("hidden").tenant.id

    service_account = bearer(api, create_account(owner, "tenants:read", tenantIds=[tenant_gid(mine)]))

    assert service_account.execute("{ tenants { nodes { slug } } }") == {"tenants": {"nodes": [{"slug": "mine"}]}}
    assert service_account.execute("query T($id: ID!) { tenant(id: $id) { slug } }", id=tenant_gid(hidden)) == {
        "tenant": None
    }
    assert code_of(service_account.mutate("cancelProvisioning", tenantId=tenant_gid(mine))) == "FORBIDDEN"


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"name": "", "scopes": ["tenants:read"]}, "INVALID"),
        ({"name": "Billing", "scopes": []}, "INVALID"),
        ({"name": "Billing", "scopes": ["everything"]}, "INVALID"),
        ({"name": "Billing", "scopes": ["members:manage"]}, "INVALID"),
        ({"name": "Billing", "scopes": ["tenants:read"], "expiresAt": "2020-01-01T00:00:00Z"}, "INVALID"),
        ({"name": "Billing", "scopes": ["tenants:read"], "tenantIds": [tenant_gid(new_id())]}, "NOT_FOUND"),
        ({"name": "Billing", "scopes": ["tenants:read"], "tenantIds": ["x"]}, "NOT_FOUND"),
    ],
)  # fmt: skip
def test_an_invalid_service_account_is_refused_and_not_created(
    harness: RunHarness, owner: Client, wanted: dict[str, Any], code: str
) -> None:
    payload = owner.mutate("createServiceAccount", ACCOUNT, **wanted)

    assert (code_of(payload), payload["serviceAccount"], payload["token"]) == (code, None, None)
    assert owner.execute(SERVICE_ACCOUNTS)["organization"]["serviceAccounts"]["edges"] == []
    assert events_of(harness, "org.") == []


def test_changed_scopes_of_a_service_account_take_effect_within_seconds(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    mine = harness.create("mine").tenant.id
    account = create_account(owner, "tenants:read", tenantIds=[tenant_gid(mine)])
    service_account, name = bearer(api, account), account["serviceAccount"]["id"]

    payload = owner.mutate(
        "updateServiceAccount", ACCOUNT.replace("token", ""), serviceAccountId=name, scopes=["audit:read"],
        tenantIds=None,
    )  # fmt: skip

    changed = payload["serviceAccount"]
    assert (changed["scopes"], changed["tenantIds"], changed["name"]) == (["audit:read"], None, "Billing")
    wait_until(
        lambda: service_account.execute(VIEWER)["viewer"]["scopes"] == ["audit:read"], within=MAX_REVOCATION_DELAY
    )
    _, facts = events_of(harness, "org.service_account_updated")[-1]
    assert facts["changes"] == {"scopes": [["tenants:read"], ["audit:read"]], "tenant_ids": [[str(mine)], None]}


def test_a_token_rotated_without_overlap_is_invalid_within_seconds(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    before = create_account(owner, "tenants:read")
    bearer(api, before).execute(VIEWER)

    after = owner.mutate("rotateServiceAccountToken", ACCOUNT, serviceAccountId=before["serviceAccount"]["id"])

    assert after["token"] != before["token"]
    assert bearer(api, after).execute(VIEWER)
    wait_until(lambda: is_unauthenticated(bearer(api, before)), within=MAX_REVOCATION_DELAY)
    assert events_of(harness, "org.service_account_rotated")[-1][1]["previous_token_until"] is None


def test_a_rotated_token_stays_valid_for_the_overlap_and_no_longer(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    before = create_account(owner, "tenants:read")
    name = before["serviceAccount"]["id"]

    after = owner.mutate("rotateServiceAccountToken", ACCOUNT, serviceAccountId=name, overlap="PT1H")
    both = [bearer(api, one).execute(VIEWER)["viewer"]["scopes"] for one in (before, after)]
    ended = datetime.now(UTC) - timedelta(seconds=1)
    with harness.database.transaction() as session:
        row = session.get_one(ServiceAccount, stored_account(harness, after).id)
        row.previous_token_until = ended
        session.add(row)

    assert both == [["tenants:read"]] * 2
    assert after["serviceAccount"]["previousTokenUntil"] is not None
    wait_until(lambda: is_unauthenticated(bearer(api, before)), within=MAX_REVOCATION_DELAY)
    assert bearer(api, after).execute(VIEWER)


def test_a_mutation_with_an_outdated_expected_version_changes_nothing(
    harness: RunHarness, api: Api, owner: Client
) -> None:
    api.member(harness.organisation.id, Role.VIEWER)
    viewer = members_by_role(owner)["VIEWER"]["id"]
    account = create_account(owner, "tenants:read")["serviceAccount"]["id"]
    calls: list[tuple[str, dict[str, Any]]] = [
        ("changeMemberRole", {"memberId": viewer, "role": "ADMIN"}),
        ("removeMember", {"memberId": viewer}),
        ("updateServiceAccount", {"serviceAccountId": account, "name": "Other"}),
        ("rotateServiceAccountToken", {"serviceAccountId": account}),
        ("revokeServiceAccount", {"serviceAccountId": account}),
    ]

    refused = [owner.mutate(mutation, expectedVersion=2, **facts) for mutation, facts in calls]
    renamed = owner.mutate(
        "updateServiceAccount", "serviceAccount { version }", expectedVersion=1, serviceAccountId=account, name="Other"
    )

    assert [code_of(payload) for payload in refused] == ["VERSION_CONFLICT"] * 5
    assert "The service account is at version 1, not 2" in refused[-1]["userErrors"][0]["message"]
    assert renamed["serviceAccount"] == {"version": 2}
    assert [kind for kind, _ in events_of(harness, "org.")] == [
        "org.service_account_created",
        "org.service_account_updated",
    ]


def test_authenticating_a_service_account_takes_at_most_one_statement(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    service_account = bearer(api, create_account(owner, "tenants:read"))
    service_account.execute(VIEWER)
    statements: list[str] = []
    engine = api.services.authenticator._database.engine

    def record(_c: object, _k: object, statement: str, *_: object) -> None:
        statements.extend([statement] if "token_sha256" in statement else [])

    event.listen(engine, "before_cursor_execute", record)
    try:
        api.services.authenticator._cache.clear()
        for _ in range(3):
            service_account.execute(VIEWER)
    finally:
        event.remove(engine, "before_cursor_execute", record)

    assert 1 <= len(statements) <= 3
    assert all(statement.startswith("SELECT service_accounts") for statement in statements)


def test_an_overlap_of_more_than_a_week_is_refused(owner: Client) -> None:
    name = create_account(owner, "tenants:read")["serviceAccount"]["id"]

    payload = owner.mutate("rotateServiceAccountToken", ACCOUNT, serviceAccountId=name, overlap="P8D")

    assert (code_of(payload), payload["token"]) == ("INVALID", None)


def test_a_revoked_service_account_loses_access_and_open_websockets_within_seconds(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    account = create_account(owner, "audit:read")
    service_account, name = bearer(api, account), account["serviceAccount"]["id"]

    with service_account.connected() as socket:
        first = owner.mutate("revokeServiceAccount", "serviceAccount { revokedAt }", serviceAccountId=name)
        second = owner.mutate("revokeServiceAccount", "serviceAccount { revokedAt }", serviceAccountId=name)
        wait_until(lambda: is_unauthenticated(service_account), within=MAX_REVOCATION_DELAY)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(MAX_REVOCATION_DELAY)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401
    assert first == second
    assert [kind for kind, _ in events_of(harness, "org.")][1:] == ["org.service_account_revoked"]
    for mutation in ("rotateServiceAccountToken", "updateServiceAccount"):
        assert code_of(owner.mutate(mutation, serviceAccountId=name)) == "INVALID"


def test_an_expired_service_account_loses_access_and_open_websockets(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=4)
    service_account = bearer(api, create_account(owner, "audit:read", expiresAt=soon.isoformat()))

    with service_account.connected() as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(MAX_REVOCATION_DELAY + 4)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401
    wait_until(lambda: is_unauthenticated(service_account), within=MAX_REVOCATION_DELAY)


def test_the_last_use_is_recorded_but_not_for_every_request(api: Api, harness: RunHarness, owner: Client) -> None:
    account = create_account(owner, "tenants:read")
    service_account = bearer(api, account)
    assert stored_account(harness, account).last_used_at is None

    service_account.execute(VIEWER)
    first = stored_account(harness, account).last_used_at
    api.services.authenticator._cache.clear()
    service_account.execute(VIEWER)

    assert first is not None
    assert stored_account(harness, account).last_used_at == first


@pytest.mark.parametrize("corrupt", [
    lambda token: token[:-1] + ("0" if token[-1] != "0" else "1"),
    lambda token: token.lower(),
    lambda token: token + "0",
    lambda token: token[:20],
    lambda _: "tnt_",
    lambda token: token.replace("tnt_", "TNT_"),
])  # fmt: skip
def test_a_malformed_api_token_is_refused_without_a_query_of_the_database(
    api: Api, owner: Client, corrupt: Any
) -> None:
    token = create_account(owner, "tenants:read")["token"]

    assert not api_tokens.is_token(corrupt(token))
    assert is_unauthenticated(Client(api.address, f"Bearer {corrupt(token)}"))


def test_a_well_formed_but_unknown_api_token_is_refused(api: Api) -> None:
    assert is_unauthenticated(Client(api.address, f"Bearer {api_tokens.new_token()}"))


def test_a_signed_token_grants_only_scopes_that_both_token_and_account_have(api: Api, harness: RunHarness) -> None:
    service_account = api.service_account(harness.organisation.id, "tenants:read", "audit:read")
    with harness.database.transaction() as session:
        account = session.exec(
            select(ServiceAccount).where(ServiceAccount.organisation_id == harness.organisation.id)
        ).one()
        account.scopes = ["tenants:read", "tenants:write"]
        session.add(account)

    assert service_account.execute(VIEWER)["viewer"]["scopes"] == ["tenants:read"]
