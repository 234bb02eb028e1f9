"""Counts the resources of a process (listeners, tasks, threads) on SIGUSR1."""

import asyncio
import gc
import json
import os
import signal
import threading
from pathlib import Path

from runtime.feed import Feed


def write_counts_on_signal(folder: Path) -> None:
    """Write a file with the counts on each SIGUSR1. They can be counted only inside the process."""
    signal.signal(signal.SIGUSR1, lambda *_: _write(folder / counts_file_name(os.getpid())))


def counts_file_name(pid: int) -> str:
    """The name of the file with the counts of a process."""
    return f"counts-{pid}.json"


def _write(path: Path) -> None:
    gc.unfreeze()  # objects from the start of the server are counted too
    counted = {
        "listeners": sum(feed.watchers for feed in gc.get_objects() if isinstance(feed, Feed)),
        "tasks": _tasks(),
        "threads": threading.active_count(),
    }
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(counted))
    draft.rename(path)


def _tasks() -> int:
    """Tasks of the event loop on the main thread, where Python runs signal handlers; 0 without a loop."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0
