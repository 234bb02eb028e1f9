"""Managing an organisation's members, and the sessions that end with a member's access."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlmodel import select
from websockets.exceptions import ConnectionClosed

from models import Member, Role
from schema.node import parts_of
from tests.access import MAX_REVOCATION_DELAY, VIEWER, code_of, events_of, is_unauthenticated, members_by_role
from tests.api import Api, Client, Subscription
from tests.run_harness import RunHarness
from tests.waiting import wait_until


def close_code(subscription: Subscription) -> int | None:
    """The code with which the server closes the websocket; messages before that are skipped."""
    try:
        while True:
            subscription.message(MAX_REVOCATION_DELAY)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


def test_an_invited_member_is_listed_and_recorded_in_the_feed(harness: RunHarness, owner: Client) -> None:
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
    assert set(members_by_role(owner)) == {"OWNER", "VIEWER"}
    key = str(parts_of(member["id"])[1])  # type: ignore[index]  # it is one of ours
    assert events_of(harness, "org.") == [("org.member_invited", {"member_id": key, "name": "Ada", "role": "VIEWER"})]


@pytest.mark.parametrize(
    ("wanted", "code", "field"),
    [
        ({"email": "owner@SHOP.example", "role": "ADMIN"}, "TAKEN", "email"),
        ({"email": "nonsense", "role": "ADMIN"}, "INVALID", "email"),
        ({"email": "bo\u212a@shop.example", "role": "ADMIN"}, "INVALID", "email"),
        ({"email": "bob@shop.example", "role": "VIEWER", "name": "\u202eevil"}, "INVALID", "name"),
        ({"email": "bob@shop.example", "role": "OWNER"}, "INVALID", "role"),
        ({"email": "bob@shop.example", "role": "VIEWER", "name": "\u0007"}, "INVALID", "name"),
    ],
)
def test_an_invalid_invitation_is_refused_and_changes_nothing(
    harness: RunHarness, owner: Client, wanted: dict[str, Any], code: str, field: str
) -> None:
    payload = owner.mutate("inviteMember", "member { id }", **wanted)

    assert payload["member"] is None
    assert (code_of(payload), payload["userErrors"][0]["field"]) == (code, ["input", field])
    assert set(members_by_role(owner)) == {"OWNER"}
    assert events_of(harness, "org.") == []


def test_an_admin_may_change_every_member_except_the_owner(api: Api, harness: RunHarness, owner: Client) -> None:
    owner.execute(VIEWER)
    admin = api.member(harness.organisation.id, Role.ADMIN)
    api.member(harness.organisation.id, Role.VIEWER)
    members = members_by_role(admin)

    demoted = admin.mutate("changeMemberRole", "member { id }", memberId=members["OWNER"]["id"], role="VIEWER")
    made_owner = admin.mutate("changeMemberRole", "member { id }", memberId=members["ADMIN"]["id"], role="OWNER")
    removed = admin.mutate("removeMember", "removedMemberId", memberId=members["OWNER"]["id"])
    promoted = admin.mutate("changeMemberRole", "member { role }", memberId=members["VIEWER"]["id"], role="ADMIN")

    assert [code_of(payload) for payload in (demoted, made_owner, removed)] == ["FORBIDDEN"] * 3
    assert promoted["member"] == {"role": "ADMIN"}
    assert {facts["action"] for _, facts in events_of(harness, "access.denied")} == {"changeMemberRole", "removeMember"}
    assert [name for name, _ in events_of(harness, "org.")] == ["org.member_role_changed"]
    assert members_by_role(admin)["OWNER"]["id"] == members["OWNER"]["id"]


def test_an_owner_who_transfers_the_ownership_becomes_an_admin(api: Api, harness: RunHarness, owner: Client) -> None:
    api.member(harness.organisation.id, Role.ADMIN)
    before = members_by_role(owner)

    without_successor = owner.mutate("changeMemberRole", "member { id }", memberId=before["OWNER"]["id"], role="VIEWER")
    payload = owner.mutate("changeMemberRole", "member { role }", memberId=before["ADMIN"]["id"], role="OWNER")

    assert code_of(without_successor) == "INVALID"
    assert payload["member"] == {"role": "OWNER"}
    after = members_by_role(owner)
    assert (after["OWNER"]["id"], after["ADMIN"]["id"]) == (before["ADMIN"]["id"], before["OWNER"]["id"])
    changes = [(facts["before"], facts["role"]) for _, facts in events_of(harness, "org.member_role_changed")]
    assert changes == [("OWNER", "ADMIN"), ("ADMIN", "OWNER")]


def test_concurrent_invitations_of_one_address_create_one_member(api: Api, harness: RunHarness, owner: Client) -> None:
    managers = [owner, api.member(harness.organisation.id, Role.ADMIN)]

    with ThreadPoolExecutor(8) as pool:
        calls = [
            pool.submit(manager.mutate, "inviteMember", email="ada@shop.example", role="VIEWER")
            for manager in managers * 4
        ]
    codes = Counter(code_of(call.result()) for call in calls)

    assert codes == {None: 1, "TAKEN": 7}
    assert [kind for kind, _ in events_of(harness, "org.")] == ["org.member_invited"]


def test_of_two_concurrent_transfers_of_the_ownership_one_succeeds(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    for role in (Role.ADMIN, Role.VIEWER):
        api.member(harness.organisation.id, role)
    members = members_by_role(owner)

    with ThreadPoolExecutor(2) as pool:
        calls = [
            pool.submit(owner.mutate, "changeMemberRole", memberId=members[role]["id"], role="OWNER")
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


def test_a_member_who_never_signed_in_cannot_become_the_owner(owner: Client) -> None:
    invited = owner.mutate("inviteMember", "member { id }", email="ada@shop.example", role="ADMIN")["member"]["id"]

    assert code_of(owner.mutate("changeMemberRole", memberId=invited, role="OWNER")) == "INVALID"


def test_only_owners_and_admins_may_read_and_change_members(
    api: Api, harness: RunHarness, other: RunHarness, owner: Client
) -> None:
    member = members_by_role(owner)["OWNER"]["id"]
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
    assert set(members_by_role(owner)) == {"OWNER", "VIEWER"}


def test_the_second_page_of_members_continues_after_the_first(api: Api, harness: RunHarness, owner: Client) -> None:
    for number in range(3):
        owner.mutate("inviteMember", email=f"{number}@shop.example", role="VIEWER", name=f"N{number}")
    document = """query M($after: String) { organization { members(first: 2, after: $after) {
      edges { node { name } } pageInfo { hasNextPage endCursor } } } }"""

    first = owner.execute(document)["organization"]["members"]
    second = owner.execute(document, after=first["pageInfo"]["endCursor"])["organization"]["members"]

    names = [edge["node"]["name"] for page in (first, second) for edge in page["edges"]]
    assert names == [f"Owner of {harness.organisation.id}", "N0", "N1", "N2"]
    assert (first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (True, False)


def test_a_removed_member_loses_access_and_open_websockets_within_seconds(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    viewer = api.member(harness.organisation.id, Role.VIEWER)
    viewer.execute(VIEWER)

    with viewer.subscribed("subscription { auditEventAdded { type } }") as subscription:
        owner.mutate("removeMember", memberId=members_by_role(owner)["VIEWER"]["id"])
        wait_until(lambda: is_unauthenticated(viewer), within=MAX_REVOCATION_DELAY)
        closed = close_code(subscription)

    assert closed == 4401
    assert events_of(harness, "org.")[-1][0] == "org.member_removed"


def test_a_changed_role_takes_effect_within_seconds_and_closes_open_websockets(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    admin = api.member(harness.organisation.id, Role.ADMIN)
    assert "tenants:write" in admin.execute(VIEWER)["viewer"]["scopes"]

    with admin.connected() as socket:
        owner.mutate("changeMemberRole", memberId=members_by_role(owner)["ADMIN"]["id"], role="VIEWER")
        wait_until(
            lambda: "tenants:write" not in admin.execute(VIEWER)["viewer"]["scopes"], within=MAX_REVOCATION_DELAY
        )
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(MAX_REVOCATION_DELAY)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403
    assert code_of(admin.mutate("createTenant", slug="x1", plan="free", firstAdminEmail="a@b.example")) == "FORBIDDEN"


def test_a_demoted_admin_cannot_invite_members_while_the_old_role_is_cached(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    admin = api.member(harness.organisation.id, Role.ADMIN)
    admin.execute(VIEWER)
    owner.mutate("changeMemberRole", memberId=members_by_role(owner)["ADMIN"]["id"], role="VIEWER")

    payload = admin.mutate("inviteMember", email="friend@shop.example", role="ADMIN")

    assert code_of(payload) == "FORBIDDEN"


def test_members_of_another_organisation_with_the_same_address_are_not_listed(
    harness: RunHarness, other: RunHarness, owner: Client
) -> None:
    with harness.database.transaction() as session:
        session.add(
            Member(
                organisation_id=other.organisation.id, email="owner@shop.example", name="Twin", role=Role.ADMIN,
                created_at=datetime.now(UTC),
            )
        )  # fmt: skip

    assert set(members_by_role(owner)) == {"OWNER"}
