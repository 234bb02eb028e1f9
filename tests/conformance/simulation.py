"""A simulation with faults around the real engine with Postgres: broker, workers, infrastructure are simulated."""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any
from uuid import UUID

from dramatiq.middleware import Interrupt
from sqlalchemy import text
from sqlmodel import Session, col, select

from adapters.simulated import SimulatedInfrastructure
from models import LIVE_STATUSES, Organisation, Run, Tenant, TenantState
from models.columns import new_id
from provisioning import cancellation, commands, due_runs, engine
from provisioning.actors import Actor
from provisioning.errors import IllegalMove, NotProvisioning, ProvisioningRefused
from provisioning.locking import Change
from provisioning.moves import Backward, Forward
from provisioning.step_context import StopReason
from provisioning.wakeups import WakeUp
from runtime.database import Database, clock
from runtime.settings import Settings
from tests.conformance.clock import Clock
from tests.conformance.flaky_infrastructure import FlakyInfrastructure
from tests.conformance.invariant_checker import InvariantChecker
from tests.conformance.nemesis import LostReply, Nemesis
from tests.conformance.virtual_waits import LATER, NOW, VirtualWaits
from tests.conformance.virtual_worker import TO_THE_END, Killed, VirtualWorker
from tests.run_harness import operator_of
from workers.actors import StepRunner
from workers.group_commit import GroupCommit
from workers.heartbeat import Heartbeat
from workers.kept_waits import KeptWait

OPERATORS = ("Olga Operator", "Paul Partner", "Quinn Queue")
MAX_ROUNDS = 80


def _discard(_: str) -> None:
    """Write no log."""


