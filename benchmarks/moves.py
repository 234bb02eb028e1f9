"""One thread against Postgres, the outside in memory: the price of the engine itself."""

from benchmarks.figures import Samples
from provisioning import duty
from provisioning.moves import Backward, Forward
from provisioning.saga import Done
from runtime.settings import Settings
from tests.stage import Stage, stage_in


def run(settings: Settings, rounds: int) -> None:
    """Create, claim, record, cancel and sweep; then sweep again beside many runs that are over."""
    with stage_in(settings) as stage:
        create, claim, record = Samples("createTenant"), Samples("claim"), Samples("record")
        stale, accept = Samples("a stale message is dropped"), Samples("cancelProvisioning is accepted")
        for number in range(rounds):
            with create.timed():
                stage.create(f"shop-{number}")
            _go_forward(stage, claim, record, stale)
            with accept.timed():
                stage.cancel()
            stage.play()
        idle = Samples(f"a sweep beside {rounds} runs that are over")
        for _ in range(rounds):
            with idle.timed():
                stage.do(duty.nudge_due_runs)
        for samples in (create, claim, record, stale, accept, idle):
            samples.report()


def _go_forward(stage: Stage, claim: Samples, record: Samples, stale: Samples) -> None:
    while isinstance(move := stage.next_move(), Forward) and move.step != "mark_active":
        stage.pass_time()
        with claim.timed():
            held = stage.try_claim(move)
        assert held is not None
        with stale.timed():
            assert stage.try_claim(Backward(move.step)) is None
        with record.timed():
            stage.record(held, Done())
