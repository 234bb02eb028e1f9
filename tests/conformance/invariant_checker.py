"""What an onlooker has seen so far, and the invariants it holds every new look against."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from uuid import UUID

from sqlmodel import Session, col, select

from adapters.simulated import SimulatedInfrastructure
from models import UNDONE_STATUSES, Event, Resource, ResourceStatus, Run, RunKind, RunStatus, Tenant, TenantState
from provisioning import audit_feed
from provisioning.actors import Actor
from provisioning.locking import Change
from provisioning.resource_names import ResourceNames
from tests.conformance.flaky_infrastructure import FlakyInfrastructure

SEEN: Counter[str] = Counter()
"""How many runs ended in each way, in this process: a proof in which nothing happens proves nothing."""

EMPTY = {TenantState.PENDING, TenantState.FAILED, TenantState.DECOMMISSIONED}
SERVING = {TenantState.ACTIVE, TenantState.SUSPENDED}
ENDS = {
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
"""Key, account, host name, workload; schema and role share theirs."""
REVERSE = ["deployer.tear_down", "traffic.release", "identity.destroy", "storage.destroy"]


class InvariantChecker:
    """Looks from outside: states, the feed, the adapters' inventories. Every message begins with the invariant."""

    def __init__(
        self,
        organisation_id: UUID,
        infrastructure: SimulatedInfrastructure,
        weather: FlakyInfrastructure,
        reader: Actor,
    ) -> None:
        self._organisation_id = organisation_id
        self._world = infrastructure
        self._weather = weather
        self._reader = reader
        self._accepted: dict[UUID, str] = {}
        self._ended: dict[UUID, RunStatus] = {}
        self._followed: list[UUID] = []
        self._cursor = audit_feed.FeedStart((0, 0))
        self._position = 0
        self.tenants: dict[UUID, Tenant] = {}
        self.runs: dict[UUID, Run] = {}
        self.events: list[Event] = []
        self.abandoned: set[str] = set()
        self._in_ledger: set[str] = set()

    def accept(self, change: Change, by: Actor) -> None:
        """Somebody was told that the cancel is accepted, and whose it is. An earlier answer may be lost."""
        assert change.run is not None
        assert change.run.cancel_actor_name is not None, "V5: accepted, and nobody's"
        if not change.already_requested:
            assert change.run.id not in self._accepted, "V5: two were told that they were first"
            assert change.run.cancel_actor_name == by.email, "V5: told a lie"
        author = self._accepted.setdefault(change.run.id, change.run.cancel_actor_name)
        assert author == change.run.cancel_actor_name, "V5: its author changed"

    def look(self, session: Session) -> None:
        """See what is new, and hold it against every invariant."""
        self._read(session)
        for tenant in self.tenants.values():
            self._check_feed(tenant)
            self._check_holdings(tenant)
        for run in self.runs.values():
            self._check_end(run)
            self._check_wake(run)
            self._check_order(run)
        self._check_mails()
        assert not any(event.type == DRIFT for event in self.events), "V2: a second look found something"
        self._follow(session)

    def check_end(self, read: Callable[[Callable[[Session], None]], None]) -> None:
        """When all is quiet: everything has settled, and a follower of the feed saw every event exactly once."""
        for run in self.runs.values():
            assert run.finished_at is not None, self._story(run, "V13: it never ended")
            told = [event.type for event in self._of(run)].count(CONFIRMED)
            assert told == (run.status in UNDONE_STATUSES), self._story(run, f"V2: absence confirmed {told} times")
        SEEN.update(run.status.value for run in self.runs.values())
        read(self._follow)
        assert self._followed == [event.id for event in self.events], "V10: the follower of the feed saw another one"
        held = {name for tenant in self.tenants.values() for name in self._present(tenant)}
        assert {name for _, name in self._world.holdings.resources()} == held, "V2: somebody unknown holds something"

    def tenants_to_retry(self) -> list[Tenant]:
        """Cancelled and failed tenants that hold nothing at all."""
        waiting = (TenantState.PENDING, TenantState.FAILED)
        return [one for one in self.tenants.values() if one.state in waiting and not self.abandoned]

    def check_all_live(self) -> None:
        """After provisioning again, nothing is left in a state that holds nothing but what was taken down for good."""
        if self.abandoned:
            return
        left = {tenant.slug: tenant.state for tenant in self.tenants.values() if tenant.state not in SERVING}
        assert set(left.values()) <= {TenantState.DECOMMISSIONED}, f"V12: not provisioned again: {left}"

    def _read(self, session: Session) -> None:
        mine = self._organisation_id
        self.tenants = {one.id: one for one in session.exec(select(Tenant).where(Tenant.organisation_id == mine))}
        self.runs = {one.id: one for one in session.exec(select(Run).where(Run.organisation_id == mine))}
        newer = select(Event).where(Event.organisation_id == mine, col(Event.position) > self._position)
        self.events += session.exec(newer.order_by(col(Event.position))).all()
        self._position = self.events[-1].position if self.events else 0
        ledger = session.exec(select(Resource.name, Resource.status).where(col(Resource.run_id).in_(self.runs))).all()
        self.abandoned = {name for name, status in ledger if status is ResourceStatus.ABANDONED}
        self._in_ledger = {name for name, status in ledger if status is not ResourceStatus.RELEASED}

    def _check_feed(self, tenant: Tenant) -> None:
        numbers = [event.sequence for event in self.events if event.tenant_id == tenant.id]
        assert numbers == list(range(1, len(numbers) + 1)), self._say(tenant, f"V10: numbers {numbers}")

    def _check_holdings(self, tenant: Tenant) -> None:
        present = self._present(tenant) - self.abandoned
        unknown = present - self._in_ledger
        assert not unknown, self._say(tenant, f"V2: exists and is not in the ledger: {sorted(unknown)}")
        if tenant.state in EMPTY:
            assert not present, self._say(tenant, f"V2: {tenant.state} and holds {sorted(present)}")
        if tenant.state in SERVING:
            missing = f"V2: {tenant.state} and holds only {sorted(present)}"
            assert len(present) == NAMES_OF_A_RUN, self._say(tenant, missing)

    def _check_end(self, run: Run) -> None:
        known = self._ended.get(run.id, run.status)
        assert known == run.status, self._story(run, f"V1: {known} became {run.status}")
        told = [event for event in self._of(run) if event.type in ENDS.values()]
        expected = [ENDS[run.status]] if run.finished_at else []
        assert [event.type for event in told] == expected, self._story(run, "V1: its end is told once")
        if run.finished_at is None:
            return
        self._ended[run.id] = run.status
        if run.id in self._accepted:
            assert run.status is RunStatus.CANCELLED, self._story(run, f"V5: accepted, and {run.status}")
        if run.status is RunStatus.CANCELLED:
            self._check_cancelled(run, told[0])

    def _check_cancelled(self, run: Run, told: Event) -> None:
        author = self._accepted.get(run.id, run.cancel_actor_name)
        assert told.created_at == run.finished_at, self._story(run, "V7: not in the commit of the status")
        assert told.data["cancelled_by"] == run.cancel_actor_name, self._story(run, "V7: who")
        assert told.data["reason"] == run.cancel_reason, self._story(run, "V7: why")
        assert author == (told.actor_email or told.actor_name), self._story(run, "V7: who")

    def _check_wake(self, run: Run) -> None:
        awake = run.finished_at is not None or run.status is RunStatus.STUCK or run.due_at is not None
        assert awake, self._story(run, "V8: nobody would ever look at it again")

    def _check_order(self, run: Run) -> None:
        events = self._of(run)
        names = [event.type.rsplit(".", maxsplit=1)[1] for event in events]
        if "cancel_requested" in names:
            after = names[names.index("cancel_requested") :]
            assert "step_started" not in after, self._story(run, "V6: a step began after the cancel")
        source = self.runs[run.releases_run_id] if run.releases_run_id else run
        began = list(dict.fromkeys(event.data["step"] for event in self._of(source) if event.type == STARTED))
        if run.kind is RunKind.DECOMMISSION:
            began = began[: began.index("mark_active")]
        undone = [event.data["step"] for event in events if event.type in UNDONE]
        skipped = {step for event in events for step in event.data.get("skipped", [])}
        done = [event.data["step"] for event in events if event.type == COMPLETED]
        assert max(Counter(done).values(), default=1) == 1, self._story(run, f"V4: done twice: {done}")
        assert max(Counter(undone).values(), default=1) == 1, self._story(run, f"V4: undone twice: {undone}")
        expected = [step for step in reversed(began) if step not in skipped]
        assert undone == expected[: len(undone)], self._story(run, f"V3: {undone}, expected {expected}")
        if run.status in UNDONE_STATUSES:
            assert undone == expected, self._story(run, f"V3: {undone}, expected {expected}")
        begun = [REVERSE.index(call) for call in self._weather.undoing.get(self._names(source).stem, [])]
        assert all(one < other for one, other in pairwise(begun)), self._story(run, f"V3: undo began in order {begun}")

    def _check_mails(self) -> None:
        completed = {event.tenant_id for event in self.events if event.type == ENDS[RunStatus.SUCCEEDED]}
        welcome = {f"{self.tenants[tenant_id].first_admin_email}" for tenant_id in completed if tenant_id}
        early = {mail.to for mail in self._world.outbox.mails} - welcome
        assert not early, f"V11: welcome mail before ACTIVE to {early}"

    def _follow(self, session: Session) -> None:
        """Be a reader who comes back with the cursor of the last event it saw."""
        wanted = audit_feed.EventFilter()
        while found := audit_feed.feed_since(session, wanted, self._cursor, by=self._reader).entries:
            self._followed += [event.id for event in found]
            self._cursor = audit_feed.FeedStart(wanted.key_of(found[-1]))

    def _present(self, tenant: Tenant) -> set[str]:
        runs = [run for run in self.runs.values() if run.tenant_id == tenant.id]
        return {name for run in runs for name in self._world.present(self._names(run))}

    def _names(self, run: Run) -> ResourceNames:
        return ResourceNames(run.tenant_id, self.tenants[run.tenant_id].address, run.number)

    def _of(self, run: Run) -> list[Event]:
        return [event for event in self.events if event.run_id == run.id]

    def _story(self, run: Run, claim: str) -> str:
        return self._say(self.tenants[run.tenant_id], f"{claim} (run {run.number}, {run.status})")

    def _say(self, tenant: Tenant, claim: str) -> str:
        lines = [_line(event) for event in self.events if event.tenant_id == tenant.id]
        return "\n".join([f"{claim}. What the feed of {tenant.slug} ({tenant.state}) tells:", *lines])


def _line(event: Event) -> str:
    what = event.type.removeprefix("tenant.")
    return f"  {event.sequence:>3} {what} {event.data.get('step', '')} ({event.actor_name})"
