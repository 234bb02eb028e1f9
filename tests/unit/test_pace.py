"""What watchers are told of a step under way: what it says, and now and then that it is still at work."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from models import StepStatus
from provisioning.audit_feed import Progress
from resolvers.subscriptions import Pace

BEGAN = datetime(2026, 11, 27, tzinfo=UTC)
QUIET = Progress(UUID(int=1), "apply_schema", StepStatus.RUNNING, None, None, BEGAN, BEGAN)
SAYING = replace(QUIET, percent=40, message="Table 2 of 5")


def after(progress: Progress, seconds: float) -> Progress:
    """The same with a later sign of life."""
    then = BEGAN + timedelta(seconds=seconds)
    return replace(progress, heartbeat_at=then, shown_at=then)


@pytest.fixture
def interruptible_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were a while between any two looks."""
    monkeypatch.setattr("resolvers.subscriptions.PROGRESS_INTERVAL", 0.0)


def told(pace: Pace, *looks: Progress | None) -> list[Progress]:
    return [news for look in looks if (news := pace.take(look))]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (SAYING, replace(SAYING, shown_at=BEGAN + timedelta(hours=1))),
        (SAYING, after(SAYING, 3.9)),
        (SAYING, replace(SAYING, heartbeat_at=None)),
        (QUIET, after(QUIET, 3.9)),
        (after(QUIET, 9), QUIET),
    ],
)
def test_what_says_the_same_and_is_hardly_livelier_is_the_same(earlier: Progress, later: Progress) -> None:
    assert later.repeats(earlier)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (None, SAYING),
        (SAYING, replace(SAYING, percent=41)),
        (SAYING, replace(SAYING, message="Table 3 of 5")),
        (SAYING, after(SAYING, 4)),
        (QUIET, after(QUIET, 4)),
        (QUIET, replace(QUIET, step="deploy_workloads")),
        (QUIET, replace(QUIET, status=StepStatus.COMPENSATING)),
    ],
)
def test_what_says_something_else_or_lives_on_for_four_seconds_is_not(
    earlier: Progress | None, later: Progress
) -> None:
    assert not later.repeats(earlier)


@pytest.mark.usefixtures("interruptible_port")
def test_of_a_quiet_step_every_renewal_is_told_and_its_beginning_is_not() -> None:
    looks = [after(QUIET, seconds) for seconds in (0, 0, 1, 5, 5, 7, 10)]

    assert told(Pace(None), *looks) == [after(QUIET, 5), after(QUIET, 10)]


@pytest.mark.usefixtures("interruptible_port")
def test_what_was_there_before_somebody_watched_is_old_news() -> None:
    assert told(Pace(after(QUIET, 3)), after(QUIET, 3), after(QUIET, 6), after(QUIET, 8)) == [after(QUIET, 8)]
    assert told(Pace(SAYING), SAYING, replace(SAYING, percent=80)) == [replace(SAYING, percent=80)]


@pytest.mark.usefixtures("interruptible_port")
def test_a_step_that_nobody_is_at_gives_no_sign_and_begins_anew_afterwards() -> None:
    assert told(Pace(QUIET), None, after(QUIET, 60), after(QUIET, 62), after(QUIET, 65)) == [after(QUIET, 65)]


@pytest.mark.usefixtures("interruptible_port")
def test_the_next_step_and_the_undo_of_this_one_begin_anew() -> None:
    following, undo = replace(QUIET, step="deploy_workloads"), replace(QUIET, status=StepStatus.COMPENSATING)

    for other in (following, undo):
        assert told(Pace(SAYING), after(other, 60), after(other, 65)) == [after(other, 65)]


@pytest.mark.usefixtures("interruptible_port")
def test_a_step_that_says_something_is_told_at_once() -> None:
    assert told(Pace(None), SAYING) == [SAYING]
    assert told(Pace(None), QUIET, after(SAYING, 1)) == [after(SAYING, 1)]


def test_signs_of_life_are_told_as_seldom_as_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolvers.subscriptions.PROGRESS_INTERVAL", 60.0)
    pace = Pace(QUIET)

    assert told(pace, after(QUIET, 5), after(QUIET, 10), after(SAYING, 11)) == [after(QUIET, 5)]
    assert 0 < pace.rest <= 60
