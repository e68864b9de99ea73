#!/usr/bin/env python3
"""Recall among near-duplicates, of vectorx and of pgvector.

Rows are groups: unit vectors at random, and round each "size" rows that differ
from it by Gaussian noise of standard deviation "spread" in every element.
Queries are further members of the groups, which are not in the table.  A cell
is one size, spread, number of dimensions and metric; in each it prints
recall@10 against exact search at equal hnsw.ef_search, and CPU time a query,
of an index built over the rows and of one grown by inserts.

    .venv/bin/python bench/duplicates.py --sizes 150 --spreads 1e-3,2e-4 --dims 384
    .venv/bin/python bench/duplicates.py            # the whole grid: hours

pgvector makes an index over existing rows by the same inserts, so that it is
built only.  Its figures are kept in results/duplicates.json of this folder and
not measured again unless --peer says so; a cell's data depend on nothing but its name.
"""
from __future__ import annotations

import argparse
import itertools
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import clients
import server
import vxdb
from exact import Judge
from report import table

KEPT = Path(__file__).resolve().parent / "results" / "duplicates.json"
# What pgvector may be better by before a cell is reported.
MARGIN = 0.01


@dataclass(frozen=True)
class Cell:
    """One kind of data and one metric."""

    size: int
    spread: float
    dim: int
    metric: str

    def __str__(self) -> str:
        return f"{self.metric} {self.dim}-d, groups of {self.size}, spread {self.spread:g}"

    def vectors(self, rows: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(zlib.crc32(f"{self} {rows}".encode()))
        groups = max(2, rows // self.size)
        centres = rng.standard_normal((groups, self.dim))
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
        of = np.concatenate([np.repeat(np.arange(groups), self.size)[rng.permutation(groups * self.size)[:rows]],
                             rng.integers(0, groups, queries)])
        both = (centres[of] + self.spread * rng.standard_normal((len(of), self.dim))).astype(np.float32)
        return both[:-queries], both[-queries:]


def measure(client: clients.Client, judge: Judge, efs: list[int], grown: bool) -> dict:
    """Recall and CPU time a query (microseconds) at each ef, of a new index over the judge's rows."""
    index = f"CREATE INDEX {clients.INDEX} ON {clients.TABLE} USING hnsw (embedding vector_{judge.metric}_ops)"
    if grown:
        clients.load(client, judge.rows[:0])
        client.conn.execute(index)
        clients.vxdb.copy_rows(client.conn, clients.TABLE, np.arange(len(judge.rows)), judge.rows)
    else:
        clients.load(client, judge.rows)
        client.conn.execute(index)
    clients.check(client)
    clients.warm(client, judge.queries)
    client.explain(judge.queries[0])
    result = {}
    for ef in efs:
        client.set_ef(ef)
        with client.measured() as spent:
            found = client.ask(judge.queries)
        result[str(ef)] = {"recall": judge.recall(found), "cpu_us": spent.cpu / len(found) * 1e6}
    return result


def measure_cell(here: server.Server, cell: Cell, args: argparse.Namespace, kept: dict) -> list[tuple]:
    """Rows of the table: each way and ef of one cell."""
    rows, queries = cell.vectors(args.rows, args.queries)
    judge = Judge(cell.metric, queries, rows)
    name = f"{cell}, {args.rows} rows, {args.queries} queries"
    peer = kept.get(name, {})
    if args.peer or any(str(ef) not in peer for ef in args.ef):
        client = clients.Client(here, "pgvector", cell.metric)
        kept[name] = peer = peer | measure(client, judge, args.ef, False)
        client.close()
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    result = []
    for how in args.how:
        client = clients.Client(here, "vectorx", cell.metric)
        ours = measure(client, judge, args.ef, how == "grown")
        client.close()
        for ef in args.ef:
            a, b = ours[str(ef)], peer[str(ef)]
            result.append((cell, how, ef, a["recall"], b["recall"], a["cpu_us"], b["cpu_us"]))
    return result


def report(results: list[tuple]) -> str:
    head = ["metric", "dim", "size", "spread", "index", "ef", "recall", "pgvector", "CPU us", "pgvector "]
    return "\n".join(table(head, [
        (cell.metric, str(cell.dim), str(cell.size), f"{cell.spread:g}", how, str(ef), f"{a:.3f}", f"{b:.3f}", f"{x:.0f}", f"{y:.0f}")
        for cell, how, ef, a, b, x, y in results]))


def numbers(kind):
    return lambda text: [kind(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=numbers(int), default=[10, 150, 2000])
    parser.add_argument("--spreads", type=numbers(float), default=[1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6])
    parser.add_argument("--dims", type=numbers(int), default=[100, 384, 1536])
    parser.add_argument("--metrics", type=numbers(str), default=list(vxdb.OPERATORS))
    parser.add_argument("--how", type=numbers(str), default=["built", "grown"])
    parser.add_argument("--ef", type=numbers(int), default=[40, 100])
    parser.add_argument("--rows", type=int, default=4_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--peer", action="store_true", help="measure pgvector again")
    args = parser.parse_args()
    server.stop_on_signal()
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    results: list[tuple] = []
    try:
        with server.start() as here:
            for dim, metric, size, spread in itertools.product(args.dims, args.metrics, args.sizes, args.spreads):
                some = measure_cell(here, Cell(size, spread, dim, metric), args, kept)
                for cell, how, ef, a, b, x, y in some:
                    print(f"{cell}, {how}, ef {ef}: recall {a:.3f}, pgvector {b:.3f}; {x:.0f} us, {y:.0f} us", flush=True)
                results += some
    except server.Unavailable as e:
        raise SystemExit(f"not run: {e}") from None
    print("\n" + report(results))
    low = sorted((r for r in results if r[3] < r[4] - MARGIN), key=lambda r: r[3] - r[4])
    print(f"\n{len(low)} of {len(results)} more than {MARGIN} below pgvector")
    if low:
        print(report(low))


if __name__ == "__main__":
    main()