class Simulation(Clock):
    """One organisation with several tenants, the messages in the broker, and the workers that took some of them."""

    def __init__(self, database: Database, settings: Settings, log: Callable[[str], None] = _discard) -> None:
        self.log = log
        self.keep_for = 0.0
        self.move_context = self.poll_context = self.uninterrupted
        super().__init__(database)
        self._settings = settings
        self.nemesis = Nemesis(database)
        self.nemesis.deliver = self._enqueue
        self.infrastructure = SimulatedInfrastructure(probes_until_ready=2)
        self.flaky = FlakyInfrastructure()
        self.messages: list[WakeUp] = []
        self.workers: list[VirtualWorker] = []
        """Those that are paused, or keep a wait."""
        self._kept: dict[VirtualWorker, VirtualWaits] = {}
        self._waits_until = LATER
        self.tenants: list[UUID] = []
        self._worker_count = 0
        self.organisation = self._create_organisation()
        self.organisation_id = self.organisation.id
        self.operators: list[Actor] = [operator_of(self.organisation, name) for name in OPERATORS]
        self.checker = InvariantChecker(self.organisation.id, self.infrastructure, self.flaky, self.operators[0])

    # Commands of operators

    def create(self, slug: str, *, start: bool, by: Actor) -> None:
        new_tenant = commands.NewTenant(slug=slug, plan="starter", first_admin_email=f"{slug}@example.com", start=start)
        location = {"organisation_id": self.organisation.id, "regions": self._settings.regions}
        if change := self.submit("create", commands.create_tenant, new_tenant, by=by, **location):
            self.tenants.append(change.tenant.id)

    def manage(self, name: str, tenant_id: UUID, by: Actor) -> None:
        match name:
            case "retry":
                self.submit(name, commands.retry_provisioning, tenant_id, by=by)
            case "suspend":
                self.submit(name, commands.suspend_tenant, tenant_id, by=by)
            case "resume":
                self.submit(name, commands.resume_tenant, tenant_id, by=by)
            case "decommission":
                self._decommission(tenant_id, by)
            case "recreate":
                self._recreate(tenant_id, by)
            case _:
                raise ValueError(name)

    def _recreate(self, tenant_id: UUID, by: Actor) -> None:
        change = self.submit("recreate", commands.recreate_tenant, tenant_id, by=by, regions=self._settings.regions)
        if change is not None:
            self.tenants.append(change.tenant.id)

    def cancel(self, tenant_id: UUID, by: Actor, *, notify: bool) -> None:
        change = self.submit("cancel", cancellation.cancel_provisioning, tenant_id, by=by, reason=f"{by.name} cancels")
        if change is None or change.run is None:
            return
        self.checker.record_accepted(change, by)
        if notify:
            for worker in self.workers:
                worker.running_steps.cancel(change.run.id)

    def _decommission(self, tenant_id: UUID, by: Actor) -> None:
        slug = self.read(lambda session: session.get_one(Tenant, tenant_id)).slug
        self.submit("decommission", commands.decommission_tenant, tenant_id, by=by, confirm_slug=slug)

    def resume_undo(self, tenant_id: UUID, by: Actor, *, skip: bool) -> None:
        arguments: dict[str, Any] = {"by": by, "reason": "resource released by hand" if skip else None}
        if skip:
            arguments["skip_steps"] = self.read(lambda session: _stuck_steps(session, tenant_id))
        self.submit("resume the undo", cancellation.resume_compensation, tenant_id, **arguments)

    def submit(
        self, name: str, command: Callable[..., Change], *args: Any, by: Actor, **arguments: Any
    ) -> Change | None:
        """Submit a command; None if it is refused or the reply is lost."""
        try:
            change = self.nemesis.transact(command, *args, by=by, **arguments)
        except ProvisioningRefused as refusal:
            self._check_refusal(refusal, args[0])
            self.log(f"{by.name} asks to {name}: {refusal}")
            return None
        except LostReply:
            self.log(f"{by.name} asks to {name}, and the reply is lost")
            self._reload_tenants()
            return None
        self.log(f"{by.name} asks to {name}: {change.tenant.slug} is {change.tenant.state}")
        return change

    # Events of workers, broker and infrastructure

    def deliver(self, number: int, *, keep: bool = False, failpoints: int = TO_THE_END) -> VirtualWorker:
        """Deliver a message, or with ``keep`` a copy of it, to a new worker, which begins the move."""
        message = self.messages[number] if keep else self.messages.pop(number)
        self._worker_count += 1
        worker = VirtualWorker(f"worker {self._worker_count}", message.run_id, message.move, self._work)
        self.resume(worker, failpoints)
        if not worker.ended:
            self.workers.append(worker)
        return worker

    def resume(self, worker: VirtualWorker, failpoints: int = TO_THE_END, error: BaseException | None = None) -> None:
        worker.resume(failpoints, error)
        self.log(f"{worker.name} {_direction(worker)}: {self._progress_of(worker)}")
        if worker.ended and worker in self.workers:
            self.workers.remove(worker)
        if not isinstance(worker.escaped, LostReply | Interrupt | None):
            assert worker.escaped is error, f"{worker.name} ended with {worker.escaped!r}"
        if not isinstance(worker.escaped, Killed) and (worker.ended or worker.waits):
            self._check_kept_waits(worker)

    def _check_kept_waits(self, worker: VirtualWorker) -> None:
        waits = self._kept[worker]
        waits.check_kept(worker.name)
        # An interrupt may leave a lease registered. The heartbeat then finds it given back, with its next renewal.
        if self.move_context == self.poll_context == self.uninterrupted:
            waits.check_leases(worker.name, worker.running_steps)

    def stop_waits(self, worker: VirtualWorker) -> None:
        """Let a worker poll what has to stop, before time passes: all other waits go on."""
        self._waits_until = NOW
        self.resume(worker)
        self._waits_until = LATER

    def poll(self, worker: VirtualWorker) -> None:
        """Let a worker go on, and poll what it keeps until that has ended."""
        for _ in range(MAX_ROUNDS):
            self.resume(worker)
            if worker.ended:
                return
            self.renew_lease(worker)
        raise AssertionError(f"V8: {worker.name} polls without end")

    def kill(self, worker: VirtualWorker) -> None:
        self.resume(worker, error=Killed())

    def renew_lease(self, worker: VirtualWorker) -> None:
        """Renew the lease of a slow worker; if its run was cancelled, the worker is told to stop."""
        Heartbeat(self._database, worker.running_steps, self._settings).renew()
        self.log(f"{worker.name} renews its lease")

    def shut_down(self, worker: VirtualWorker) -> None:
        """Shut down the worker's process: the worker ends at its next safe point and hands its move over."""
        worker.running_steps.shut_down()
        self.log(f"{worker.name} is shut down")
        self.resume(worker)

    def complete_late_call(self, number: int) -> None:
        """Let a call that timed out take effect now, or be refused."""
        self.log(self.flaky.complete_late_call(number))

    def sweep(self) -> None:
        try:
            self.nemesis.execute(due_runs.end_due_runs)
            self.nemesis.execute(due_runs.redispatch_due_runs)
            for tenant_id, run_id in self.nemesis.transact(due_runs.overdue_runs):
                self.nemesis.transact(due_runs.cancel_overdue_run, tenant_id, run_id)
        except LostReply:
            self.log("the sweeper loses its connection")

    def deliver_all(self, moves: int = 400) -> None:
        """Deliver messages in their order and end waits, until nothing is left or ``moves`` moves were made."""
        for _ in range(moves):
            if not self.has_work():
                return
            self.deliver(0)

    def deliver_until(self, move: Forward | Backward) -> None:
        """Deliver messages until the next message is for this move. Raises AssertionError if none comes."""
        while self.has_work() and self.messages[0].move != move:
            self.deliver(0)
        assert self.messages, f"no message is left, and none was for {move}"

    def has_work(self) -> bool:
        """Whether there is a message, if necessary after waits have ended and the sweeper has run."""
        for _ in range(MAX_ROUNDS):
            if self.messages or not self._has_time_passed():
                break
        return bool(self.messages)

    def _has_time_passed(self) -> bool:
        """End waits and run the sweeper. Returns whether a worker still waits."""
        self.end_waits()
        self.sweep()
        return bool(self._keepers())

    def end_waits(self) -> None:
        """End every back-off and wait. Workers poll what they keep, and then renew its lease."""
        for worker in self._keepers():
            self.resume(worker)
            if not worker.ended:
                self.renew_lease(worker)
        super().end_waits()

    def expire_attempts(self) -> None:
        """Make steps that poll exceed the time of their attempt, also for the workers that keep them."""
        super().expire_attempts()
        for worker in self._keepers():
            for step in worker.running_steps.all_steps():
                step.stop_signal.set(StopReason.TIMED_OUT)

    def _keepers(self) -> list[VirtualWorker]:
        return [worker for worker in self.workers if worker.waits]

    def uninterrupted(self) -> AbstractContextManager[None]:
        """The default context of a move and of a poll: no interrupt."""
        return nullcontext()

    # The end of a simulation

    def finish(self) -> None:
        """Stop all faults and resume paused workers late. Every run must finish."""
        self.flaky.stop_faults()
        self.nemesis.faults.clear()
        self.log("faults stop")
        self._settle_all_runs()
        if self.workers:
            self._resume_paused_workers()
        while self.flaky.in_flight:
            self.complete_late_call(0)
        self.check()
        self.checker.check_end(self.read)

    def _resume_paused_workers(self) -> None:
        while self.workers:
            self.poll(self.workers[0])
        self.check()
        self._settle_all_runs()

    def provision_again(self) -> None:
        """V12: cancelled and failed tenants can be provisioned again without manual work, unless a step was skipped."""
        for tenant in self.checker.tenants_to_retry():
            change = self.submit("retry", commands.retry_provisioning, tenant.id, by=self.operators[0])
            assert change is not None, f"V12: {tenant.slug} cannot be provisioned again"
        self._settle_all_runs()
        self.check()
        self.checker.check_all_live()

    def check(self) -> None:
        assert not self.nemesis.violations, "\n".join(self.nemesis.violations)
        self.read(self.checker.check)

    def read(self, query: Callable[[Session], Any]) -> Any:
        with self._database.transaction() as session:
            return query(session)

    def close(self) -> None:
        """End the thread of every worker."""
        for worker in self.workers:
            worker.resume(error=Killed())

    def live_runs(self) -> list[Run]:
        live = select(Run).where(Run.organisation_id == self.organisation.id, col(Run.status).in_(LIVE_STATUSES))
        return list(self.read(lambda session: session.exec(live.order_by(col(Run.id))).all()))

    def _settle_all_runs(self) -> None:
        for _ in range(MAX_ROUNDS):
            self.expire_leases()
            self.deliver_all()
            live = self.live_runs()
            if not live:
                return
            for run in live:
                if run.status == "STUCK":
                    self.resume_undo(run.tenant_id, self.operators[0], skip=False)
        raise AssertionError(f"V8: not settled: {[(run.number, run.status) for run in self.live_runs()]}")

    def _create_organisation(self) -> Organisation:
        """Create an organisation. Unfinished runs of earlier simulations never become due again."""
        self.defer_other_runs()
        with self._database.transaction() as session:
            slug = f"org-{new_id().hex[-12:]}"
            organisation = Organisation(slug=slug, name=slug, plan_code="enterprise", created_at=clock(session))
            session.add(organisation)
        return organisation

    def _work(self, worker: VirtualWorker) -> None:
        flaky = self.flaky.wrap(self.infrastructure)
        step_runner = StepRunner(
            self.nemesis,
            self._settings,
            flaky,
            worker.running_steps,
            owner=worker.name,
            keep_for=self.keep_for,
            group=GroupCommit(lambda group: self.nemesis.execute(engine.apply_together, group)),
        )

        def poll(wait: KeptWait) -> timedelta | None:
            with self.poll_context():
                return step_runner.poll_again(wait)

        self._kept[worker] = waits = VirtualWaits(poll)
        step_runner.kept_waits = {Forward: waits, Backward: waits}
        try:
            with self.move_context():
                step_runner.make_move(worker.run_id, worker.move)
        finally:
            # What an interrupt has ended is one message: the other threads of its process go on.
            if not isinstance(sys.exception(), Killed):
                self._poll_until_ended(worker, waits)

    def _poll_until_ended(self, worker: VirtualWorker, waits: VirtualWaits) -> None:
        while waits.parked:
            worker.wait()
            waits.make_polls(self._waits_until)

    def _enqueue(self, outbox: Sequence[WakeUp]) -> None:
        self.messages.extend(outbox)

    def _reload_tenants(self) -> None:
        query = select(Tenant.id).where(Tenant.organisation_id == self.organisation.id).order_by(col(Tenant.id))
        self.tenants = list(self.read(lambda session: session.exec(query).all()))

    def _check_refusal(self, refusal: ProvisioningRefused, subject: object) -> None:
        """V5: a refusal names the state that the tenant had when the refusal was made."""
        if isinstance(refusal, IllegalMove | NotProvisioning) and isinstance(subject, UUID):
            state = self.read(lambda session: session.get_one(Tenant, subject)).state
            assert refusal.state is TenantState(state), f"V5: the refusal names {refusal.state}, the state is {state}"

    def _progress_of(self, worker: VirtualWorker) -> str:
        if not worker.ended:
            return f"paused {worker.where}"
        if worker.escaped is not None:
            return f"ended {worker.where} with {type(worker.escaped).__name__}"
        return "done" if worker.claim else "nothing to claim"


def _direction(worker: VirtualWorker) -> str:
    return f"({type(worker.move).__name__.lower()} {worker.move.step})"


def _stuck_steps(session: Session, tenant_id: UUID) -> list[str]:
    rows = session.execute(
        text(
            "SELECT name FROM run_steps JOIN runs ON runs.id = run_id"
            " WHERE tenant_id = :tenant AND runs.finished_at IS NULL AND run_steps.status = 'COMPENSATION_FAILED'"
        ),
        {"tenant": tenant_id},
    )
    return [row.name for row in rows]
