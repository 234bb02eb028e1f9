"""The command line of ``python -m workers``: one worker process."""

import gc
import os
import signal
import threading
from collections.abc import Sequence

from runtime.programs import Parser, handle_signals, no_garbage_collection

RESTART_AFTER = "500"
"""Milliseconds until a consumer reconnects to the broker. Dramatiq reads it at import."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Work until SIGINT or SIGTERM. Exit code 2 for invalid settings."""
    parser = Parser(
        prog="python -m workers",
        description="Run one worker process, which performs the steps and compensations of runs. Start as many "
        "processes as needed. SIGTERM stops each step at its next safe point; other workers continue the runs.",
        epilog="All other settings are environment variables: see docs/operating.md.",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="threads for steps (TENANTRY_FORWARD_THREADS)")
    parser.add_argument(
        "--compensation-threads",
        type=int,
        metavar="N",
        help="threads reserved for compensations (TENANTRY_COMPENSATION_THREADS)",
    )
    options = parser.parse_args(arguments)
    os.environ.setdefault("dramatiq_restart_delay", RESTART_AFTER)
    return _work({"forward_threads": options.threads, "compensation_threads": options.compensation_threads})


def _work(options: dict[str, int | None]) -> int:
    # Imported here, because Dramatiq reads its environment at import.
    with no_garbage_collection():
        from adapters.start_checks import refuse_to_start, worker_problem  # noqa: PLC0415  # see above
        from runtime.logging import configure_logging  # noqa: PLC0415  # see above
        from runtime.settings import read_worker_settings  # noqa: PLC0415  # see above
        from workers.priority import give_way  # noqa: PLC0415  # see above
        from workers.process import WorkerProcess  # noqa: PLC0415  # see above

    settings = read_worker_settings({name: value for name, value in options.items() if value is not None})
    configure_logging(settings)
    give_way(settings.worker_niceness)
    process = WorkerProcess(settings)
    refuse_to_start(settings, worker_problem)
    # Modules and classes live as long as the process: the garbage collector need not traverse them each time.
    gc.freeze()
    stop_requested = threading.Event()
    handle_signals(lambda *_: stop_requested.set(), signal.SIGINT, signal.SIGTERM)
    process.start()
    stop_requested.wait()
    process.stop()
    return 0
