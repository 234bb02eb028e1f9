"""The child processes of the development server never outlive it, however it ends."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from devserver.data_lock import locked
from devserver.errors import DevserverError
from devserver.processes import Child, Register, spawn
from devserver.supervisor import MAX_DEATHS, Supervisor

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


def test_a_child_process_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()

        gone, _ = psutil.wait_procs([child], timeout=10)

    assert gone == [child]


def test_the_next_start_ends_leftover_processes(tmp_path: Path, sleeper: Child) -> None:
    Register(tmp_path / "register").add(sleeper)

    ended = Register(tmp_path / "register").end_leftovers()

    assert ended == ["sleeper"]
    assert sleeper.process.poll() is not None
    assert Register(tmp_path / "register").end_leftovers() == []


def test_a_foreign_process_with_a_registered_id_is_not_ended(tmp_path: Path, sleeper: Child) -> None:
    register = tmp_path / "register"
    register.write_text(f'[{{"name": "API", "pid": {sleeper.process.pid}, "created": 1.0, "stop_signal": 15}}]')

    ended = Register(register).end_leftovers()

    assert ended == []
    assert sleeper.process.poll() is None


def test_a_child_process_that_ignores_its_stop_signal_is_killed(tmp_path: Path) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    child = spawn("deaf child", [sys.executable, "-c", deaf], log=tmp_path / "log", timeout=0.2)
    child.await_ready(lambda: "deaf" in (tmp_path / "log").read_text(), within=10)

    child.stop()

    assert child.process.returncode == -signal.SIGKILL


def test_the_error_quotes_the_log_of_a_process_that_ends_while_starting(tmp_path: Path) -> None:
    child = spawn("API", [sys.executable, "-c", "raise SystemExit('no such database')"], log=tmp_path / "log")

    with pytest.raises(DevserverError, match=r"The API ended while starting.*\n.*no such database"):
        child.await_ready(lambda: False, within=10)


def test_a_killed_child_process_is_restarted(tmp_path: Path) -> None:
    reported: list[str] = []
    started: list[Child] = []
    supervisor = Supervisor(Register(tmp_path / "register"), reported.append)

    def start() -> Child:
        started.append(spawn("worker 1", SLEEPER, log=tmp_path / "log"))
        return started[-1]

    supervisor.start(start)
    started[0].process.kill()
    started[0].process.wait()

    supervisor.restart_ended()

    assert reported == ["The worker 1 was stopped by SIGKILL. Restarting it."]
    assert started[1].process.poll() is None
    supervisor.stop()
    assert started[1].process.returncode == -signal.SIGTERM


def test_a_child_process_that_keeps_ending_is_not_restarted_for_ever(tmp_path: Path) -> None:
    supervisor = Supervisor(Register(tmp_path / "register"), lambda _: None)
    broken: list[Child] = []

    def start() -> Child:
        broken.append(
            spawn("worker 1", [sys.executable, "-c", "raise SystemExit('bad setting')"], log=tmp_path / "log")
        )
        broken[-1].process.wait()
        return broken[-1]

    supervisor.start(start)

    for _ in range(MAX_DEATHS - 1):
        supervisor.restart_ended()
    with pytest.raises(DevserverError, match=r"worker 1 keeps ending.*\n.*bad setting"):
        supervisor.restart_ended()

    assert len(broken) == MAX_DEATHS


def test_the_refusal_of_a_used_data_directory_names_the_process_that_uses_it(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(DevserverError, match=rf"is used by process {psutil.Process().pid} \("),
        locked(tmp_path),
    ):
        pass

    with locked(tmp_path):
        pass
