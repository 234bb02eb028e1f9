"""One worker process: two Dramatiq workers, heartbeat, cancel listener, sweeper."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

import dramatiq

import adapters
from provisioning import engine
from provisioning.moves import Backward, Forward
from runtime.database import Database
from runtime.settings import OTHER_CONNECTIONS, HintCarrier, Settings
from workers import actors
from workers.actors import StepRunner, declare_compensate_step, declare_run_step
from workers.broker import Worker, redis_broker
from workers.cancel_listener import CancelListener
from workers.dispatcher import Dispatcher
from workers.group_commit import GroupCommit
from workers.heartbeat import Heartbeat
from workers.kept_waits import KeptWaits
from workers.periodic_thread import PeriodicThread
from workers.presence import GRACE, Presence
from workers.redis_hints import RedisCancelListener, hint_sender
from workers.running_steps import RunningSteps
from workers.sweeper import Sweeper

logger = logging.getLogger(__name__)

PLANNED_ONCE = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
"""A worker repeats a few statements, which find rows by keys. It plans them once, not for each value, and for indexes,
also while Postgres knows nothing yet of tables that are new or have just been filled."""

Declare = Callable[[dramatiq.Broker, StepRunner], object]


class WorkerProcess:
    """Starts the threads of one process, and stops them in an order that loses no outcome."""

    def __init__(self, settings: Settings) -> None:
        self._drain = int(settings.drain_timeout.total_seconds() * 1000)
        self._dispatcher = Dispatcher(settings)
        self._hints = hint_sender(settings)
        self._database = self._connect(settings, OTHER_CONNECTIONS)
        self._database_of_steps = self._connect(settings, settings.database_pool - OTHER_CONNECTIONS)
        self._running_steps = RunningSteps()
        step_runner = StepRunner(
            self._database_of_steps,
            settings,
            adapters.infrastructure(settings, self._database_of_steps),
            self._running_steps,
            keep_for=actors.KEEP_RUN_FOR,
            group=GroupCommit(lambda group: self._database_of_steps.execute(engine.apply_together, group)),
        )
        self._kept_waits: dict[type[Forward | Backward], KeptWaits] = {
            Forward: KeptWaits("polls steps", step_runner.poll_again, settings.forward_threads),
            Backward: KeptWaits("polls undos", step_runner.poll_again, settings.compensation_threads),
        }
        step_runner.kept_waits = self._kept_waits
        self._presence = Presence(partial(setattr, step_runner, "owner"))
        self._workers = [
            _worker(settings, declare_run_step, step_runner, settings.forward_threads),
            _worker(settings, declare_compensate_step, step_runner, settings.compensation_threads),
        ]
        self._heartbeat = Heartbeat(self._database, self._running_steps, settings)
        self._cancel_listener = CancelListener(self._database, self._running_steps, self._heartbeat, self._presence)
        self._listeners: list[PeriodicThread] = [self._cancel_listener]
        if settings.hints is HintCarrier.REDIS:
            self._listeners.append(RedisCancelListener(settings, self._database, self._running_steps, self._heartbeat))
        self._sweeper = Sweeper(self._database, self._dispatcher, settings, self._presence)

    def start(self) -> None:
        """Start all threads."""
        for thread in (self._heartbeat, *self._listeners, self._sweeper):
            thread.start()
        # The first leases have the name with which the end of this process is noticed at once.
        self._presence.decided.wait(GRACE)
        for worker in self._workers:
            worker.start()
        logger.info("worker started")

    def stop(self) -> None:
        """Stop each step at its next safe point and release its lease, then stop the other threads."""
        logger.info("worker stopping, steps end at their next safe point")
        until = time.monotonic() + self._drain / 1000
        self._sweeper.stop()
        self._running_steps.shut_down()
        stopping = [threading.Thread(target=worker.stop, args=(self._drain,)) for worker in self._workers]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()
        for waits in self._kept_waits.values():
            waits.close(until - time.monotonic())
        self._running_steps.drained.set()
        for listener in self._listeners:
            listener.stop()
        self._heartbeat.stop()
        self._dispatcher.close()
        self._hints.close()
        self._database.close()
        self._database_of_steps.close()
        logger.info("worker stopped")

    def _connect(self, settings: Settings, connections: int) -> Database:
        """A pool of so many connections. Steps have their own, so that they never keep the heartbeat waiting."""
        share = settings.model_copy(update={"database_pool": max(1, connections)})
        return Database(share, self._dispatcher, name="tenantry-worker", pinned=PLANNED_ONCE, hint=self._hints)


def _worker(settings: Settings, declare: Declare, step_runner: StepRunner, threads: int) -> Worker:
    """Create a Dramatiq worker with a separate broker, so that its threads serve one queue only."""
    broker = redis_broker(settings)
    declare(broker, step_runner)
    return Worker(broker, threads)
