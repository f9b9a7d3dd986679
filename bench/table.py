"""The table that a bench prints: its rows, and how durations become figures."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    value: str
    baseline: str
    ratio: str
    target: str
    met: bool


def percentile(seconds: Sequence[float], percent: int) -> float:
    """A percentile, in milliseconds."""
    return 1000 * statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1]


def print_rows(rows: Sequence[Row]) -> None:
    """Print them below each other, and whether each target was met."""
    table = [("", "measured", "baseline", "ratio", "target", "")]
    table += [
        (r.name, r.value, r.baseline, r.ratio, r.target, ("met" if r.met else "MISSED") if r.target else "")
        for r in rows
    ]
    widths = [max(len(line[column]) for line in table) for column in range(6)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(), flush=True)
