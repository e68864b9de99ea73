#!/usr/bin/env python3
"""How good the planner's choice is between an hnsw index and exact scans.

For each cell of a grid (dimensions, rows, hnsw.ef_search, LIMIT, with and
without parallel query) it times each kind of plan by force and asks which one
the planner takes:

    index       enable_seqscan, enable_sort off
    exact       enable_indexscan off, no workers
    parallel    the same with workers at no cost, where the table is large enough
                for them (min_parallel_table_scan_size)

and prints how many times as long the chosen kind takes as the quickest.  Kinds
take turns, everything is in the cache, and times are medians of "Execution
Time" without planning.  Differences of less than --ignore milliseconds count as
none.  Cells beyond 1.5 times are measured again, with more rounds.

    .venv/bin/python bench/server.py .venv/bin/python bench/plans.py
    .venv/bin/python bench/plans.py --dims 100 --rows 2000 --rpc 4 1.1

The second form uses the server that PGHOST and so on name, and makes a schema
"plans" there.  --save FILE writes the times; --times FILE takes them from there
and asks for the choices only: tables that are there are used again.

A LIMIT of more than hnsw.ef_search is part of the grid, but a line of its own
(limit > ef): the index then gives a shorter answer than an exact scan.  "filters"
asks with a WHERE on another column, for information: there it does so, too.
"""
from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import Counter
from typing import Any, Iterator

import numpy as np
import psycopg

import vxdb

KINDS = ("index", "exact", "parallel")
FORCED = {
    "index": {"enable_seqscan": "off", "enable_sort": "off", "enable_indexscan": "on"},
    "exact": {"enable_seqscan": "on", "enable_sort": "on", "enable_indexscan": "off",
              "max_parallel_workers_per_gather": "0"},
    "parallel": {"enable_seqscan": "on", "enable_sort": "on", "enable_indexscan": "off",
                 "max_parallel_workers_per_gather": "2", "parallel_setup_cost": "0", "parallel_tuple_cost": "0"},
}
FREE = {"enable_seqscan": "on", "enable_sort": "on", "enable_indexscan": "on",
        "parallel_setup_cost": "1000", "parallel_tuple_cost": "0.1"}
LATENT = 16
QUERIES = 5


