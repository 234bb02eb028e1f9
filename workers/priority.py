"""How far a worker process gives way to the other processes of its machine."""

import os
from contextlib import suppress
from pathlib import Path

AUTOGROUP = Path("/proc/self/autogroup")
"""Linux shares the processor among sessions first, where autogroups are on: then niceness counts within a session
only, and each session has a niceness of its own (sched(7))."""


def give_way(niceness: int) -> None:
    """Lower the priority of this process to at least this niceness, and that of its session if the process leads it.

    Threads that start later have the same priority. A process may always lower its own priority.
    """
    os.nice(max(0, niceness - os.nice(0)))
    if niceness and os.getsid(0) == os.getpid():
        with suppress(OSError):  # not Linux, a container without it, or too soon after the last change
            AUTOGROUP.write_text(str(niceness))
