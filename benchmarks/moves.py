"""The cost of the engine: one thread with Postgres, with resources in memory."""

from benchmarks.figures import Samples
from provisioning import due_runs
from provisioning.moves import Backward, Forward
from provisioning.saga import Done
from runtime.settings import Settings
from tests.run_harness import RunHarness, run_harness_in


def run(settings: Settings, rounds: int) -> None:
    """Measure create, claim, record, cancel and sweep; then a sweep with many finished runs."""
    with run_harness_in(settings) as harness:
        create, claim, record = Samples("createTenant"), Samples("claim"), Samples("record")
        stale, accept = Samples("dropping a stale message"), Samples("cancelProvisioning")
        for number in range(rounds):
            with create.timed():
                harness.create(f"shop-{number}")
            _go_forward(harness, claim, record, stale)
            with accept.timed():
                harness.cancel()
            harness.make_moves()
        idle = Samples(f"a sweep with {rounds} finished runs")
        for _ in range(rounds):
            with idle.timed():
                harness.execute(due_runs.redispatch_due_runs)
        for samples in (create, claim, record, stale, accept, idle):
            samples.report()


def _go_forward(harness: RunHarness, claim: Samples, record: Samples, stale: Samples) -> None:
    while isinstance(move := harness.next_move(), Forward) and move.step != "mark_active":
        harness.end_waits()
        with claim.timed():
            held = harness.try_claim(move)
        assert held is not None
        with stale.timed():
            assert harness.try_claim(Backward(move.step)) is None
        with record.timed():
            harness.record(held, Done())
