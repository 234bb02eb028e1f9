"""Which progress of a running step a subscription emits: changes, and a heartbeat every few seconds."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from models import StepStatus
from provisioning.audit_feed import Progress
from resolvers.subscriptions import ProgressThrottle

BEGAN = datetime(2026, 11, 27, tzinfo=UTC)
QUIET = Progress(UUID(int=1), "apply_schema", StepStatus.RUNNING, None, None, BEGAN, BEGAN)
REPORTING = replace(QUIET, percent=40, message="Table 2 of 5")


def after(progress: Progress, seconds: float) -> Progress:
    """The same with a later heartbeat."""
    then = BEGAN + timedelta(seconds=seconds)
    return replace(progress, heartbeat_at=then, read_at=then)


@pytest.fixture
def without_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads are as far apart as two entries of progress have to be."""
    monkeypatch.setattr("resolvers.subscriptions.PROGRESS_INTERVAL", 0.0)


def emitted(before: Progress | None, *reads: Progress | None) -> list[Progress]:
    return emitted_by(ProgressThrottle(before), *reads)


def emitted_by(throttle: ProgressThrottle, *reads: Progress | None) -> list[Progress]:
    return [update for read in reads if (update := throttle.next(read))]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (REPORTING, replace(REPORTING, read_at=BEGAN + timedelta(hours=1))),
        (REPORTING, after(REPORTING, 3.9)),
        (REPORTING, replace(REPORTING, heartbeat_at=None)),
        (QUIET, after(QUIET, 3.9)),
        (after(QUIET, 9), QUIET),
    ],
)
def test_progress_repeats_with_the_same_report_and_a_hardly_newer_heartbeat(earlier: Progress, later: Progress) -> None:
    assert later.repeats(earlier)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (None, REPORTING),
        (REPORTING, replace(REPORTING, percent=41)),
        (REPORTING, replace(REPORTING, message="Table 3 of 5")),
        (REPORTING, after(REPORTING, 4)),
        (QUIET, after(QUIET, 4)),
        (QUIET, replace(QUIET, step="deploy_workloads")),
        (QUIET, replace(QUIET, status=StepStatus.COMPENSATING)),
    ],
)
def test_progress_does_not_repeat_with_another_report_or_a_heartbeat_four_seconds_newer(
    earlier: Progress | None, later: Progress
) -> None:
    assert not later.repeats(earlier)


@pytest.mark.usefixtures("without_interval")
def test_every_renewal_of_a_step_without_a_report_is_emitted_but_not_its_first_heartbeat() -> None:
    reads = [after(QUIET, seconds) for seconds in (0, 0, 1, 5, 5, 7, 10)]

    assert emitted(None, *reads) == [after(QUIET, 5), after(QUIET, 10)]


@pytest.mark.usefixtures("without_interval")
def test_progress_from_before_the_subscription_is_not_emitted() -> None:
    assert emitted(after(QUIET, 3), after(QUIET, 3), after(QUIET, 6), after(QUIET, 8)) == [after(QUIET, 8)]
    assert emitted(REPORTING, REPORTING, replace(REPORTING, percent=80)) == [replace(REPORTING, percent=80)]


@pytest.mark.usefixtures("without_interval")
def test_a_step_without_a_worker_emits_nothing_and_its_next_first_heartbeat_is_not_emitted() -> None:
    assert emitted(QUIET, None, after(QUIET, 60), after(QUIET, 62), after(QUIET, 65)) == [after(QUIET, 65)]


@pytest.mark.usefixtures("without_interval")
def test_the_first_heartbeats_of_the_next_step_and_of_the_undo_are_not_emitted() -> None:
    following, undo = replace(QUIET, step="deploy_workloads"), replace(QUIET, status=StepStatus.COMPENSATING)

    for other in (following, undo):
        assert emitted(REPORTING, after(other, 60), after(other, 65)) == [after(other, 65)]


@pytest.mark.usefixtures("without_interval")
def test_the_first_report_of_a_step_is_emitted_at_once() -> None:
    assert emitted(None, REPORTING) == [REPORTING]
    assert emitted(None, QUIET, after(REPORTING, 1)) == [after(REPORTING, 1)]


def test_heartbeats_and_reports_share_one_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolvers.subscriptions.PROGRESS_INTERVAL", 60.0)
    throttle = ProgressThrottle(QUIET)

    assert emitted_by(throttle, after(QUIET, 5), after(QUIET, 10), after(REPORTING, 11)) == [after(QUIET, 5)]
    assert 0 < throttle.wait <= 60
