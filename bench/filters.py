#!/usr/bin/env python3
"""Searches with a WHERE clause: recall, CPU, and how good the planner's choice is.

For each cell of a grid (share of the rows that match x how they lie x LIMIT) it asks
queries that no parameter was chosen on, by the plan that the planner takes, by the
vector index, and by an exact plan (the b-tree of the condition, or the whole table, and
a sort), in turns, and prints

    recall      of the plan that is taken, against exact distances
    taken, index, exact
                CPU in microseconds a query
    x none      the taken one as a multiple of the search by index without WHERE
    x best      and of the better of the other two
    short       queries that returned fewer rows than match, at most LIMIT

Rows that match lie at random, or are the part of the table that is nearest to a
vector the query is near to ("near"), or the part that is farthest from it ("far").

    .venv/bin/python bench/server.py .venv/bin/python bench/filters.py
    .venv/bin/python bench/server.py .venv/bin/python bench/filters.py --system pgvector

    .venv/bin/python bench/server.py .venv/bin/python bench/filters.py --grid

The second form asks pgvector, with hnsw.iterative_scan = relaxed_order.  With --output both keep their
cells in results/filters/ of that folder, draw those of both systems, and put a section into its
RESULTS.md.  The third goes over sets of
100 and 384 dimensions, few and many rows, LIMIT 10 and 100, statements with constants and
prepared ones (which PostgreSQL, after five times, may give a plan for any parameters),
and says in how many of these cells the plan that is taken needs at most 1.5 times as
long as the best.
"""
from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Iterator

import numpy as np
import psycopg
from processes import cpu
from terminal import processor, today

import plots
import report
import server
import vxdb

SETS = {"glove100": ("glove100", 100), "minilm384": ("minilm1536", 384)}
PLANS = {
    "taken": {},
    "index": {"enable_seqscan": "off", "enable_sort": "off", "enable_bitmapscan": "off"},
    "exact": {"enable_indexscan": "off"},
}
SWITCHES = ("enable_seqscan", "enable_sort", "enable_bitmapscan", "enable_indexscan")
CENTRES = 10
BEGIN, END = "<!-- filters:begin -->", "<!-- filters:end -->"
ABOUT = """## Searches with WHERE

Queries that no parameter was chosen on, `LIMIT 10`, by the plan that each system's planner takes (pgvector with `hnsw.iterative_scan =
relaxed_order`); rows that match lie at random, or are the part of the table that is nearest to a vector the query is near to ("near"), or
farthest from it ("far"). CPU of the backend, medians of the rounds, in a server of each system's own. "Short": answers with fewer rows than match, at most ten.
"""


def text(vector: np.ndarray) -> str:
    return "[" + ",".join(f"{x:.6g}" for x in vector) + "]"


