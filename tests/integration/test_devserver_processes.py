"""What the development server starts never outlives it, whatever its end is."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from devserver.held_resources import held
from devserver.processes import Child, Register, spawn
from devserver.refusal import Refused
from devserver.supervisor import GIVE_UP_AFTER, Supervisor

SLEEPER = [sys.executable, "-c", "import signal; signal.pause()"]
PARENT = """
import sys
from pathlib import Path
from devserver.processes import Register, spawn
child = spawn("sleeper", [sys.executable, "-c", "import signal; signal.pause()"], log=Path(sys.argv[1]) / "log")
Register(Path(sys.argv[1]) / "register").add(child)
print(child.process.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Child]:
    child = spawn("sleeper", SLEEPER, log=tmp_path / "log")
    yield child
    child.stop()


def test_a_child_is_gone_after_its_parent_was_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()

        gone, _ = psutil.wait_procs([child], timeout=10)

    assert gone == [child]


def test_the_next_start_ends_what_is_left(tmp_path: Path, sleeper: Child) -> None:
    Register(tmp_path / "register").add(sleeper)

    ended = Register(tmp_path / "register").end_leftovers()

    assert ended == ["sleeper"]
    assert sleeper.process.poll() is not None
    assert Register(tmp_path / "register").end_leftovers() == []


def test_a_strangers_process_with_a_remembered_number_is_left_alone(tmp_path: Path, sleeper: Child) -> None:
    register = tmp_path / "register"
    register.write_text(f'[{{"name": "API", "pid": {sleeper.process.pid}, "created": 1.0, "farewell": 15}}]')

    ended = Register(register).end_leftovers()

    assert ended == []
    assert sleeper.process.poll() is None


def test_a_child_that_ignores_the_farewell_is_ended_by_force(tmp_path: Path) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    child = spawn("deaf child", [sys.executable, "-c", deaf], log=tmp_path / "log", patience=0.2)
    child.await_ready(lambda: "deaf" in (tmp_path / "log").read_text(), within=10)

    child.stop()

    assert child.process.returncode == -signal.SIGKILL


def test_a_child_that_dies_while_starting_is_quoted(tmp_path: Path) -> None:
    child = spawn("API", [sys.executable, "-c", "raise SystemExit('no such database')"], log=tmp_path / "log")

    with pytest.raises(Refused, match=r"The API ended while starting.*\n.*no such database"):
        child.await_ready(lambda: False, within=10)


def test_a_killed_child_is_started_again(tmp_path: Path) -> None:
    told: list[str] = []
    started: list[Child] = []
    supervisor = Supervisor(Register(tmp_path / "register"), told.append)

    def start() -> Child:
        started.append(spawn("worker 1", SLEEPER, log=tmp_path / "log"))
        return started[-1]

    supervisor.start(start)
    started[0].process.kill()
    started[0].process.wait()

    supervisor.tend()

    assert told == ["The worker 1 was ended by SIGKILL; starting it again."]
    assert started[1].process.poll() is None
    supervisor.stop()
    assert started[1].process.returncode == -signal.SIGTERM


def test_a_child_that_keeps_ending_is_given_up(tmp_path: Path) -> None:
    supervisor = Supervisor(Register(tmp_path / "register"), lambda _: None)
    broken: list[Child] = []

    def start() -> Child:
        broken.append(
            spawn("worker 1", [sys.executable, "-c", "raise SystemExit('bad setting')"], log=tmp_path / "log")
        )
        broken[-1].process.wait()
        return broken[-1]

    supervisor.start(start)

    for _ in range(GIVE_UP_AFTER - 1):
        supervisor.tend()
    with pytest.raises(Refused, match=r"worker 1 keeps ending.*\n.*bad setting"):
        supervisor.tend()

    assert len(broken) == GIVE_UP_AFTER


def test_the_second_holder_learns_who_the_first_is(tmp_path: Path) -> None:
    with (
        held(tmp_path),
        pytest.raises(Refused, match=rf"is held by process {psutil.Process().pid} \("),
        held(tmp_path),
    ):
        pass

    with held(tmp_path):
        pass