def vectors(rng: np.random.Generator, rows: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Clustered vectors that fill few of their dimensions, as embeddings do; and queries."""
    latent = min(dim, LATENT)
    centres = rng.normal(size=(max(4, int(rows ** 0.5) // 4), latent))
    spread = rng.normal(size=(latent, dim)) / latent ** 0.5

    def draw(n: int) -> np.ndarray:
        at = centres[rng.integers(len(centres), size=n)] + 0.5 * rng.normal(size=(n, latent))
        return (at @ spread + 0.1 * rng.normal(size=(n, dim))).astype(np.float32)

    return draw(rows), draw(QUERIES)


class Bench:
    def __init__(self, conn: psycopg.Connection, args: argparse.Namespace):
        self.conn = conn
        self.args = args
        self.times: dict[str, float] = {}
        if args.times:
            with open(args.times, encoding="utf-8") as f:
                self.times = json.load(f)
        self.queries: list[str] = []
        self.settings: dict[str, str] = {}

    def set(self, settings: dict[str, str]) -> None:
        for name, value in settings.items():
            if self.settings.get(name) != value:
                self.conn.execute(f"SET {name} = {value}")
                self.settings[name] = value

    def table(self, dim: int, rows: int) -> str:
        """Make a table and its index unless they are there."""
        name = f"plans.t{dim}_{rows}"
        base, queries = vectors(np.random.default_rng(dim * 1000003 + rows), rows, dim)
        self.queries = ["[" + ",".join(f"{x:.6g}" for x in q) + "]" for q in queries]
        if self.conn.execute("SELECT to_regclass(%s)", (name,)).fetchone() == (None,):
            self.conn.execute(f"CREATE TABLE {name} (id int, embedding vector({dim}), kind int)")
            vxdb.copy_rows(self.conn, name, np.arange(rows), base)
            self.conn.execute(f"UPDATE {name} SET kind = id % 100")
            self.conn.execute(f"VACUUM FULL {name}")
            self.conn.execute(f"CREATE INDEX ON {name} USING hnsw (embedding vector_l2_ops)")
            self.conn.execute(f"VACUUM ANALYZE {name}")
        return name

    def statement(self, name: str, limit: int, query: int, kinds: int) -> str:
        where = f"WHERE kind < {kinds}" if kinds < 100 else ""
        return (f"SELECT id FROM {name} {where} ORDER BY embedding <-> '{self.queries[query]}'"
                f" LIMIT {limit}")

    def explain(self, statement: str, run: bool) -> dict[str, Any]:
        options = "FORMAT json" + (", ANALYZE, TIMING off" if run else "")
        row = self.conn.execute(f"EXPLAIN ({options}) {statement}").fetchone()
        assert row is not None
        return row[0][0]

    @staticmethod
    def kind(plan: dict[str, Any]) -> str:
        names = set()

        def walk(node: dict[str, Any]) -> None:
            names.add(node["Node Type"])
            for child in node.get("Plans", []):
                walk(child)

        walk(plan["Plan"])
        if "Index Scan" in names:
            return "index"
        return "parallel" if any(n.startswith("Gather") for n in names) else "exact"

    def measure(self, name: str, kinds: list[str], ef: int, limit: int, share: int, rounds: int) -> None:
        """Median times of some kinds of plans, which take turns."""
        runs: dict[str, list[float]] = {kind: [] for kind in kinds}
        self.set({"hnsw.ef_search": str(ef)})
        for turn in range(rounds + 1):
            for kind in kinds:
                if turn > 2 and sum(runs[kind]) > 500:
                    continue
                self.set(FORCED[kind])
                plan = self.explain(self.statement(name, limit, turn % QUERIES, share), run=True)
                if self.kind(plan) != kind:
                    runs[kind] = []     # there is no such plan
                elif turn > 0:
                    runs[kind].append(plan["Execution Time"])
        for kind in kinds:
            self.times[self.key(name, kind, ef, limit, share)] = (
                statistics.median(runs[kind]) if runs[kind] else -1)

    @staticmethod
    def key(name: str, kind: str, ef: int, limit: int, share: int) -> str:
        return f"{name} {kind} {ef if kind == 'index' else 0} {limit} {share}"

    def cell(self, name: str, ef: int, limit: int, share: int, rounds: int, again: bool) -> dict[str, float]:
        """Times of the kinds that there are."""
        missing = [kind for kind in KINDS if again or self.key(name, kind, ef, limit, share) not in self.times]
        if missing:
            self.measure(name, missing, ef, limit, share, rounds)
        found = {kind: self.times[self.key(name, kind, ef, limit, share)] for kind in KINDS}
        return {kind: time for kind, time in found.items() if time >= 0}

    def chosen(self, name: str, ef: int, limit: int, share: int, workers: int, rpc: float) -> str:
        self.set(FREE | {"hnsw.ef_search": str(ef), "max_parallel_workers_per_gather": str(workers),
                         "random_page_cost": str(rpc)})
        kind = self.kind(self.explain(self.statement(name, limit, 0, share), run=False))
        self.set({"random_page_cost": "4"})
        return kind


def ratio(times: dict[str, float], kind: str, workers: int, ignore: float) -> float:
    there = {k: t for k, t in times.items() if workers > 0 or k != "parallel"}
    best = min(there.values())
    return 1.0 if times[kind] - best <= ignore else times[kind] / best


def cells(args: argparse.Namespace) -> Iterator[tuple[int, int]]:
    for dim in args.dims:
        for rows in args.rows:
            if rows * dim * 4 <= args.bytes * 1e6:
                yield dim, rows


Group = tuple[int, int, float, bool]
Results = dict[Group, list[tuple[float, str]]]


def run(bench: Bench, args: argparse.Namespace) -> Results:
    """Ratios and what they are of, by share of rows, workers, random_page_cost, and limit > ef."""
    results: Results = {}
    for dim, rows in cells(args):
        name = bench.table(dim, rows)
        for share in args.filters:
            for limit in args.limits:
                for ef in args.ef:
                    times = bench.cell(name, ef, limit, share, args.rounds, False)
                    for workers in args.workers:
                        for rpc in args.rpc:
                            kind = bench.chosen(name, ef, limit, share, workers, rpc)
                            r = ratio(times, kind, workers, args.ignore)
                            if r > 1.5 and not args.times:
                                times = bench.cell(name, ef, limit, share, args.rounds * 3, True)
                                r = ratio(times, kind, workers, args.ignore)
                            what = (f"{dim} x {rows} ef {ef} limit {limit}: {kind}; "
                                    + ", ".join(f"{k} {t:.3f}" for k, t in times.items()))
                            results.setdefault((share, workers, rpc, min(limit, rows) > ef), []).append((r, what))
        print(f"{dim} dimensions, {rows} rows", file=sys.stderr, flush=True)
    return results


def report(results: Results, worst: int) -> None:
    print("rows that pass  workers  random_page_cost             cells  within 1.5  within 3  worst  index chosen")
    for (share, workers, rpc, short), found in sorted(results.items()):
        ratios = [r for r, _ in found]
        kinds = Counter(what.split(": ")[1].split(";")[0] for _, what in found)
        print(f"{share:13d}%  {workers:7d}  {rpc:16g}  {'limit > ef' if short else '':10s}  {len(found):5d}"
              f"  {100 * sum(r <= 1.5 for r in ratios) / len(ratios):9.1f}%"
              f"  {100 * sum(r <= 3 for r in ratios) / len(ratios):7.1f}%"
              f"  {max(ratios):5.1f}  {kinds['index']:12d}")
    for (share, workers, rpc, short), found in sorted(results.items()):
        bad = sorted((x for x in found if x[0] > 1.5), reverse=True)[:worst]
        if bad:
            print(f"\nbeyond 1.5 times: {share} % of rows, {workers} workers, random_page_cost {rpc:g}"
                  f"{', limit > ef' if short else ''}; ms")
        for r, what in bad:
            print(f"  {r:5.1f}  {what}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dims", type=int, nargs="+", default=[3, 24, 100, 384, 768, 1536, 3072])
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 500, 2000, 10000, 20000, 100000])
    parser.add_argument("--ef", type=int, nargs="+", default=[10, 40, 100, 200, 400])
    parser.add_argument("--limits", type=int, nargs="+", default=[1, 10, 100, 200])
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="max_parallel_workers_per_gather")
    parser.add_argument("--rpc", type=float, nargs="+", default=[4.0], help="random_page_cost")
    parser.add_argument("--filters", type=int, nargs="+", default=[100], help="per cent of rows that pass a WHERE")
    parser.add_argument("--bytes", type=float, default=320, help="most bytes of vectors in a table, in millions")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--ignore", type=float, default=0.05, help="milliseconds that do not count")
    parser.add_argument("--worst", type=int, default=20, help="how many of the worst cells to print")
    parser.add_argument("--save", help="file to write the times to")
    parser.add_argument("--times", help="file to take times from")
    args = parser.parse_args()

    with vxdb.connect() as conn:
        conn.execute("SET client_min_messages = warning")
        conn.execute("CREATE EXTENSION IF NOT EXISTS vectorx")
        conn.execute("CREATE SCHEMA IF NOT EXISTS plans")
        conn.execute("SET jit = off")
        bench = Bench(conn, args)
        results = run(bench, args)
        if args.save:
            with open(args.save, "w", encoding="utf-8") as f:
                json.dump(bench.times, f, indent=0)
        report(results, args.worst)


if __name__ == "__main__":
    main()
