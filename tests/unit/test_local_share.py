"""What a process grants of budgets without asking Redis."""

import asyncio
from uuid import uuid4

import pytest

from runtime.connection_shares import Holder
from server.limits import local_share
from server.limits.local_share import LocalShare
from server.limits.rate_limit import RateLimiter
from tests.builders import settings_with

SIZE, SHARED = 1000, 2000


def holder_in(organisation: object = None) -> Holder:
    return Holder(caller=uuid4(), organisation=organisation or uuid4())  # type: ignore[arg-type]  # a UUID


@pytest.fixture
def share() -> LocalShare:
    return LocalShare(SIZE, SHARED)


def test_nothing_is_granted_before_redis_was_asked(share: LocalShare) -> None:
    assert share.grant(holder_in(), 1) is None


def test_at_most_a_twentieth_is_granted_until_redis_is_told(share: LocalShare) -> None:
    holder = holder_in()
    share.learn(holder, SIZE, SHARED)

    assert share.grant(holder, 30) == (970, 1970)
    assert share.grant(holder, 21) is None
    assert share.grant(holder, 20) == (950, 1950)
    assert share.grant(holder, 1) is None

    with share.telling(holder) as owed:
        assert (owed, share.owes(holder)) == (50, False)
        assert share.grant(holder, 1) is None
    assert share.grant(holder, 1) == (949, 1949)


def test_points_are_owed_until_redis_has_answered_or_failed(share: LocalShare) -> None:
    holder = holder_in()
    share.learn(holder, SIZE, SHARED)
    share.grant(holder, 50)

    def fail() -> None:
        with share.telling(holder):
            share.learn(holder, SIZE, SHARED)  # the answer to an earlier call, which was told of nothing
            assert share.grant(holder, 1) is None
            raise TimeoutError

    with pytest.raises(TimeoutError):
        fail()
    assert share.grant(holder, 1) == (949, 1949)


def test_nothing_is_granted_of_a_budget_that_is_half_empty(share: LocalShare) -> None:
    poor, of_poor_organisation = holder_in(), holder_in()
    share.learn(poor, SIZE / 2, SHARED)
    share.learn(of_poor_organisation, SIZE, SHARED / 2)

    assert share.grant(poor, 1) is None
    assert share.grant(of_poor_organisation, 1) is None


def test_the_callers_of_an_organisation_share_what_is_granted_of_its_budget(share: LocalShare) -> None:
    organisation = uuid4()
    callers = [holder_in(organisation) for _ in range(3)]
    for caller in callers:
        share.learn(caller, SIZE, SHARED)

    granted = [share.grant(caller, 50) for caller in callers]

    assert granted == [(950, 1950), (950, 1900), None]
    assert set(share.debtors()) == set(callers[:2])


def test_what_redis_says_does_not_contain_what_is_still_owed(share: LocalShare) -> None:
    holder = holder_in()
    share.learn(holder, SIZE, SHARED)
    share.grant(holder, 10)

    share.learn(holder, 800, 1800)

    assert share.grant(holder, 1) == (789, 1789)


def test_what_redis_said_is_not_believed_for_long(share: LocalShare, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = holder_in()
    share.learn(holder, SIZE, SHARED)

    monkeypatch.setattr(local_share, "KNOWN_FOR", 0.0)

    assert share.grant(holder, 1) is None


def test_budgets_that_are_too_old_are_forgotten(share: LocalShare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_share, "MOST_KNOWN", 2)
    owing, old, new = holder_in(), holder_in(), holder_in()
    for holder in (owing, old):
        share.learn(holder, SIZE, SHARED)
    share.grant(owing, 5)
    monkeypatch.setattr(local_share, "KNOWN_FOR", 0.0)
    share.learn(new, SIZE, SHARED)
    monkeypatch.undo()

    assert share.grant(old, 1) is None
    with share.telling(owing) as owed:
        assert owed == 5


def test_a_slow_redis_does_not_raise_what_a_process_grants() -> None:
    async def points_granted() -> int:
        limiter = RateLimiter(settings_with("postgresql://app@db/tenantry", budget=SIZE, organisation_budget=SHARED))
        answered = asyncio.Event()

        async def answer(**_: object) -> tuple[int, str, str]:
            await answered.wait()
            return 1, str(SIZE), str(SHARED)

        holder = holder_in()
        limiter._share.learn(holder, SIZE, SHARED)
        limiter._script = answer  # type: ignore[assignment]  # as slow as the test wants
        requests = [asyncio.create_task(limiter.take(holder, 10)) for _ in range(50)]
        await asyncio.wait(requests, timeout=0.1)
        granted = sum(10 for request in requests if request.done())
        answered.set()
        await asyncio.gather(*requests)
        await limiter.close()
        return granted

    assert asyncio.run(points_granted()) == SIZE // local_share.PART