class Bench:
    """A table of vectors; columns r (random) and n0.. (ranks of nearness to some of its vectors)."""

    def __init__(self, conn: psycopg.Connection, args: argparse.Namespace):
        self.conn, self.args = conn, args
        name, dim = SETS[args.set]
        base = np.load(Path(args.data) / f"{name}.base.npy", mmap_mode="r")[:args.rows, :dim]
        queries = np.load(Path(args.data) / f"{name}.queries.npy")[-args.queries:, :dim]
        self.base, self.queries = np.asarray(base, np.float32), np.asarray(queries, np.float32)
        rng = np.random.default_rng(11)
        self.dim, count = dim, len(self.base)
        self.distances = vxdb.distances("cosine", self.queries, self.base)
        centres = self.base[rng.choice(count, CENTRES, replace=False)]
        to_centres = vxdb.distances("cosine", centres, self.base)
        self.columns = {"r": rng.permutation(count)}
        for i, d in enumerate(to_centres):
            self.columns[f"n{i}"] = np.argsort(np.argsort(d))
        self.centre = vxdb.distances("cosine", self.queries, centres).argmin(axis=1)
        self.pid = self.conn.execute("SELECT pg_backend_pid()").fetchone()[0]

    def load(self) -> None:
        columns = ", ".join(f"{c} int" for c in self.columns)
        self.conn.execute(f"DROP TABLE IF EXISTS filters; CREATE TABLE filters (id int, {columns}, v vector({self.dim}))")
        numbers = np.stack(list(self.columns.values()), axis=1)
        with self.conn.cursor().copy("COPY filters FROM STDIN") as copy:
            for i, vector in enumerate(self.base):
                copy.write_row((i, *map(int, numbers[i]), text(vector)))
        self.conn.execute("CREATE INDEX ON filters USING hnsw (v vector_cosine_ops)")
        for c in self.columns:
            self.conn.execute(f"CREATE INDEX ON filters ({c})")
        self.conn.execute("VACUUM ANALYZE filters")

    def conditions(self, share: float, lie: str) -> Iterator[tuple[tuple[str, str, int] | None, np.ndarray]]:
        """For each query its condition (column, operator, number) and which rows match."""
        count = len(self.base)
        for q in range(len(self.queries)):
            column = "r" if lie == "random" else f"n{self.centre[q]}"
            if lie == "far":
                bound = count - round(share * count)
                yield (column, ">=", bound), self.columns[column] >= bound
            elif share < 1:
                bound = round(share * count)
                yield (column, "<", bound), self.columns[column] < bound
            else:
                yield None, np.ones(count, bool)

    def statements(self, share: float, lie: str, limit: int) -> tuple[list[str], list[str], list[np.ndarray]]:
        """For each query the statement with constants, that of a prepared one, and which rows match."""
        constant, executed, masks, names = [], [], [], set()
        self.conn.execute("DEALLOCATE ALL")
        for query, (condition, mask) in zip(self.queries, self.conditions(share, lie)):
            column, operator, bound = condition or ("id", ">=", 0)
            where = f"WHERE {column} {operator} {bound}" if condition else ""
            constant.append(f"SELECT id FROM filters {where} ORDER BY v <=> '{text(query)}' LIMIT {limit}")
            if column not in names:
                self.conn.execute(f"PREPARE {column}(int, vector, int) AS SELECT id FROM filters "
                                  f"{f'WHERE {column} {operator} $1' if condition else ''} ORDER BY v <=> $2 LIMIT $3")
                names.add(column)
            executed.append(f"EXECUTE {column}({bound}, '{text(query)}', {limit})")
            masks.append(mask)
        return constant, executed, masks

    def plan(self, name: str) -> None:
        for switch in SWITCHES:
            self.conn.execute(f"SET {switch} = {PLANS[name].get(switch, 'on')}")

    def cell(self, share: float, lie: str, limit: int, prepared: bool) -> dict[str, float | str]:
        constant, executed, masks = self.statements(share, lie, limit)
        times: dict[str, list[float]] = {name: [] for name in PLANS}
        found: list[list[int]] = []
        for turn in range(self.args.rounds + 1):
            for name in PLANS:
                self.plan(name)
                statements = executed if prepared and name == "taken" else constant
                before = cpu(self.pid)
                rows = [[r[0] for r in self.conn.execute(sql, prepare=False).fetchall()] for sql in statements]
                if turn > 0:
                    times[name].append((cpu(self.pid) - before) / len(statements) * 1e6)
                if name == "taken":
                    found = rows
        recall, short = [], 0
        for distances, ids, mask in zip(self.distances, found, masks):
            k = min(limit, int(mask.sum()))
            short += len(ids) < k
            if k > 0:
                worst = np.partition(distances[mask], k - 1)[k - 1] + 1e-6
                recall.append(sum(distances[i] <= worst for i in set(ids)) / k)
        self.plan("taken")
        top = self.conn.execute("EXPLAIN " + (executed if prepared else constant)[0]).fetchall()
        used = "index" if any("filters_v_idx" in line[0] for line in top) else "exact"
        return {"recall": float(np.mean(recall)), "short": short, "plan": used,
                **{name: statistics.median(t) for name, t in times.items()}}


def table(conn: psycopg.Connection, args: argparse.Namespace, prepared: bool, bench: Bench | None = None) -> list[dict]:
    """Measure and print; the cells, each with the taken plan's time as a multiple of the best."""
    if bench is None:
        bench = loaded(conn, args)
    cells = []
    args.rows = len(bench.base)
    print(f"{args.system}, {args.set}, {args.rows} rows, ef_search {args.ef}{', prepared' if prepared else ''}")
    print("limit  lie     share   recall  short  plan     taken    index    exact  x none  x best")
    for limit in args.limits:
        none = 0.0
        for lie in args.lies:
            for share in args.shares:
                if share == 1 and none:
                    continue
                c = bench.cell(share, lie, limit, prepared)
                none = none or float(c["index"])
                best = min(float(c["index"]), float(c["exact"]))
                c |= {"limit": limit, "lie": lie, "share": share, "ratio": float(c["taken"]) / best}
                cells.append(c)
                print(f"{limit:5d}  {lie:6s}  {share:5g}   {c['recall']:6.3f}  {c['short']:5d}  {c['plan']}  "
                      f"{c['taken']:7.0f}  {c['index']:7.0f}  {c['exact']:7.0f}  {c['taken'] / none:6.2f}  "
                      f"{c['ratio']:6.2f}", flush=True)
    return cells


