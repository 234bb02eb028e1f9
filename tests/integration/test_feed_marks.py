"""The marks that a poll of the feed compares: each differs once there is something new to read."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlmodel import col

from models import RunStep
from provisioning import commands, feed_marks
from provisioning.locking import Change
from provisioning.step_journal import DatabaseJournal
from tests.run_harness import RunHarness


def marks(harness: RunHarness) -> tuple[str | None, str | None]:
    """Of the tenant and of the organisation."""
    found = harness.execute(feed_marks.read_marks, [harness.tenant_id, harness.organisation.id])
    return found[str(harness.tenant_id)], found[str(harness.organisation.id)]


def publish_progress(harness: RunHarness) -> None:
    claim = harness.claim()
    DatabaseJournal(harness.database, harness.settings, claim).progress(40, "half")


def renew_heartbeat(harness: RunHarness) -> None:
    with harness.database.transaction() as session:
        later = col(RunStep.heartbeat_at) + timedelta(seconds=5)
        session.execute(update(RunStep).where(col(RunStep.run_id) == harness.run().id).values(heartbeat_at=later))


@pytest.mark.parametrize("happens", [lambda harness: harness.make_moves(until="allocate_storage"), publish_progress])
def test_a_mark_differs_after_what_a_watcher_of_the_tenant_reads(
    harness: RunHarness, happens: Callable[[RunHarness], object]
) -> None:
    harness.create()
    before = marks(harness)
    happens(harness)
    assert marks(harness)[0] != before[0]


def test_a_heartbeat_changes_the_mark_of_the_tenant_only(harness: RunHarness) -> None:
    harness.create()
    publish_progress(harness)
    before = marks(harness)
    renew_heartbeat(harness)
    after = marks(harness)
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_marks_stay_while_nothing_happens(harness: RunHarness) -> None:
    harness.create()
    assert marks(harness) == marks(harness)


def test_an_organisation_has_no_mark_while_an_older_event_may_still_be_committed(harness: RunHarness) -> None:
    older: Change = harness.create("older")
    with harness.database.transaction() as session:
        commands.update_tenant(
            session,
            older.tenant.id,
            commands.Corrections(name="Older"),
            by=harness.operator,
            regions=harness.settings.regions,
        )
        session.flush()
        harness.create("newer")
        assert marks(harness)[1] is None
    after = marks(harness)[1]
    assert after is not None
