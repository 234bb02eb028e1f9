"""The priority of a worker process: it gives way to others of its machine, and never takes more than it was given."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GIVE_WAY = """
import os, sys
from pathlib import Path
from workers import priority

priority.AUTOGROUP = Path(sys.argv[2])
priority.give_way(int(sys.argv[1]))
print(os.nice(0))
"""


def niceness_after(niceness: int, autogroup: Path, *, already: int = 0, leads_session: bool = True) -> int:
    """The niceness of a process of its own that has given way."""
    done = subprocess.run(
        ["nice", "-n", str(already), sys.executable, "-c", GIVE_WAY, str(niceness), str(autogroup)],
        start_new_session=leads_session,
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout)


@pytest.mark.parametrize(
    ("already", "niceness", "at_least"), [(0, 5, 5), (0, 0, 0), (3, 5, 5), (10, 5, 10), (0, 19, 19)]
)
def test_a_process_that_gives_way_has_at_least_this_niceness(
    tmp_path: Path, already: int, niceness: int, at_least: int
) -> None:
    found = niceness_after(niceness, tmp_path / "autogroup", already=already)

    assert found == min(19, max(os.nice(0) + already, at_least))


def test_a_process_that_leads_its_session_lowers_the_priority_of_the_session(tmp_path: Path) -> None:
    niceness_after(7, tmp_path / "autogroup")

    assert (tmp_path / "autogroup").read_text() == "7"


def test_a_process_leaves_the_session_of_another_alone(tmp_path: Path) -> None:
    niceness_after(7, tmp_path / "autogroup", leads_session=False)

    assert not (tmp_path / "autogroup").exists()


def test_a_process_that_keeps_its_priority_leaves_its_session_alone(tmp_path: Path) -> None:
    niceness_after(0, tmp_path / "autogroup")

    assert not (tmp_path / "autogroup").exists()


def test_a_kernel_without_autogroups_is_no_error(tmp_path: Path) -> None:
    assert niceness_after(7, tmp_path / "not there" / "autogroup") >= 7
