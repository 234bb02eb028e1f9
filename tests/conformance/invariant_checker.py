"""Checks the invariants of a simulation against what it has read so far: rows, feed, inventories."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from uuid import UUID

from sqlmodel import Session, col, select

from adapters.simulated import SimulatedInfrastructure
from models import UNDONE_STATUSES, Event, Resource, ResourceStatus, Run, RunKind, RunStatus, Tenant, TenantState
from provisioning import audit_feed
from provisioning.actors import Actor
from provisioning.anchors import Anchor
from provisioning.locking import Change
from provisioning.resource_names import ResourceNames
from tests.conformance.flaky_infrastructure import FlakyInfrastructure

ENDED_RUNS: Counter[str] = Counter()
"""How many runs ended in each status in this process: a proof needs runs that end."""

EMPTY_STATES = {TenantState.PENDING, TenantState.FAILED, TenantState.DECOMMISSIONED}
SERVING_STATES = {TenantState.ACTIVE, TenantState.SUSPENDED}
END_EVENTS = {
    RunStatus.SUCCEEDED: "tenant.provisioning.completed",
    RunStatus.CANCELLED: "tenant.provisioning.cancelled",
    RunStatus.FAILED: "tenant.provisioning.failed",
    RunStatus.DECOMMISSIONED: "tenant.deprovisioning.completed",
}
STARTED = "tenant.provisioning.step_started"
CONFIRMED = "tenant.provisioning.absence_confirmed"
DRIFT = "tenant.provisioning.drift_found"
COMPLETED = "tenant.provisioning.step_completed"
UNDONE = {"tenant.provisioning.step_compensated", "tenant.deprovisioning.step_completed"}
NAMES_OF_A_RUN = 5
"""Signing key, account, host name and workload; schema and role have the same name."""
COMPENSATION_CALLS = ["deployer.tear_down", "traffic.release", "identity.destroy", "storage.destroy"]


class InvariantChecker:
    """Reads states, the feed and the adapters' inventories. Every message begins with the id of the invariant."""

    def __init__(
        self,
        organisation_id: UUID,
        infrastructure: SimulatedInfrastructure,
        flaky: FlakyInfrastructure,
        reader: Actor,
    ) -> None:
        self._organisation_id = organisation_id
        self._infrastructure = infrastructure
        self._flaky = flaky
        self._reader = reader
        self._accepted: dict[UUID, str] = {}
        self._ended: dict[UUID, RunStatus] = {}
        self._followed: list[UUID] = []
        self._cursor = audit_feed.FeedStart((0, 0), Anchor(None, rank=0))
        self._position = 0
        self.tenants: dict[UUID, Tenant] = {}
        self.runs: dict[UUID, Run] = {}
        self.events: list[Event] = []
        self.abandoned: set[str] = set()
        self._in_ledger: set[str] = set()

    def record_accepted(self, change: Change, by: Actor) -> None:
        """Record an accepted cancel with its author. The reply to an earlier cancel may have been lost."""
        assert change.run is not None
        assert change.run.cancel_actor_name is not None, "V5: the accepted cancel has no author"
        if not change.already_requested:
            assert change.run.id not in self._accepted, "V5: two cancels were both accepted as the first"
            assert change.run.cancel_actor_name == by.email, "V5: the answer names another author"
        author = self._accepted.setdefault(change.run.id, change.run.cancel_actor_name)
        assert author == change.run.cancel_actor_name, "V5: the author of the cancel changed"

    def check(self, session: Session) -> None:
        """Read what is new and check it against every invariant."""
        before = len(self.events)
        self._read(session)
        for tenant in self.tenants.values():
            self._check_feed(tenant)
            self._check_holdings(tenant)
        for run in self.runs.values():
            self._check_end(run)
            self._check_wake(run)
            self._check_order(run)
        self._check_mails()
        assert not any(event.type == DRIFT for event in self.events), "V2: an absence check found a resource"
        if len(self.events) > before:
            self._follow(session)

    def check_end(self, read: Callable[[Callable[[Session], None]], None]) -> None:
        """Check that every run has finished and that a follower of the feed saw every event exactly once."""
        for run in self.runs.values():
            assert run.finished_at is not None, self._run_message(run, "V13: the run never finished")
            confirmations = [event.type for event in self._events_of(run)].count(CONFIRMED)
            assert confirmations == (run.status in UNDONE_STATUSES), self._run_message(
                run, f"V2: absence confirmed {confirmations} times"
            )
        ENDED_RUNS.update(run.status.value for run in self.runs.values())
        read(self._follow)
        assert self._followed == [event.id for event in self.events], (
            "V10: the follower did not see exactly the events of the feed"
        )
        held = {name for tenant in self.tenants.values() for name in self._present(tenant)}
        assert {name for _, name in self._infrastructure.holdings.resources()} == held, (
            "V2: a resource belongs to no known run"
        )

    def tenants_to_retry(self) -> list[Tenant]:
        """Cancelled and failed tenants; none if a resource was abandoned."""
        waiting = (TenantState.PENDING, TenantState.FAILED)
        return [one for one in self.tenants.values() if one.state in waiting and not self.abandoned]

    def check_all_live(self) -> None:
        """Check that every tenant is live after provisioning again, or is decommissioned."""
        if self.abandoned:
            return
        left = {tenant.slug: tenant.state for tenant in self.tenants.values() if tenant.state not in SERVING_STATES}
        assert set(left.values()) <= {TenantState.DECOMMISSIONED}, f"V12: not provisioned again: {left}"

    def _read(self, session: Session) -> None:
        organisation_id = self._organisation_id
        tenants = select(Tenant).where(Tenant.organisation_id == organisation_id).order_by(col(Tenant.id))
        self.tenants = {one.id: one for one in session.exec(tenants)}
        # Oldest first: without an order, Postgres returns a new run before an old one if it reuses a row's place.
        runs = select(Run).where(Run.organisation_id == organisation_id).order_by(col(Run.id))
        self.runs = {one.id: one for one in session.exec(runs)}
        newer = select(Event).where(Event.organisation_id == organisation_id, col(Event.position) > self._position)
        self.events += session.exec(newer.order_by(col(Event.position))).all()
        self._position = self.events[-1].position if self.events else 0
        ledger = session.exec(select(Resource.name, Resource.status).where(col(Resource.run_id).in_(self.runs))).all()
        self.abandoned = {name for name, status in ledger if status is ResourceStatus.ABANDONED}
        self._in_ledger = {name for name, status in ledger if status is not ResourceStatus.RELEASED}

    def _check_feed(self, tenant: Tenant) -> None:
        numbers = [event.sequence for event in self.events if event.tenant_id == tenant.id]
        assert numbers == list(range(1, len(numbers) + 1)), self._message(
            tenant, f"V10: gaps in the sequence {numbers}"
        )

    def _check_holdings(self, tenant: Tenant) -> None:
        present = self._present(tenant) - self.abandoned
        unknown = present - self._in_ledger
        assert not unknown, self._message(tenant, f"V2: resources missing in the ledger: {sorted(unknown)}")
        if tenant.state in EMPTY_STATES:
            assert not present, self._message(tenant, f"V2: {tenant.state} and holds {sorted(present)}")
        if tenant.state in SERVING_STATES:
            missing = f"V2: {tenant.state} and holds only {sorted(present)}"
            assert len(present) == NAMES_OF_A_RUN, self._message(tenant, missing)

    def _check_end(self, run: Run) -> None:
        known = self._ended.get(run.id, run.status)
        assert known == run.status, self._run_message(run, f"V1: {known} became {run.status}")
        end_events = [event for event in self._events_of(run) if event.type in END_EVENTS.values()]
        expected = [END_EVENTS[run.status]] if run.finished_at else []
        assert [event.type for event in end_events] == expected, self._run_message(
            run, "V1: the feed does not have exactly one end event"
        )
        if run.finished_at is None:
            return
        self._ended[run.id] = run.status
        if run.id in self._accepted:
            assert run.status is RunStatus.CANCELLED, self._run_message(
                run, f"V5: the cancel was accepted, but the run is {run.status}"
            )
        if run.status is RunStatus.CANCELLED:
            self._check_cancelled(run, end_events[0])

    def _check_cancelled(self, run: Run, end: Event) -> None:
        author = self._accepted.get(run.id, run.cancel_actor_name)
        assert end.created_at == run.finished_at, self._run_message(
            run, "V7: the event is not in the transaction of the status"
        )
        assert end.data["cancelled_by"] == run.cancel_actor_name, self._run_message(run, "V7: another author")
        assert end.data["reason"] == run.cancel_reason, self._run_message(run, "V7: another reason")
        assert author == (end.actor_email or end.actor_name), self._run_message(run, "V7: another author")

    def _check_wake(self, run: Run) -> None:
        awake = run.finished_at is not None or run.status is RunStatus.STUCK or run.due_at is not None
        assert awake, self._run_message(run, "V8: the run has no due time")

    def _check_order(self, run: Run) -> None:
        events = self._events_of(run)
        names = [event.type.rsplit(".", maxsplit=1)[1] for event in events]
        if "cancel_requested" in names:
            after = names[names.index("cancel_requested") :]
            assert "step_started" not in after, self._run_message(run, "V6: a step started after the cancel")
        source = self.runs[run.releases_run_id] if run.releases_run_id else run
        began = list(dict.fromkeys(event.data["step"] for event in self._events_of(source) if event.type == STARTED))
        if run.kind is RunKind.DECOMMISSION:
            began = began[: began.index("mark_active")]
        undone = [event.data["step"] for event in events if event.type in UNDONE]
        skipped = {step for event in events for step in event.data.get("skipped", [])}
        done = [event.data["step"] for event in events if event.type == COMPLETED]
        assert max(Counter(done).values(), default=1) == 1, self._run_message(run, f"V4: completed twice: {done}")
        assert max(Counter(undone).values(), default=1) == 1, self._run_message(run, f"V4: undone twice: {undone}")
        expected = [step for step in reversed(began) if step not in skipped]
        assert undone == expected[: len(undone)], self._run_message(run, f"V3: {undone}, expected {expected}")
        if run.status in UNDONE_STATUSES:
            assert undone == expected, self._run_message(run, f"V3: {undone}, expected {expected}")
        begun = [COMPENSATION_CALLS.index(call) for call in self._flaky.compensations.get(self._names(source).stem, [])]
        assert all(one < other for one, other in pairwise(begun)), self._run_message(
            run, f"V3: undo calls began in the order {begun}"
        )

    def _check_mails(self) -> None:
        completed = {event.tenant_id for event in self.events if event.type == END_EVENTS[RunStatus.SUCCEEDED]}
        welcome = {f"{self.tenants[tenant_id].first_admin_email}" for tenant_id in completed if tenant_id}
        early = {mail.to for mail in self._infrastructure.outbox.mails} - welcome
        assert not early, f"V11: welcome mail before ACTIVE to {early}"

    def _follow(self, session: Session) -> None:
        """Read the feed from the cursor of the last event that was seen."""
        event_filter = audit_feed.EventFilter()
        while found := audit_feed.feed_since(session, event_filter, self._cursor, by=self._reader).entries:
            self._followed += [event.id for event in found]
            self._cursor = audit_feed.FeedStart(event_filter.key_of(found[-1]), audit_feed.anchor_of(found[-1]))
            if len(found) < audit_feed.MAX_EVENTS_PER_READ:
                break

    def _present(self, tenant: Tenant) -> set[str]:
        runs = [run for run in self.runs.values() if run.tenant_id == tenant.id]
        return {name for run in runs for name in self._infrastructure.present(self._names(run))}

    def _names(self, run: Run) -> ResourceNames:
        return ResourceNames(run.tenant_id, self.tenants[run.tenant_id].address, run.number)

    def _events_of(self, run: Run) -> list[Event]:
        return [event for event in self.events if event.run_id == run.id]

    def _run_message(self, run: Run, claim: str) -> str:
        return self._message(self.tenants[run.tenant_id], f"{claim} (run {run.number}, {run.status})")

    def _message(self, tenant: Tenant, claim: str) -> str:
        lines = [_line(event) for event in self.events if event.tenant_id == tenant.id]
        return "\n".join([f"{claim}. Feed of {tenant.slug} ({tenant.state}):", *lines])


def _line(event: Event) -> str:
    name = event.type.removeprefix("tenant.")
    return f"  {event.sequence:>3} {name} {event.data.get('step', '')} ({event.actor_name})"
