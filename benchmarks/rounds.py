"""Measures in rounds: each part once a round, so that a machine that changes during the run changes all parts alike."""

import datetime as dt
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import psutil
import psycopg

from benchmarks import idle, latency, recovery, summary, throughput, waiting
from benchmarks.chain_worker import Kind
from benchmarks.servers import NAME, Servers, fsync_milliseconds, production_servers
from benchmarks.throughput import CHAINS_PER_SAGA, Sample
from runtime.programs import ROOT


@dataclass
class Measured:
    """What the rounds have measured so far."""

    sagas: int
    waiting_runs: int
    timed: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    counted: dict[str, dict[str, float]] = field(default_factory=dict)
    latencies: dict[str, dict[str, list[list[float]]]] = field(default_factory=dict)
    loads: list[dict[str, float]] = field(default_factory=list)
    idle: list[dict[str, float]] = field(default_factory=list)
    waiting: list[dict[str, float]] = field(default_factory=list)
    recoveries: list[list[float]] = field(default_factory=list)

    def add(self, name: str, sample: Sample) -> str:
        """Add one measurement of steps. Returns what to print."""
        if sample.statements is not None:
            self.counted[name] = sample.counts
            return (
                f"{name}: {sample.counts['statements']:.1f} statements, {sample.counts['commits']:.1f} commits a step"
            )
        self.timed.setdefault(name, []).append(sample.figures)
        return f"{name}: {sample.figures['steps_per_second']:.0f} steps/s"

    def add_latencies(self, load: str, samples: Mapping[str, list[float]]) -> str:
        """Add the samples of one round. Returns what to print."""
        for what, values in samples.items():
            self.latencies.setdefault(load, {}).setdefault(what, []).append(values)
        return f"{load}: " + ", ".join(
            f"{what} {summary.quantile(values, 0.5):.1f} ms" for what, values in samples.items()
        )

    def summarised(self) -> dict[str, Any]:
        """All figures, as they are written to the file."""
        named = {
            "throughput": {name: summary.spreads(rounds) for name, rounds in self.timed.items()},
            "counts": {
                name: {what: round(count, 2) for what, count in counts.items()} for name, counts in self.counted.items()
            },
            "ratios": summary.ratios(self.timed),
            "latency": {
                load: {what: summary.latency(rounds) for what, rounds in figures.items()}
                for load, figures in self.latencies.items()
            },
        }
        rounds = {"load": self.loads, "idle": self.idle, "waiting": self.waiting}
        named |= {name: summary.spreads(each) for name, each in rounds.items() if each}
        if self.recoveries:
            milliseconds = [[1000 * seconds for seconds in each] for each in self.recoveries]
            named["recovery"] = summary.latency(milliseconds)
        return {name: figures for name, figures in named.items() if figures}


Part = Callable[[Servers, Measured, bool], list[str]]


def _product(servers: Servers, measured: Measured, counted: bool) -> list[str]:  # noqa: FBT001  # a part is called by its position only
    samples = throughput.measure_product(servers, measured.sagas, counted=counted)
    return [measured.add(name, sample) for name, sample in samples.items()]


def _dbos(servers: Servers, measured: Measured, counted: bool) -> list[str]:  # noqa: FBT001  # see above
    return [measured.add("dbos", throughput.measure_dbos(servers, measured.sagas, counted=counted))]


def _chain(kind: Kind) -> Part:
    def measure(servers: Servers, measured: Measured, counted: bool) -> list[str]:  # noqa: FBT001  # see above
        runs = measured.sagas * CHAINS_PER_SAGA
        return [measured.add(kind, throughput.measure_chain(servers, kind, runs, counted=counted))]

    return measure


def _latency(servers: Servers, measured: Measured, counted: bool) -> list[str]:  # noqa: FBT001, ARG001  # see above
    return [measured.add_latencies("idle", latency.measure_idle(servers))]


def _loaded(servers: Servers, measured: Measured, counted: bool) -> list[str]:  # noqa: FBT001, ARG001  # see above
    loaded = latency.measure_loaded(servers)
    in_flight = summary.quantile(loaded.in_flight, 0.5)
    measured.loads.append({"in_flight": in_flight, "stale_messages_percent": 100 * loaded.stale_messages})
    said = measured.add_latencies("loaded", loaded.samples)
    return [f"{said}; {in_flight} sagas in flight, {100 * loaded.stale_messages:.1f} % of messages stale"]


def _idle(servers: Servers, measured: Measured, counted: bool) -> list[str]:  # noqa: FBT001, ARG001  # see above
    cost = idle.measure_idle_cost(servers)
    measured.idle.append(asdict(cost))
    return [f"idle worker: {cost.cpu_percent:.2f} % of a core, {cost.statements_per_second:.1f} statements/s"]


def _waiting(servers: Servers, measured: Measured, counted: bool) -> list[str]:  # noqa: FBT001, ARG001  # see above
    if measured.waiting:
        return []  # the one measurement has a look at each run every few seconds, which are samples enough
    cost = waiting.measure_waiting(servers, measured.waiting_runs)
    measured.waiting.append(asdict(cost))
    return [f"{cost.runs} waiting runs: {cost.late_percent_p50:.0f} % late, {cost.worker_cpu_percent:.0f} % of a core"]


def _recovery(servers: Servers, measured: Measured, counted: bool) -> list[str]:  # noqa: FBT001, ARG001  # see above
    seconds = recovery.measure_recovery(servers)
    measured.recoveries.append(seconds)
    return [f"after kill -9: {min(seconds):.1f} to {max(seconds):.1f} s"]


STEPS: dict[str, Part] = {
    "product": _product,
    "dbos": _dbos,
    "durable": _chain(Kind.DURABLE),
    "bare": _chain(Kind.BARE),
    "kept": _chain(Kind.KEPT),
}
"""Parts that measure steps: they have a round before the others, which warms the machine up and counts statements."""

PARTS: dict[str, Part] = STEPS | {
    "latency": _latency,
    "loaded": _loaded,
    "idle": _idle,
    "waiting": _waiting,
    "recovery": _recovery,
}
"""All parts of a run, in the order of a round."""


def measure(names: Sequence[str], rounds: int, sagas: int, waiting_runs: int) -> dict[str, Any]:
    """Measure these parts. Prints its progress, and returns all figures with the machine that they are of."""
    began, measured = time.monotonic(), Measured(sagas, waiting_runs)
    if "dbos" in names:
        throughput.require_peer()
    with production_servers() as servers:
        machine = describe_machine(servers)
        for number in range(rounds + 1):
            for name in [name for name in names if number or name in STEPS]:
                for line in PARTS[name](servers, measured, number == 0):
                    which = f"round {number} of {rounds}" if number else "statements"
                    print(f"  {time.monotonic() - began:5.0f} s  {which}: {line}", file=sys.stderr, flush=True)
    return {"machine": machine, "rounds": rounds, "sagas": sagas, **measured.summarised()}


def describe_machine(servers: Servers) -> dict[str, Any]:
    """What the figures depend on."""
    with psycopg.connect(servers.database_url, application_name=NAME) as connection:
        settings = {
            name: connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            for name in ("server_version", "fsync", "synchronous_commit")
        }
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "commit": commit.stdout.strip(),
        "cores": psutil.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "dramatiq": version("dramatiq"),
        "valkey": servers.broker.info("server").get("valkey_version", ""),
        "fsync_ms": round(fsync_milliseconds(servers.folder), 2),
        **{name: row[0] for name, row in settings.items() if row},
    }
