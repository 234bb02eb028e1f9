"""``python -m workers``: run one worker process until it is told to stop."""

import argparse
import os
import signal
import sys
import threading

RESTART_AFTER = "500"
"""Milliseconds until a consumer tries the broker again. Dramatiq reads it when it is imported."""


def main(arguments: list[str] | None = None) -> int:
    """Work until SIGINT or SIGTERM. Exit code 2 for settings that make no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m workers",
        description="Performs the steps and compensations of runs. Start as many of these processes as you like; "
        "SIGTERM stops one at its steps' next safe points and hands its work on.",
        epilog="Everything else is set in the environment: see docs/operating.md.",
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
    # Imported here, because Dramatiq reads its environment when it is imported.
    from runtime.logging import configure_logging  # noqa: PLC0415  # see above
    from runtime.settings import SettingsRefused, read_worker_settings  # noqa: PLC0415  # see above
    from workers.process import WorkerProcess  # noqa: PLC0415  # see above

    try:
        settings = read_worker_settings({name: value for name, value in options.items() if value is not None})
        configure_logging(settings)
        process = WorkerProcess(settings)
    except SettingsRefused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2
    told_to_stop = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: told_to_stop.set())
    process.start()
    told_to_stop.wait()
    process.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
