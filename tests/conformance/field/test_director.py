"""A hold halts exactly what it names."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.conformance.field.director import Director, until
from tests.conformance.field.failpoints import Answers, Failpoint

RUN, OTHER = "run", "another run"
STEP = "deploy_workloads"


@pytest.fixture
def director() -> Iterator[Director]:
    made = Director()
    yield made
    made.clear()


@pytest.fixture
def processes(director: Director) -> Iterator[ThreadPoolExecutor]:
    """Threads that ask the director; whatever still halts is let go before they are joined."""
    with ThreadPoolExecutor(4) as pool:
        yield pool
        director.clear()


def test_a_hold_of_an_undo_lets_a_stale_forward_message_pass(director: Director) -> None:
    hold = director.hold("before claim", run_id=RUN, step=STEP, backward=True)

    assert _answers(director, Failpoint(1, "before claim", RUN, step=STEP)) == [Answers.GO]
    assert not hold.moments


def test_a_hold_of_a_step_lets_the_message_of_its_undo_pass(director: Director) -> None:
    hold = director.hold("before claim", run_id=RUN, step=STEP)

    assert _answers(director, Failpoint(1, "before claim", RUN, step=STEP, backward=True)) == [Answers.GO]
    assert not hold.moments


@pytest.mark.parametrize(
    "moment",
    [
        Failpoint(1, "before claim", OTHER, step=STEP),
        Failpoint(1, "before claim", RUN, step="allocate_storage"),
        Failpoint(1, "after vain claim", RUN, step=STEP),
    ],
    ids=["another run", "another step", "another place"],
)
def test_a_hold_lets_pass_what_it_does_not_name(director: Director, moment: Failpoint) -> None:
    hold = director.hold("before claim", run_id=RUN, step=STEP)

    assert _answers(director, moment) == [Answers.GO]
    assert not hold.moments


def test_a_doubled_message_halts_with_the_first(director: Director, processes: ThreadPoolExecutor) -> None:
    hold = director.hold("before claim", run_id=RUN, step=STEP)
    message = Failpoint(1, "before claim", RUN, step=STEP)

    first, second = (_arrive(processes, director, message) for _ in range(2))
    until(lambda: director.seen["before claim"] == 2, "both messages arrive")

    assert not first.done()
    assert not second.done()
    assert hold.moments == [message]
    hold.let_go()
    assert [first.result(), second.result()] == [[Answers.GO]] * 2


def test_the_next_attempt_passes_a_hold_of_one_attempt(director: Director, processes: ThreadPoolExecutor) -> None:
    hold = director.hold("before deployer.deploy", run_id=RUN)
    halted = _arrive(processes, director, Failpoint(1, "before deployer.deploy", RUN, step=STEP, attempt=1))
    hold.await_one()

    assert _answers(director, Failpoint(2, "before deployer.deploy", RUN, step=STEP, attempt=2)) == [Answers.GO]

    hold.let_go(Answers.REFUSE)
    assert halted.result() == [Answers.REFUSE]


def test_a_hold_that_is_named_late_keeps_the_named_run_only(director: Director, processes: ThreadPoolExecutor) -> None:
    hold = director.hold("before claim", times=1000)
    foreign = _arrive(processes, director, Failpoint(1, "before claim", OTHER, step=STEP))
    meant = _arrive(processes, director, Failpoint(1, "before claim", RUN, step=STEP))
    until(lambda: len(hold.moments) == 2, "both arrive")

    hold.only(RUN)

    assert foreign.result() == [Answers.GO]
    assert hold.await_one().run_id == RUN
    assert not meant.done()


def test_who_was_let_go_for_another_run_halts_at_its_own_place(
    director: Director, processes: ThreadPoolExecutor
) -> None:
    first, own = (director.hold("before claim", times=1000) for _ in range(2))
    message = _arrive(processes, director, Failpoint(1, "before claim", RUN, step=STEP))
    first.await_one()

    first.only(OTHER)

    own.await_one()
    assert not message.done()


def _arrive(processes: ThreadPoolExecutor, director: Director, moment: Failpoint) -> "Future[list[str]]":
    return processes.submit(_answers, director, moment)


def _answers(director: Director, moment: Failpoint) -> list[str]:
    return list(director.answers(moment))
