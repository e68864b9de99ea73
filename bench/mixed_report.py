"""What bench/mixed.py is to reach, and its table."""
from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Callable

from report import table

# Contender -> figure -> value, of an item.
Item = dict[str, dict[str, float]]
OURS, DIRECT, PEER = "vectorx", "direct", "pgvector"


@dataclass(frozen=True)
class Line:
    """A line of the table: a figure of an item, and what vectorx's is to be.

    The limit is that of the figure itself, or of its quotient by that of the contenders named.
    """

    item: str
    figure: str
    text: str
    shown: Callable[[float], str]
    least: bool = False
    limit: float | None = None
    of: str | None = None


def times(value: float) -> str:
    return f"{value:.2f} x"


def whole(value: float) -> str:
    return f"{value:,.0f}"


def part(value: float) -> str:
    return f"{value:.4f}"


LINES = (
    Line("single", "binary_multiple", "single-row INSERT, backend's CPU, times a table without index", times, limit=2.5),
    Line("single", "text_multiple", "the same with vectors as text", times),
    Line("sustained", "rows_per_cpu_s", "single rows, merged: rows per CPU second of the server", whole, True, 2.0, DIRECT),
    Line("copy", "multiple", "COPY of as many rows as there are: CPU, times loading and building", times, limit=1.4),
    Line("wal", "bytes", "WAL bytes a row, 500 rows/s, a checkpoint every 30 s, merged", whole, limit=.4, of=DIRECT),
    Line("wal", "bytes", "the same against pgvector", whole, limit=1.0, of=PEER),
    Line("wal", "index", "the same without what the table takes", whole),
    Line("wal", "without_merge", "the same, not yet merged at the end", whole),
    Line("checkpoint", "bytes", "WAL bytes a row, 1,000 rows after a checkpoint, merged", whole, limit=1 / 3, of=DIRECT),
    Line("checkpoint", "without_merge", "the same before they are merged", whole),
    Line("search", "cpu_us_multiple_500", "CPU a search at recall .95 while 500 rows/s arrive, times idle", times, limit=1.25),
    Line("search", "cpu_us_multiple_1000", "the same, 1,000 rows/s", times, limit=1.25),
    Line("search", "cpu_us_multiple_plain_500", "the same, 500 rows/s into a table without index", times),
    Line("search", "cpu_us_500", "CPU us a search while 500 rows/s arrive", whole),
    Line("search", "p99_multiple_500", "p99 of searches by 2 clients while 500 rows/s arrive, times without", times, limit=1.5),
    Line("search", "p99_multiple_plain_500", "the same, into a table without index", times),
    Line("search", "p50_500", "p50 of them, ms", part),
    Line("search", "p99_500", "p99 of them, ms", part),
    Line("search", "rows_per_s_1000", "rows that arrived a second, of 1,000", whole),
    Line("found", "part", "committed rows found by their own vector at once", part, True, 1.0),
    Line("during", "below_fresh", "recall@10 below a fresh index's, at the worst moment of a load", part, limit=.01),
    Line("replaced", "below_fresh", "the same after three full replacements", part, limit=.01),
    Line("vacuum", "multiple_30", "VACUUM of 30 % dead rows: CPU, times building anew", times, limit=1.0),
    Line("vacuum", "wal_times_index_30", "its WAL, times the index", times),
    Line("vacuum", "multiple_5", "VACUUM of 5 % dead rows: CPU, times building anew", times, limit=.3),
    Line("vacuum", "wal_times_index_5", "its WAL, times the index", times),
)


def medians(runs: list[Item]) -> Item:
    """Of each figure over the runs that have it."""
    result: Item = {}
    for name in dict.fromkeys(name for run in runs for name in run):
        having = [run[name] for run in runs if name in run]
        result[name] = {key: statistics.median(figures[key] for figures in having) for key in having[0]}
    return result


def goal(line: Line) -> str:
    if line.limit is None:
        return ""
    return f"{'>=' if line.least else '<='} {line.limit:.3g}{f' x {line.of}' if line.of else ''}"


def met(line: Line, item: Item) -> str:
    """Whether the goal is; empty where it asks for nothing, or has nobody to compare with."""
    ours = item.get(OURS, item.get(DIRECT, {})).get(line.figure)
    if line.limit is None or ours is None:
        return ""
    limit = line.limit
    if line.of:
        if line.of not in item or line.of == DIRECT and OURS not in item:
            return ""
        limit *= item[line.of][line.figure]
    return "yes" if (ours >= limit if line.least else ours <= limit) else "no"


def lines(items: dict[str, Item], contenders: list[str]) -> list[str]:
    rows = []
    for line in LINES:
        item = items.get(line.item)
        # A short form measures less.
        if item and all(line.figure in figures for figures in item.values()):
            cells = [line.shown(item[c][line.figure]) if c in item else "-" for c in contenders]
            rows.append([line.text, goal(line), *cells, met(line, item)])
    return table(["mixed load", "goal", *contenders, "reached"], rows)
