"""A small world in which everything breaks: the real engine and Postgres, everything else played by hand."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import UUID

from dramatiq.middleware import Interrupt
from sqlalchemy import text
from sqlmodel import Session, col, select

from adapters.simulated import SimulatedInfrastructure
from models import LIVE_STATUSES, Organisation, Run, Tenant, TenantState
from models.columns import new_id
from provisioning import cancellation, commands, due_runs
from provisioning.actors import Actor
from provisioning.errors import IllegalMove, NotProvisioning, ProvisioningRefused
from provisioning.locking import Change
from provisioning.moves import Backward, Forward
from provisioning.wakeups import WakeUp
from runtime.database import Database, clock
from runtime.settings import Settings
from tests.conformance.clock import Clock
from tests.conformance.flaky_infrastructure import FlakyInfrastructure
from tests.conformance.invariant_checker import InvariantChecker
from tests.conformance.nemesis import LostReply, Nemesis
from tests.conformance.virtual_worker import TO_THE_END, Killed, Owner
from tests.run_harness import operator_of
from workers.actors import StepRunner
from workers.heartbeat import Heartbeat

PEOPLE = ("Olga Operator", "Paul Partner", "Quinn Queue")
MOST_ROUNDS = 80


def _to_nobody(_: str) -> None:
    """Keep the story to oneself."""


class Simulation(Clock):
    """One organisation with several tenants, the broker's messages, and the workers that took some of them."""

    def __init__(self, database: Database, settings: Settings, tell: Callable[[str], None] = _to_nobody) -> None:
        self.tell = tell
        self.around = self.calm
        super().__init__(database)
        self._settings = settings
        self.nemesis = Nemesis(database)
        self.nemesis.deliver = self._enqueue
        self.genuine = SimulatedInfrastructure(probes_until_ready=2)
        self.weather = FlakyInfrastructure()
        self.messages: list[WakeUp] = []
        self.owners: list[Owner] = []
        self.tenants: list[UUID] = []
        self._workers = 0
        self.organisation = self._begin()
        self.organisation_id = self.organisation.id
        self.people: list[Actor] = [operator_of(self.organisation, name) for name in PEOPLE]
        self.checker = InvariantChecker(self.organisation.id, self.genuine, self.weather, self.people[0])

    # What people do

    def create(self, slug: str, *, start: bool, by: Actor) -> None:
        order = commands.NewTenant(slug=slug, plan="starter", first_admin_email=f"{slug}@example.com", start=start)
        place = {"organisation_id": self.organisation.id, "regions": self._settings.regions}
        if change := self.ask("create", commands.create_tenant, order, by=by, **place):
            self.tenants.append(change.tenant.id)

    def manage(self, what: str, tenant_id: UUID, by: Actor) -> None:
        match what:
            case "retry":
                self.ask(what, commands.retry_provisioning, tenant_id, by=by)
            case "suspend":
                self.ask(what, commands.suspend_tenant, tenant_id, by=by)
            case "resume":
                self.ask(what, commands.resume_tenant, tenant_id, by=by)
            case "decommission":
                self._decommission(tenant_id, by)
            case "recreate":
                self._recreate(tenant_id, by)
            case _:
                raise ValueError(what)

    def _recreate(self, tenant_id: UUID, by: Actor) -> None:
        change = self.ask("recreate", commands.recreate_tenant, tenant_id, by=by, regions=self._settings.regions)
        if change is not None:
            self.tenants.append(change.tenant.id)

    def cancel(self, tenant_id: UUID, by: Actor, *, heard: bool) -> None:
        change = self.ask("cancel", cancellation.cancel_provisioning, tenant_id, by=by, reason=f"{by.name} says so")
        if change is None or change.run is None:
            return
        self.checker.accept(change, by)
        if heard:
            for owner in self.owners:
                owner.live.cancel(change.run.id)

    def _decommission(self, tenant_id: UUID, by: Actor) -> None:
        slug = self.read(lambda session: session.get_one(Tenant, tenant_id)).slug
        self.ask("decommission", commands.decommission_tenant, tenant_id, by=by, confirm_slug=slug)

    def resume_undo(self, tenant_id: UUID, by: Actor, *, skip: bool) -> None:
        wanted: dict[str, Any] = {"by": by, "reason": "we give up on it" if skip else None}
        if skip:
            wanted["skip_steps"] = self.read(lambda session: _stuck_steps(session, tenant_id))
        self.ask("resume the undo", cancellation.resume_compensation, tenant_id, **wanted)

    def ask(self, what: str, command: Callable[..., Change], *args: Any, by: Actor, **wanted: Any) -> Change | None:
        """Have somebody ask for something; None when it is refused, or the answer is lost."""
        try:
            change = self.nemesis.transact(command, *args, by=by, **wanted)
        except ProvisioningRefused as refusal:
            self._check_refusal(refusal, args[0])
            self.tell(f"{by.name} asks to {what}: {refusal}")
            return None
        except LostReply:
            self.tell(f"{by.name} asks to {what} and gets no answer")
            self._find_tenants()
            return None
        self.tell(f"{by.name} asks to {what}: {change.tenant.slug} is {change.tenant.state}")
        return change

    # What workers do

    def take(self, number: int, *, keep: bool = False, breaths: int = TO_THE_END) -> Owner:
        """Have a worker take a message, or a copy of it, and begin its move."""
        message = self.messages[number] if keep else self.messages.pop(number)
        self._workers += 1
        owner = Owner(f"worker {self._workers}", message.run_id, message.move, self._work)
        self.go_on(owner, breaths)
        if not owner.over:
            self.owners.append(owner)
        return owner

    def go_on(self, owner: Owner, breaths: int = TO_THE_END, order: BaseException | None = None) -> None:
        owner.go_on(breaths, order)
        self.tell(f"{owner.name} {_direction(owner)}: {self._where(owner)}")
        if owner.over and owner in self.owners:
            self.owners.remove(owner)
        if not isinstance(owner.escaped, LostReply | Interrupt | None):
            assert owner.escaped is order, f"{owner.name} died of {owner.escaped!r}"

    def kill(self, owner: Owner) -> None:
        self.go_on(owner, order=Killed())

    def beat(self, owner: Owner) -> None:
        """Renew the lease of a worker that is slow, not paused: it hears what the rows say."""
        Heartbeat(self._quiet, owner.live, self._settings).renew()
        self.tell(f"{owner.name} renews its lease")

    def shut_down(self, owner: Owner) -> None:
        """Its process is told to stop: it ends at its next safe point and hands its move on."""
        owner.live.shut_down()
        self.tell(f"{owner.name} is told to shut down")
        self.go_on(owner)

    def land(self, number: int) -> None:
        """A call that had given up has its effect now, or is refused."""
        self.tell(self.weather.land(number))

    def sweep(self) -> None:
        try:
            self.nemesis.transact(due_runs.end_due_runs)
            self.nemesis.transact(due_runs.redispatch_due_runs)
            for tenant_id, run_id in self.nemesis.transact(due_runs.overdue_runs):
                self.nemesis.transact(due_runs.cancel_overdue_run, tenant_id, run_id)
        except LostReply:
            self.tell("the sweeper loses its connection")

    def play_on(self, moves: int = 400) -> None:
        """Deliver what is there, first come first served, and let waits be over, for at most so many moves."""
        for _ in range(moves):
            if not self.anything_to_do():
                return
            self.take(0)

    def play_until(self, move: Forward | Backward) -> None:
        """Deliver until this move is the next."""
        while self.anything_to_do() and self.messages[0].move != move:
            self.take(0)
        assert self.messages, f"there is nothing to do any more, and {move} did not come"

    def anything_to_do(self) -> bool:
        """Whether a message is there, if need be once waits are over and the sweeper has looked."""
        if not self.messages:
            self.wait()
            self.sweep()
        return bool(self.messages)

    def calm(self) -> AbstractContextManager[None]:
        """What is around a move unless somebody wants it otherwise: nothing."""
        return nullcontext()

    # How a story ends

    def end(self) -> None:
        """The weather clears up, and workers that were paused come back late: everything must find its end."""
        self.weather.clear_up()
        self.nemesis.strikes.clear()
        self.tell("the weather clears up")
        self._settle_everything()
        if self.owners:
            self._let_everybody_come_back()
        while self.weather.in_flight:
            self.land(0)
        self.check()
        self.checker.check_end(self.read)

    def _let_everybody_come_back(self) -> None:
        while self.owners:
            self.go_on(self.owners[0])
        self.check()
        self._settle_everything()

    def provision_again(self) -> None:
        """V12: what was cancelled or failed can be provisioned without hand work, unless something was given up on."""
        for tenant in self.checker.tenants_to_retry():
            change = self.ask("retry", commands.retry_provisioning, tenant.id, by=self.people[0])
            assert change is not None, f"V12: {tenant.slug} cannot be provisioned again"
        self._settle_everything()
        self.check()
        self.checker.check_all_live()

    def check(self) -> None:
        assert not self.nemesis.violations, "\n".join(self.nemesis.violations)
        self.read(self.checker.look)

    def read(self, question: Callable[[Session], Any]) -> Any:
        with self._quiet.transaction() as session:
            return question(session)

    def close(self) -> None:
        """End every thread."""
        for owner in self.owners:
            owner.go_on(order=Killed())

    def live_runs(self) -> list[Run]:
        live = select(Run).where(Run.organisation_id == self.organisation.id, col(Run.status).in_(LIVE_STATUSES))
        return list(self.read(lambda session: session.exec(live).all()))

    def _settle_everything(self) -> None:
        for _ in range(MOST_ROUNDS):
            self.lapse()
            self.play_on()
            live = self.live_runs()
            if not live:
                return
            for run in live:
                if run.status == "STUCK":
                    self.resume_undo(run.tenant_id, self.people[0], skip=False)
        raise AssertionError(f"V8: not settled: {[(run.number, run.status) for run in self.live_runs()]}")

    def _begin(self) -> Organisation:
        """A fresh organisation. What earlier stories left unfinished is put off for ever."""
        self.put_off_everything_else()
        with self._quiet.transaction() as session:
            slug = f"org-{new_id().hex[-12:]}"
            organisation = Organisation(slug=slug, name=slug, plan_code="enterprise", created_at=clock(session))
            session.add(organisation)
        return organisation

    def _work(self, owner: Owner) -> None:
        infrastructure = self.weather.over(self.genuine)
        step_runner = StepRunner(self.nemesis, self._settings, infrastructure, owner.live, owner=owner.name)
        with self.around():
            step_runner.make_move(owner.run_id, owner.move)

    def _enqueue(self, outbox: Sequence[WakeUp]) -> None:
        self.messages.extend(outbox)

    def _find_tenants(self) -> None:
        mine = select(Tenant.id).where(Tenant.organisation_id == self.organisation.id).order_by(col(Tenant.id))
        self.tenants = list(self.read(lambda session: session.exec(mine).all()))

    def _check_refusal(self, refusal: ProvisioningRefused, subject: object) -> None:
        """V5: a refusal names the state that was true when it was made."""
        if isinstance(refusal, IllegalMove | NotProvisioning) and isinstance(subject, UUID):
            state = self.read(lambda session: session.get_one(Tenant, subject)).state
            assert refusal.state is TenantState(state), f"V5: told {refusal.state}, was {state}"

    def _where(self, owner: Owner) -> str:
        if not owner.over:
            return f"pauses {owner.where}"
        if owner.escaped is not None:
            return f"ends {owner.where} by {type(owner.escaped).__name__}"
        return "is done" if owner.claim else "finds nothing to claim"


def _direction(owner: Owner) -> str:
    return f"({type(owner.move).__name__.lower()} {owner.move.step})"


def _stuck_steps(session: Session, tenant_id: UUID) -> list[str]:
    rows = session.execute(
        text(
            "SELECT name FROM run_steps JOIN runs ON runs.id = run_id"
            " WHERE tenant_id = :tenant AND runs.finished_at IS NULL AND run_steps.status = 'COMPENSATION_FAILED'"
        ),
        {"tenant": tenant_id},
    )
    return [row.name for row in rows]
