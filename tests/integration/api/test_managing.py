"""An organisation's people and programs: managed by those who may, seen by nobody else, gone within seconds."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import col, select
from websockets.exceptions import ConnectionClosed

from access import api_tokens
from models import Event, IdempotencyKey, Member, Role, ServiceAccount
from models.columns import new_id
from schema.node import parts_of
from tests.api import Api, Client, Facts, Subscription, tenant_gid
from tests.run_harness import RunHarness
from tests.waiting import wait_until

SOON = 5.0
"""Seconds within which access ends: a standing is remembered for 1 s and read again every 2 s, and 2 s to answer."""

ME = "{ viewer { actor { displayName } scopes } }"
PEOPLE = """{ organization { members(first: 100) { edges { node { id name email role pending } } } } }"""
PROGRAMS = """{ organization { serviceAccounts(first: 100) {
  edges { node { id name scopes tenantIds expiresAt lastUsedAt revokedAt previousTokenUntil } }
} } }"""
ACCOUNT = "serviceAccount { id name scopes tenantIds revokedAt previousTokenUntil } token"


def code_of(payload: Facts) -> str | None:
    return payload["userErrors"][0]["code"] if payload["userErrors"] else None


def told_in(harness: RunHarness, family: str) -> list[tuple[str, dict[str, Any]]]:
    """Types and facts of a family of events, in order."""
    mine = select(Event).where(Event.organisation_id == harness.organisation.id, col(Event.type).startswith(family))
    rows = harness.read(lambda session: list(session.exec(mine.order_by(col(Event.position)))))
    return [(row.type, row.data) for row in rows]


def people_seen_by(client: Client) -> dict[str, Facts]:
    edges = client.execute(PEOPLE)["organization"]["members"]["edges"]
    return {edge["node"]["role"]: edge["node"] for edge in edges}


def created(client: Client, *scopes: str, **more: object) -> Facts:
    payload = client.mutate("createServiceAccount", ACCOUNT, name="Billing", scopes=list(scopes), **more)
    assert payload["userErrors"] == []
    return payload


def bearer(api: Api, payload: Facts) -> Client:
    return Client(api.address, f"Bearer {payload['token']}")


def shut_out(client: Client) -> bool:
    return client.post(ME).status_code == 401


def closed_after_what_is_left(subscription: Subscription) -> int | None:
    """The code with which a socket is closed, whatever comes before that."""
    try:
        while True:
            subscription.message(SOON)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


def row_of(harness: RunHarness, payload: Facts) -> ServiceAccount:
    parts = parts_of(payload["serviceAccount"]["id"])
    assert parts is not None
    return harness.read(lambda session: session.get_one(ServiceAccount, parts[1]))


def test_an_invited_member_is_on_the_list_and_in_the_feed(harness: RunHarness, owner: Client) -> None:
    fields = "member { id name email role pending joinedAt } memberEdge { node { id } }"

    payload = owner.mutate("inviteMember", fields, email="Ada@Shop.Example", role="VIEWER")

    member = payload["member"]
    assert member | {"id": None} == {
        "id": None,
        "name": "Ada",
        "email": "Ada@shop.example",
        "role": "VIEWER",
        "pending": True,
        "joinedAt": None,
    }
    assert payload["memberEdge"]["node"]["id"] == member["id"]
    assert set(people_seen_by(owner)) == {"OWNER", "VIEWER"}
    key = str(parts_of(member["id"])[1])  # type: ignore[index]  # it is one of ours
    assert told_in(harness, "org.") == [("org.member_invited", {"member_id": key, "name": "Ada", "role": "VIEWER"})]


@pytest.mark.parametrize(
    ("wanted", "code", "field"),
    [
        ({"email": "owner@SHOP.example", "role": "ADMIN"}, "TAKEN", "email"),
        ({"email": "nonsense", "role": "ADMIN"}, "INVALID", "email"),
        ({"email": "bob@shop.example", "role": "OWNER"}, "INVALID", "role"),
        ({"email": "bob@shop.example", "role": "VIEWER", "name": "\u0007"}, "INVALID", "name"),
    ],
)
def test_an_invitation_that_makes_no_sense_changes_nothing(
    harness: RunHarness, owner: Client, wanted: dict[str, Any], code: str, field: str
) -> None:
    payload = owner.mutate("inviteMember", "member { id }", **wanted)

    assert payload["member"] is None
    assert (code_of(payload), payload["userErrors"][0]["field"]) == (code, ["input", field])
    assert set(people_seen_by(owner)) == {"OWNER"}
    assert told_in(harness, "org.") == []


def test_an_admin_touches_everybody_but_the_owner(api: Api, harness: RunHarness, owner: Client) -> None:
    owner.execute(ME)
    admin = api.member(harness.organisation.id, Role.ADMIN)
    api.member(harness.organisation.id, Role.VIEWER)
    people = people_seen_by(admin)

    demoted = admin.mutate("changeMemberRole", "member { id }", memberId=people["OWNER"]["id"], role="VIEWER")
    crowned = admin.mutate("changeMemberRole", "member { id }", memberId=people["ADMIN"]["id"], role="OWNER")
    removed = admin.mutate("removeMember", "removedMemberId", memberId=people["OWNER"]["id"])
    promoted = admin.mutate("changeMemberRole", "member { role }", memberId=people["VIEWER"]["id"], role="ADMIN")

    assert [code_of(payload) for payload in (demoted, crowned, removed)] == ["FORBIDDEN"] * 3
    assert promoted["member"] == {"role": "ADMIN"}
    assert {facts["action"] for _, facts in told_in(harness, "access.denied")} == {"changeMemberRole", "removeMember"}
    assert [name for name, _ in told_in(harness, "org.")] == ["org.member_role_changed"]
    assert people_seen_by(admin)["OWNER"]["id"] == people["OWNER"]["id"]


def test_the_owner_hands_the_ownership_over_and_is_an_admin_then(api: Api, harness: RunHarness, owner: Client) -> None:
    api.member(harness.organisation.id, Role.ADMIN)
    before = people_seen_by(owner)

    alone = owner.mutate("changeMemberRole", "member { id }", memberId=before["OWNER"]["id"], role="VIEWER")
    payload = owner.mutate("changeMemberRole", "member { role }", memberId=before["ADMIN"]["id"], role="OWNER")

    assert code_of(alone) == "INVALID"
    assert payload["member"] == {"role": "OWNER"}
    after = people_seen_by(owner)
    assert (after["OWNER"]["id"], after["ADMIN"]["id"]) == (before["ADMIN"]["id"], before["OWNER"]["id"])
    changes = [(facts["before"], facts["role"]) for _, facts in told_in(harness, "org.member_role_changed")]
    assert changes == [("OWNER", "ADMIN"), ("ADMIN", "OWNER")]


def test_two_invitations_of_one_address_at_once_are_one(api: Api, harness: RunHarness, owner: Client) -> None:
    managers = [owner, api.member(harness.organisation.id, Role.ADMIN)]

    with ThreadPoolExecutor(8) as pool:
        calls = [
            pool.submit(manager.mutate, "inviteMember", email="ada@shop.example", role="VIEWER")
            for manager in managers * 4
        ]
    codes = Counter(code_of(call.result()) for call in calls)

    assert codes == {None: 1, "TAKEN": 7}
    assert [kind for kind, _ in told_in(harness, "org.")] == ["org.member_invited"]


def test_the_ownership_goes_to_one_of_two_to_whom_it_is_handed_at_once(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    for role in (Role.ADMIN, Role.VIEWER):
        api.member(harness.organisation.id, role)
    people = people_seen_by(owner)

    with ThreadPoolExecutor(2) as pool:
        calls = [
            pool.submit(owner.mutate, "changeMemberRole", memberId=people[role]["id"], role="OWNER")
            for role in ("ADMIN", "VIEWER")
        ]
    codes = Counter(code_of(call.result()) for call in calls)

    assert codes == {None: 1, "FORBIDDEN": 1}
    roles = harness.read(
        lambda session: sorted(
            session.exec(select(Member.role).where(Member.organisation_id == harness.organisation.id))
        )
    )
    assert roles.count(Role.OWNER) == 1


def test_somebody_who_never_signed_in_does_not_become_the_owner(owner: Client) -> None:
    invited = owner.mutate("inviteMember", "member { id }", email="ada@shop.example", role="ADMIN")["member"]["id"]

    assert code_of(owner.mutate("changeMemberRole", memberId=invited, role="OWNER")) == "INVALID"


def test_nobody_else_sees_or_changes_who_belongs(
    api: Api, harness: RunHarness, other: RunHarness, owner: Client
) -> None:
    member = people_seen_by(owner)["OWNER"]["id"]
    home = harness.organisation.id
    outsiders = [
        api.member(home, Role.VIEWER),
        api.service_account(home, "tenants:read", "tenants:write", "audit:read"),
        api.support(),
    ]

    for outsider in outsiders:
        document = f'{{ organization(slug: "{harness.organisation.slug}") {{ members {{ edges {{ cursor }} }} }} }}'
        assert outsider.error(document)["extensions"]["code"] == "FORBIDDEN"
        document = document.replace("members", "serviceAccounts")
        assert outsider.error(document)["extensions"]["code"] == "FORBIDDEN"
        assert outsider.execute("query N($id: ID!) { node(id: $id) { id } }", id=member) == {"node": None}
        assert code_of(outsider.mutate("inviteMember", email="m@shop.example", role="ADMIN")) == "FORBIDDEN"
    stranger = api.member(other.organisation.id)
    assert stranger.execute("query N($id: ID!) { node(id: $id) { id } }", id=member) == {"node": None}
    assert code_of(stranger.mutate("removeMember", memberId=member)) == "NOT_FOUND"
    assert set(people_seen_by(owner)) == {"OWNER", "VIEWER"}


def test_pages_of_members_go_on_where_they_ended(api: Api, harness: RunHarness, owner: Client) -> None:
    for number in range(3):
        owner.mutate("inviteMember", email=f"{number}@shop.example", role="VIEWER", name=f"N{number}")
    document = """query M($after: String) { organization { members(first: 2, after: $after) {
      edges { node { name } } pageInfo { hasNextPage endCursor } } } }"""

    first = owner.execute(document)["organization"]["members"]
    second = owner.execute(document, after=first["pageInfo"]["endCursor"])["organization"]["members"]

    names = [edge["node"]["name"] for page in (first, second) for edge in page["edges"]]
    assert names == [f"Owner of {harness.organisation.id}", "N0", "N1", "N2"]
    assert (first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (True, False)


def test_a_removed_member_is_out_within_seconds_sockets_included(api: Api, harness: RunHarness, owner: Client) -> None:
    viewer = api.member(harness.organisation.id, Role.VIEWER)
    viewer.execute(ME)

    with viewer.subscribed("subscription { auditEventAdded { type } }") as subscription:
        owner.mutate("removeMember", memberId=people_seen_by(owner)["VIEWER"]["id"])
        wait_until(lambda: shut_out(viewer), within=SOON)
        closed = closed_after_what_is_left(subscription)

    assert closed == 4401
    assert told_in(harness, "org.")[-1][0] == "org.member_removed"


def test_another_role_counts_within_seconds_and_its_sockets_begin_anew(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    admin = api.member(harness.organisation.id, Role.ADMIN)
    assert "tenants:write" in admin.execute(ME)["viewer"]["scopes"]

    with admin.connected() as socket:
        owner.mutate("changeMemberRole", memberId=people_seen_by(owner)["ADMIN"]["id"], role="VIEWER")
        wait_until(lambda: "tenants:write" not in admin.execute(ME)["viewer"]["scopes"], within=SOON)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(SOON)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403
    assert code_of(admin.mutate("createTenant", slug="x1", plan="free", firstAdminEmail="a@b.example")) == "FORBIDDEN"


def test_a_right_that_was_taken_a_moment_ago_does_not_manage(api: Api, harness: RunHarness, owner: Client) -> None:
    admin = api.member(harness.organisation.id, Role.ADMIN)
    admin.execute(ME)
    owner.mutate("changeMemberRole", memberId=people_seen_by(owner)["ADMIN"]["id"], role="VIEWER")

    payload = admin.mutate("inviteMember", email="friend@shop.example", role="ADMIN")

    assert code_of(payload) == "FORBIDDEN"


def test_an_api_token_is_shown_once_and_kept_nowhere(api: Api, harness: RunHarness, owner: Client) -> None:
    key = f"account-{harness.organisation.slug}"

    first = created(owner, "tenants:read", idempotencyKey=key)
    again = owner.mutate("createServiceAccount", ACCOUNT, name="Billing", scopes=["tenants:read"], idempotencyKey=key)

    token = first["token"]
    assert api_tokens.is_token(token)
    assert again == first | {"token": None}
    assert bearer(api, first).execute(ME)["viewer"] == {"actor": {"displayName": "Billing"}, "scopes": ["tenants:read"]}
    assert row_of(harness, first).token_sha256 == api_tokens.digest_of(token)
    kept = harness.read(lambda session: session.exec(select(IdempotencyKey).where(IdempotencyKey.key == key)).one())
    assert token not in f"{kept.outcome} {told_in(harness, 'org.')} {owner.execute(PROGRAMS)} {row_of(harness, first)}"
    assert [name for name, _ in told_in(harness, "org.")] == ["org.service_account_created"]


def test_a_service_account_is_limited_as_it_was_told(api: Api, harness: RunHarness, owner: Client) -> None:
    mine, hidden = harness.create("mine").tenant.id, harness.create("hidden").tenant.id

    program = bearer(api, created(owner, "tenants:read", tenantIds=[tenant_gid(mine)]))

    assert program.execute("{ tenants { nodes { slug } } }") == {"tenants": {"nodes": [{"slug": "mine"}]}}
    assert program.execute("query T($id: ID!) { tenant(id: $id) { slug } }", id=tenant_gid(hidden)) == {"tenant": None}
    assert code_of(program.mutate("cancelProvisioning", tenantId=tenant_gid(mine))) == "FORBIDDEN"


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
def test_a_service_account_that_makes_no_sense_is_not_created(
    harness: RunHarness, owner: Client, wanted: dict[str, Any], code: str
) -> None:
    payload = owner.mutate("createServiceAccount", ACCOUNT, **wanted)

    assert (code_of(payload), payload["serviceAccount"], payload["token"]) == (code, None, None)
    assert owner.execute(PROGRAMS)["organization"]["serviceAccounts"]["edges"] == []
    assert told_in(harness, "org.") == []


def test_what_a_service_account_may_can_be_changed(api: Api, harness: RunHarness, owner: Client) -> None:
    mine = harness.create("mine").tenant.id
    account = created(owner, "tenants:read", tenantIds=[tenant_gid(mine)])
    program, name = bearer(api, account), account["serviceAccount"]["id"]

    payload = owner.mutate(
        "updateServiceAccount", ACCOUNT.replace("token", ""), serviceAccountId=name, scopes=["audit:read"],
        tenantIds=None,
    )  # fmt: skip

    changed = payload["serviceAccount"]
    assert (changed["scopes"], changed["tenantIds"], changed["name"]) == (["audit:read"], None, "Billing")
    wait_until(lambda: program.execute(ME)["viewer"]["scopes"] == ["audit:read"], within=SOON)
    _, facts = told_in(harness, "org.service_account_updated")[-1]
    assert facts["changes"] == {"scopes": [["tenants:read"], ["audit:read"]], "tenant_ids": [[str(mine)], None]}


def test_a_rotated_token_is_void_at_once(api: Api, harness: RunHarness, owner: Client) -> None:
    before = created(owner, "tenants:read")
    bearer(api, before).execute(ME)

    after = owner.mutate("rotateServiceAccountToken", ACCOUNT, serviceAccountId=before["serviceAccount"]["id"])

    assert after["token"] != before["token"]
    assert bearer(api, after).execute(ME)
    wait_until(lambda: shut_out(bearer(api, before)), within=SOON)
    assert told_in(harness, "org.service_account_rotated")[-1][1]["previous_token_until"] is None


def test_a_rotated_token_stays_good_for_the_overlap_and_no_longer(api: Api, harness: RunHarness, owner: Client) -> None:
    before = created(owner, "tenants:read")
    name = before["serviceAccount"]["id"]

    after = owner.mutate("rotateServiceAccountToken", ACCOUNT, serviceAccountId=name, overlap="PT1H")
    both = [bearer(api, one).execute(ME)["viewer"]["scopes"] for one in (before, after)]
    ended = datetime.now(UTC) - timedelta(seconds=1)
    with harness.database.transaction() as session:
        row = session.get_one(ServiceAccount, row_of(harness, after).id)
        row.previous_token_until = ended
        session.add(row)

    assert both == [["tenants:read"]] * 2
    assert after["serviceAccount"]["previousTokenUntil"] is not None
    wait_until(lambda: shut_out(bearer(api, before)), within=SOON)
    assert bearer(api, after).execute(ME)


def test_who_expected_another_version_changes_nothing(harness: RunHarness, api: Api, owner: Client) -> None:
    api.member(harness.organisation.id, Role.VIEWER)
    viewer = people_seen_by(owner)["VIEWER"]["id"]
    account = created(owner, "tenants:read")["serviceAccount"]["id"]
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
    assert [kind for kind, _ in told_in(harness, "org.")] == [
        "org.service_account_created",
        "org.service_account_updated",
    ]


def test_one_indexed_look_tells_who_calls_and_none_within_the_second(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    program = bearer(api, created(owner, "tenants:read"))
    program.execute(ME)
    looks: list[str] = []
    engine = api.services.authenticator._database.engine

    def note(_c: object, _k: object, statement: str, *_: object) -> None:
        looks.extend([statement] if "token_sha256" in statement else [])

    event.listen(engine, "before_cursor_execute", note)
    try:
        api.services.authenticator._cache.clear()
        for _ in range(3):
            program.execute(ME)
    finally:
        event.remove(engine, "before_cursor_execute", note)

    assert 1 <= len(looks) <= 3
    assert all(look.startswith("SELECT service_accounts") for look in looks)


def test_nobody_keeps_a_second_token_for_long(owner: Client) -> None:
    name = created(owner, "tenants:read")["serviceAccount"]["id"]

    payload = owner.mutate("rotateServiceAccountToken", ACCOUNT, serviceAccountId=name, overlap="P8D")

    assert (code_of(payload), payload["token"]) == ("INVALID", None)


def test_a_revoked_service_account_is_out_within_seconds_sockets_included(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    account = created(owner, "audit:read")
    program, name = bearer(api, account), account["serviceAccount"]["id"]

    with program.connected() as socket:
        first = owner.mutate("revokeServiceAccount", "serviceAccount { revokedAt }", serviceAccountId=name)
        second = owner.mutate("revokeServiceAccount", "serviceAccount { revokedAt }", serviceAccountId=name)
        wait_until(lambda: shut_out(program), within=SOON)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(SOON)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401
    assert first == second
    assert [kind for kind, _ in told_in(harness, "org.")][1:] == ["org.service_account_revoked"]
    for mutation in ("rotateServiceAccountToken", "updateServiceAccount"):
        assert code_of(owner.mutate(mutation, serviceAccountId=name)) == "INVALID"


def test_an_expired_service_account_is_out(api: Api, harness: RunHarness, owner: Client) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=4)
    program = bearer(api, created(owner, "audit:read", expiresAt=soon.isoformat()))

    with program.connected() as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(SOON + 4)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401
    wait_until(lambda: shut_out(program), within=SOON)


def test_the_last_use_is_noted_and_not_at_every_call(api: Api, harness: RunHarness, owner: Client) -> None:
    account = created(owner, "tenants:read")
    program = bearer(api, account)
    assert row_of(harness, account).last_used_at is None

    program.execute(ME)
    first = row_of(harness, account).last_used_at
    api.services.authenticator._cache.clear()
    program.execute(ME)

    assert first is not None
    assert row_of(harness, account).last_used_at == first


@pytest.mark.parametrize("spoil", [
    lambda token: token[:-1] + ("0" if token[-1] != "0" else "1"),
    lambda token: token.lower(),
    lambda token: token + "0",
    lambda token: token[:20],
    lambda _: "tnt_",
    lambda token: token.replace("tnt_", "TNT_"),
])  # fmt: skip
def test_what_is_no_api_token_is_refused_without_a_look_into_the_database(api: Api, owner: Client, spoil: Any) -> None:
    token = created(owner, "tenants:read")["token"]

    assert not api_tokens.is_token(spoil(token))
    assert shut_out(Client(api.address, f"Bearer {spoil(token)}"))


def test_a_well_spelled_token_of_nobody_is_refused(api: Api) -> None:
    assert shut_out(Client(api.address, f"Bearer {api_tokens.new_token()}"))


def test_a_signed_token_gives_a_service_account_no_more_than_it_holds(api: Api, harness: RunHarness) -> None:
    program = api.service_account(harness.organisation.id, "tenants:read", "audit:read")
    with harness.database.transaction() as session:
        account = session.exec(
            select(ServiceAccount).where(ServiceAccount.organisation_id == harness.organisation.id)
        ).one()
        account.scopes = ["tenants:read", "tenants:write"]
        session.add(account)

    assert program.execute(ME)["viewer"]["scopes"] == ["tenants:read"]


def test_what_support_looks_at_is_on_record_once_an_hour(api: Api, harness: RunHarness, other: RunHarness) -> None:
    harness.create("one")
    other.create("elsewhere")
    support = api.support()
    look = "query T($id: ID!) { tenant(id: $id) { slug runs(first: 1) { edges { node { number } } } } }"

    for _ in range(3):
        support.execute(look, id=tenant_gid(harness.tenant_id))

    assert told_in(harness, "access.support") == [("access.support_looked", {"tenant_ids": [str(harness.tenant_id)]})]
    assert told_in(other, "access.support") == []


def test_support_looking_at_another_tenant_is_on_record_too(api: Api, harness: RunHarness) -> None:
    first, second = harness.create("one").tenant.id, harness.create("two").tenant.id
    support = api.support()

    support.execute("query T($id: ID!) { tenant(id: $id) { slug } }", id=tenant_gid(first))
    support.execute("query F($id: ID!) { auditEvents(filter: {tenantId: $id}) { edges { node { type } } } }",
                id=tenant_gid(second))  # fmt: skip

    assert [facts["tenant_ids"] for _, facts in told_in(harness, "access.support")] == [[str(first)], [str(second)]]


ACTOR = "query A($id: ID!) { node(id: $id) { ... on Actor { displayName } } }"


def test_support_looking_at_a_person_is_on_record_too(api: Api, harness: RunHarness, owner: Client) -> None:
    support, somebody = api.support(), owner.execute("{ viewer { actor { id } } }")["viewer"]["actor"]["id"]

    support.execute(ACTOR, id=somebody)

    assert told_in(harness, "access.support") == [("access.support_looked", {"tenant_ids": []})]


def test_who_does_not_manage_members_knows_people_by_their_names(api: Api, harness: RunHarness, owner: Client) -> None:
    viewer, auditor = (
        api.member(harness.organisation.id, Role.VIEWER),
        api.service_account(harness.organisation.id, "audit:read"),
    )
    somebody = owner.execute("{ viewer { actor { id } } }")["viewer"]["actor"]["id"]

    shown = [client.execute(ACTOR, id=somebody)["node"] for client in (owner, viewer, auditor, api.support())]

    name = f"Owner of {harness.organisation.id}"
    assert shown == [{"displayName": "owner@shop.example"}, *[{"displayName": name}] * 3]


def test_what_the_organisations_own_people_look_at_is_not_on_record(harness: RunHarness, owner: Client) -> None:
    harness.create("one")

    owner.execute("{ tenants { nodes { slug } } }")

    assert told_in(harness, "access.") == []


def test_members_are_told_apart_from_their_rows_elsewhere(
    harness: RunHarness, other: RunHarness, owner: Client
) -> None:
    with harness.database.transaction() as session:
        session.add(
            Member(
                organisation_id=other.organisation.id, email="owner@shop.example", name="Twin", role=Role.ADMIN,
                created_at=datetime.now(UTC),
            )
        )  # fmt: skip

    assert set(people_seen_by(owner)) == {"OWNER"}