def loaded(conn: psycopg.Connection, args: argparse.Namespace) -> Bench:
    conn.prepare_threshold = None  # prepared statements are made by hand
    bench = Bench(conn, args)
    bench.load()
    conn.execute(f"SET jit = off; SET hnsw.ef_search = {args.ef}; SET max_parallel_workers_per_gather = 0")
    if args.system == "pgvector":
        conn.execute("SET hnsw.iterative_scan = relaxed_order")
    return bench


def grid(conn: psycopg.Connection, args: argparse.Namespace) -> None:
    args.limits, most = [10, 100], args.rows
    ratios = []
    for args.set in SETS:
        for args.rows in (4000, most):
            bench = loaded(conn, args)
            for prepared in (False, True):
                ratios += [c["ratio"] for c in table(conn, args, prepared, bench)]
    good = sum(r <= 1.5 for r in ratios)
    print(f"{good} of {len(ratios)} cells within 1.5 times the best plan ({good / len(ratios):.1%}), "
          f"{sum(r <= 3 for r in ratios)} within 3 times, the worst {max(ratios):.1f}")


def keep(args: argparse.Namespace, cells: list[dict]) -> None:
    """Write the cells where write() finds them."""
    path = args.output / "results" / "filters" / f"{args.set}-{args.system}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"peer": server.peer_build(), "rows": args.rows, "ef": args.ef, "queries": args.queries, "rounds": args.rounds,
             "processor": processor(), "date": today()}
    path.write_text(json.dumps({"about": about, "cells": cells}, indent=1) + "\n", encoding="utf-8")


def section(name: str, kept: dict[str, dict]) -> list[str]:
    """The lines about one set."""
    systems = [s for s in server.SYSTEMS if s in kept]
    a = kept[systems[0]]["about"]
    lines = [f"### Searches with WHERE, {name}: {a['rows']:,} rows, cosine", "",
             f"{a['queries']} queries, ef_search {a['ef']}, {a['rounds']} rounds; pgvector {kept[systems[-1]]['about']['peer']}; {a['processor']}; {a['date']}.", "",
             f"![searches with WHERE, {name}](plots/filters-{name}.png)", ""]
    by_cell: dict[tuple[str, float], dict[str, dict]] = {}
    for system in systems:
        for c in kept[system]["cells"]:
            by_cell.setdefault((c["lie"], c["share"]), {})[system] = c
    rows = []
    for (lie, share), found in by_cell.items():
        row = ["all rows" if share == 1 else f"{share:.3g}, {lie}"]
        for form, key in (("{:.3f}", "recall"), ("{}", "short"), ("{:,.0f}", "taken")):
            row += [form.format(found[s][key]) if s in found else "-" for s in systems]
        rows.append(row)
    heads = [f"{what}, {s}" for what in ("recall", "short", "CPU us") for s in systems]
    return lines + report.table(["share of the rows that match", *heads], rows)


def write(output: Path) -> None:
    """Draw, and put the section about all sets kept into RESULTS.md."""
    lines = [BEGIN, "", *ABOUT.splitlines(), ""]
    for name in SETS:
        paths = {s: output / "results" / "filters" / f"{name}-{s}.json" for s in server.SYSTEMS}
        kept = {s: json.loads(path.read_text(encoding="utf-8")) for s, path in paths.items() if path.exists()}
        if kept:
            lines += section(name, kept)
            problem = plots.filters(output / "plots" / f"filters-{name}.png", f"searches with WHERE, {name}",
                                    {s: k["cells"] for s, k in kept.items()})
            if problem:
                print(problem)
    report.insert_section(output / "RESULTS.md", [*lines, END])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", default="vectorx", choices=server.SYSTEMS)
    parser.add_argument("--set", default="minilm384", choices=SETS)
    parser.add_argument("--data", default="../shared/data", help="folder of the vectors")
    parser.add_argument("--rows", type=int, default=100000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--shares", type=float, nargs="+", default=[1, .5, .1, .01, .001])
    parser.add_argument("--lies", nargs="+", default=["random", "near", "far"])
    parser.add_argument("--limits", type=int, nargs="+", default=[10])
    parser.add_argument("--ef", type=int, default=40)
    parser.add_argument("--grid", action="store_true", help="sets, rows, limits and generic plans; how good the plans are")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="folder to write to (default: print only)")
    args = parser.parse_args()
    if args.output and (args.grid or args.limits != [10]):
        parser.error("--output goes with LIMIT 10 and without --grid")

    with vxdb.connect(dbname=args.system) as conn:
        if args.grid:
            grid(conn, args)
        else:
            cells = table(conn, args, False)
            if args.output:
                keep(args, cells)
                write(args.output)


if __name__ == "__main__":
    main()
