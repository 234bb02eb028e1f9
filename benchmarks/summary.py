"""Medians with their spread, also of the ratios between measurements of the same round."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

LEAST = 0.8
"""What falls below this part of the committed ratio has become slower by more than a fifth."""

RATIOS = {
    "forward / DBOS": ("forward", "dbos"),
    "forward / smallest durable chain": ("forward", "durable"),
    "forward / bare Dramatiq chain": ("forward", "bare"),
    "forward / kept-run limit": ("forward", "kept"),
    "undo / forward": ("undo", "forward"),
}
"""Steps per second of one by those of the other, in the same round. More is better."""

CPU_RATIOS = {
    "worker CPU of DBOS / forward": ("dbos", "forward"),
    "worker CPU of the smallest durable chain / forward": ("durable", "forward"),
}
"""Processor time of a step, in the same round. More is better."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of all rounds, the least and the greatest value."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> dict[str, float]:
        """The spread of the values of all rounds, as it is stored."""
        return {
            name: round(value, 4)
            for name, value in asdict(cls(statistics.median(values), min(values), max(values))).items()
        }


def spreads(rounds: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """The spread of each figure over the rounds."""
    return {name: Spread.of([each[name] for each in rounds]) for name in rounds[0]}


def latency(rounds: Sequence[Sequence[float]]) -> dict[str, float]:
    """Quantiles of the samples of all rounds together, and the spread of the rounds' medians."""
    samples = sorted(sample for each in rounds for sample in each)
    medians = [statistics.median(each) for each in rounds]
    values = {
        "p50": statistics.median(samples),
        "p99": quantile(samples, 0.99),
        "low": min(medians),
        "high": max(medians),
    }
    return {name: round(value, 2) for name, value in values.items()} | {"samples": len(samples)}


def quantile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least this part of the values does not exceed."""
    ranked = sorted(values)
    return ranked[min(int(len(ranked) * part), len(ranked) - 1)]


def ratios(throughput: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """The spread of each ratio of which both parts were measured, round by round."""
    found = {}
    for figure, pairs in (("steps_per_second", RATIOS), ("workers_cpu_ms", CPU_RATIOS)):
        for name, (above, below) in pairs.items():
            if above in throughput and below in throughput:
                rounds = zip(throughput[above], throughput[below], strict=True)
                found[name] = Spread.of([one[figure] / other[figure] for one, other in rounds])
    return found


def fallen(measured: Mapping[str, Any], committed: Mapping[str, Any]) -> list[str]:
    """A sentence for each ratio that fell by more than a fifth below the committed one."""
    return [
        f"{name} fell from {committed[name]['median']:.3g} to {measured[name]['median']:.3g}."
        for name in committed
        if measured[name]["median"] < LEAST * committed[name]["median"]
    ]
