"""Idempotency keys: a repeated mutation has one effect and one payload for a day."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlmodel import Session, col, select

from models import Event, IdempotencyKey, Tenant
from models.columns import new_id
from provisioning import idempotency
from provisioning.errors import IdempotencyInProgress
from provisioning.idempotency import KeyedCall, Outcome, Performed
from resolvers import bulk_cancel
from runtime.database import clock
from tests.api import Api, Client, Facts, tenant_gid
from tests.run_harness import RunHarness
from tests.tenant_states import all_rows
from tests.waiting import wait_until_blocked
from workers.dispatcher import Dispatcher
from workers.sweeper import Sweeper

VALID_INPUT = {"slug": "shop", "plan": "starter", "firstAdminEmail": "ada@shop.example"}
FIELDS = "tenant { id } run { id }"


def create(client: Client, **overrides: object) -> Facts:
    return client.mutate("createTenant", FIELDS, **(VALID_INPUT | overrides))


def codes_of(payload: Facts) -> list[str]:
    return [error["code"] for error in payload["userErrors"]]


def keys_of(harness: RunHarness, key: str) -> list[IdempotencyKey]:
    kept = select(IdempotencyKey).where(IdempotencyKey.key == key)
    return harness.read(lambda session: list(session.exec(kept)))


@pytest.fixture
def key(harness: RunHarness) -> str:
    return f"order-{harness.organisation.slug}"


def test_a_repeated_mutation_returns_the_payload_of_the_first(harness: RunHarness, owner: Client, key: str) -> None:
    first = create(owner, idempotencyKey=key)
    harness.tenant_id = harness.read(
        lambda session: session.exec(select(Tenant.id).where(Tenant.organisation_id == harness.organisation.id)).one()
    )
    before = all_rows(harness)

    second = create(owner, idempotencyKey=key)

    assert second == first
    assert first["userErrors"] == []
    assert all_rows(harness) == before


def test_a_key_used_with_another_input_is_refused(harness: RunHarness, owner: Client, key: str) -> None:
    create(owner, idempotencyKey=key)

    second = create(owner, idempotencyKey=key, slug="store")

    assert codes_of(second) == ["IDEMPOTENCY_KEY_REUSED"]
    assert second["userErrors"][0]["field"] == ["input", "idempotencyKey"]
    assert second["tenant"] is None
    assert owner.execute("{ tenants { nodes { slug } } }")["tenants"]["nodes"] == [{"slug": "shop"}]


def test_a_key_is_scoped_to_its_caller_and_its_mutation(
    api: Api, harness: RunHarness, other: RunHarness, owner: Client, key: str
) -> None:
    mine = create(owner, idempotencyKey=key)
    theirs = create(api.member(other.organisation.id), idempotencyKey=key)
    cancelled = owner.mutate(
        "cancelProvisioning", "alreadyRequested", tenantId=mine["tenant"]["id"], idempotencyKey=key
    )

    assert codes_of(theirs) == codes_of(cancelled) == []
    assert theirs["tenant"]["id"] != mine["tenant"]["id"]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("", "must have 1 to 255 characters"),
        ("x" * 256, "must have 1 to 255 characters"),
        ("\0", "must not contain NUL or an unpaired surrogate"),
        ("a\ud800", "must not contain NUL or an unpaired surrogate"),
    ],
)
def test_an_invalid_key_is_refused_and_changes_nothing(
    harness: RunHarness, owner: Client, key: str, message: str
) -> None:
    refused = create(owner, idempotencyKey=key)

    assert codes_of(refused) == ["INVALID"]
    assert message in refused["userErrors"][0]["message"]
    assert refused["userErrors"][0]["field"] == ["input", "idempotencyKey"]
    assert owner.execute("{ tenants { totalCount } }") == {"tenants": {"totalCount": 0}}


def test_an_input_with_an_explicit_null_differs_from_an_input_without_the_field(owner: Client, key: str) -> None:
    tenant_id = create(owner, start=False, provisioningDeadline="PT1H")["tenant"]["id"]
    facts = {"tenantId": tenant_id, "idempotencyKey": key}

    first = owner.mutate("updateTenant", "tenant { provisioningDeadline }", **facts, provisioningDeadline=None)
    again = owner.mutate("updateTenant", "tenant { provisioningDeadline }", **facts, provisioningDeadline=None)
    other = owner.mutate("updateTenant", "tenant { provisioningDeadline }", **facts)

    assert first == again == {"tenant": {"provisioningDeadline": None}, "userErrors": []}
    assert codes_of(other) == ["IDEMPOTENCY_KEY_REUSED"]


def test_a_refused_mutation_does_not_use_up_its_key(harness: RunHarness, owner: Client, key: str) -> None:
    refused = create(owner, idempotencyKey=key, slug="Wrong Slug")
    kept = keys_of(harness, key)
    corrected = create(owner, idempotencyKey=key)

    assert codes_of(refused) == ["INVALID"]
    assert kept == []
    assert codes_of(corrected) == []


def test_a_repeated_cancel_returns_the_payload_of_the_first(harness: RunHarness, owner: Client, key: str) -> None:
    harness.create()
    harness.make_moves(until="allocate_traffic")
    harness.claim()
    facts = {"tenantId": tenant_gid(harness.tenant_id), "idempotencyKey": key}

    first = owner.mutate("cancelProvisioning", "alreadyRequested run { number }", **facts)
    again = owner.mutate("cancelProvisioning", "alreadyRequested run { number }", **facts)
    without = owner.mutate("cancelProvisioning", "alreadyRequested run { number }", tenantId=facts["tenantId"])

    assert first == again == {"alreadyRequested": False, "run": {"number": 1}, "userErrors": []}
    assert without["alreadyRequested"] is True


def test_a_repeated_bulk_cancel_returns_the_payload_of_the_first(harness: RunHarness, owner: Client, key: str) -> None:
    cancelled, pending = harness.create("one").tenant.id, harness.create("two", start=False).tenant.id
    ids = [tenant_gid(cancelled), tenant_gid(pending), "nonsense"]
    fields = "results { tenant { slug } run { number } alreadyRequested userErrors { __typename code message field } }"

    first = owner.mutate("cancelProvisionings", fields, tenantIds=ids, idempotencyKey=key)
    again = owner.mutate("cancelProvisionings", fields, tenantIds=ids, idempotencyKey=key)

    assert first == again
    assert [codes_of(result) for result in first["results"]] == [[], ["INVALID_STATE"], ["NOT_FOUND"]]


def test_a_repeated_call_in_parts_continues_after_the_last_committed_part(harness: RunHarness, key: str) -> None:
    call = KeyedCall(new_id(), "cancelProvisionings", key, "the same input")

    def next_part(session: Session) -> Outcome:
        before = idempotency.stored_outcome(session, call)
        done = {"parts": 1 + (before["parts"] if before else 0)}
        idempotency.store_outcome(session, call, done)
        return done

    def crash(session: Session) -> None:
        next_part(session)
        raise RuntimeError("the process died")

    harness.transact(next_part)
    with pytest.raises(RuntimeError, match="died"):
        harness.transact(crash)
    repeated = harness.transact(next_part)

    assert repeated == {"parts": 2}


def test_a_repeated_bulk_cancel_in_several_commits_returns_the_payload_of_the_first(
    harness: RunHarness, owner: Client, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_cancel, "TENANTS_PER_TRANSACTION", 2)
    ids = [tenant_gid(harness.create(f"shop-{number}").tenant.id) for number in range(5)]
    fields = "results { tenant { slug } alreadyRequested userErrors { code } }"

    first = owner.mutate("cancelProvisionings", fields, tenantIds=ids, idempotencyKey=key)
    again = owner.mutate("cancelProvisionings", fields, tenantIds=ids, idempotencyKey=key)

    assert first == again
    assert [result["tenant"]["slug"] for result in first["results"]] == [f"shop-{number}" for number in range(5)]
    assert [result["alreadyRequested"] for result in first["results"]] == [False] * 5
    requested = select(Event.transaction_id).where(
        Event.organisation_id == harness.organisation.id, col(Event.type).endswith("cancel_requested")
    )
    assert sorted(Counter(harness.read(lambda session: list(session.exec(requested)))).values()) == [1, 2, 2]


def test_an_expired_key_can_be_used_again_and_keys_expire_after_a_day(
    harness: RunHarness, owner: Client, key: str
) -> None:
    create(owner, idempotencyKey=key)
    with harness.database.transaction() as session:
        session.execute(update(IdempotencyKey).where(col(IdempotencyKey.key) == key).values(expires_at=clock(session)))

    later = create(owner, idempotencyKey=key, slug="store")

    assert codes_of(later) == []
    (kept,) = keys_of(harness, key)
    assert kept.expires_at - kept.created_at == timedelta(hours=24)


def test_the_sweeper_deletes_expired_keys(harness: RunHarness, owner: Client, key: str) -> None:
    create(owner, idempotencyKey=key)
    create(owner, idempotencyKey=f"{key}-live", slug="store")
    with harness.database.transaction() as session:
        session.execute(update(IdempotencyKey).where(col(IdempotencyKey.key) == key).values(expires_at=clock(session)))

    Sweeper(harness.database, Dispatcher(harness.settings), harness.settings).run_once()

    assert keys_of(harness, key) == []
    assert len(keys_of(harness, f"{key}-live")) == 1


def test_of_twenty_concurrent_calls_with_one_key_one_is_executed(harness: RunHarness, owner: Client, key: str) -> None:
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: create(owner, idempotencyKey=key), range(20)))

    assert all(answer == answers[0] for answer in answers)
    assert codes_of(answers[0]) == []
    assert owner.execute("{ tenants { totalCount } }") == {"tenants": {"totalCount": 1}}


def test_a_reused_key_is_refused_before_an_id_is_read(harness: RunHarness, owner: Client, key: str) -> None:
    harness.create()
    owner.mutate("cancelProvisioning", tenantId=tenant_gid(harness.tenant_id), idempotencyKey=key)
    before = all_rows(harness)

    reused = owner.mutate("cancelProvisioning", tenantId="nonsense", idempotencyKey=key)
    too_long = owner.mutate("cancelProvisioning", tenantId="nonsense", idempotencyKey="x" * 300)

    assert [codes_of(payload) for payload in (reused, too_long)] == [["IDEMPOTENCY_KEY_REUSED"], ["INVALID"]]
    assert all_rows(harness) == before


def test_a_concurrent_call_with_the_same_key_waits_for_the_first(harness: RunHarness, key: str) -> None:
    with ThreadPoolExecutor() as pool, harness.database.transaction() as session:
        _create_and_hold(session, harness, key)
        second = pool.submit(harness.transact, _create_again, harness, key)
        wait_until_blocked(second, harness.settings.database_url)

    assert second.result() == {"answer": 1}


def test_a_concurrent_call_that_waits_too_long_is_refused_as_in_progress(harness: RunHarness, key: str) -> None:
    def call_with_short_timeout(session: Session) -> Outcome:
        session.connection().exec_driver_sql("SET LOCAL lock_timeout = '50ms'")
        return _create_again(session, harness, key)

    with harness.database.transaction() as session:
        _create_and_hold(session, harness, key)
        with pytest.raises(IdempotencyInProgress):
            harness.transact(call_with_short_timeout)


def _create_and_hold(session: Session, harness: RunHarness, key: str) -> None:
    assert _create_once(session, harness, key, 1) == Performed({"answer": 1}, 1)


def _create_again(session: Session, harness: RunHarness, key: str) -> Outcome:
    return _create_once(session, harness, key, 2).outcome


def _create_once(session: Session, harness: RunHarness, key: str, answer: int) -> Performed[int]:
    call = KeyedCall(harness.operator.id, "createTenant", key, "0" * 64)
    return idempotency.once(session, call, lambda _: answer, lambda made: {"answer": made})


CREATE = "createTenant(input: $input) { tenant { id } run { id } userErrors { code message } }"
CREATE_MUTATION = f"mutation Create($input: CreateTenantInput!) {{ __typename it: {CREATE} }}"


@pytest.mark.parametrize("form", ["{}", '"{}"'])
def test_a_key_in_the_header_works_like_a_key_in_the_input(
    harness: RunHarness, owner: Client, key: str, form: str
) -> None:
    owner.headers["Idempotency-Key"] = form.format(key)

    first, second = (owner.execute(CREATE_MUTATION, input=VALID_INPUT)["it"] for _ in range(2))
    other = owner.execute(CREATE_MUTATION, input=VALID_INPUT | {"slug": "other"})["it"]
    owner.headers.clear()
    third = create(owner, idempotencyKey=key)

    assert first == second == third | {"userErrors": []}
    assert first["userErrors"] == []
    assert codes_of(other) == ["IDEMPOTENCY_KEY_REUSED"]


def test_a_key_in_the_input_takes_precedence_over_the_header(harness: RunHarness, owner: Client, key: str) -> None:
    owner.headers["Idempotency-Key"] = f"{key}-header"

    create(owner, idempotencyKey=key)

    assert (len(keys_of(harness, key)), len(keys_of(harness, f"{key}-header"))) == (1, 0)


def test_a_key_in_the_header_is_refused_for_several_fields(harness: RunHarness, owner: Client, key: str) -> None:
    harness.create()
    before = all_rows(harness)
    owner.headers["Idempotency-Key"] = key
    tenant = tenant_gid(harness.tenant_id)
    cancel = f'cancelProvisioning(input: {{tenantId: "{tenant}"}}) {{ userErrors {{ code message }} }}'

    both = owner.execute(f"mutation {{ one: {cancel} two: {cancel} }}")
    spread = owner.execute(f"mutation {{ ...F }} fragment F on Mutation {{ one: {cancel} }}")

    for payload in (both["one"], both["two"], spread["one"]):
        assert codes_of(payload) == ["INVALID"]
        assert "give each an idempotencyKey" in payload["userErrors"][0]["message"]
    assert all_rows(harness) == before


def test_an_invalid_key_in_the_header_is_refused(harness: RunHarness, owner: Client) -> None:
    for key in ("", "x" * 256):
        owner.headers["Idempotency-Key"] = key
        assert codes_of(owner.execute(CREATE_MUTATION, input=VALID_INPUT)["it"]) == ["INVALID"]
