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

The second form asks pgvector, with hnsw.iterative_scan = relaxed_order.
"""
from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Iterator

import numpy as np
import psycopg
from processes import cpu

import vxdb

SETS = {"glove100": ("glove100", 100), "minilm384": ("minilm1536", 384)}
PLANS = {
    "taken": {},
    "index": {"enable_seqscan": "off", "enable_sort": "off", "enable_bitmapscan": "off"},
    "exact": {"enable_indexscan": "off"},
}
SWITCHES = ("enable_seqscan", "enable_sort", "enable_bitmapscan", "enable_indexscan")
CENTRES = 10


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

    def conditions(self, share: float, lie: str) -> Iterator[tuple[str, np.ndarray]]:
        """For each query its WHERE clause and which rows match."""
        count = len(self.base)
        for q in range(len(self.queries)):
            column = "r" if lie == "random" else f"n{self.centre[q]}"
            if lie == "far":
                bound = count - round(share * count)
                yield f"WHERE {column} >= {bound}", self.columns[column] >= bound
            elif share < 1:
                bound = round(share * count)
                yield f"WHERE {column} < {bound}", self.columns[column] < bound
            else:
                yield "", np.ones(count, bool)

    def plan(self, name: str) -> None:
        for switch in SWITCHES:
            self.conn.execute(f"SET {switch} = {PLANS[name].get(switch, 'on')}")

    def cell(self, share: float, lie: str, limit: int) -> dict[str, float | str]:
        asked = [(f"SELECT id FROM filters {where} ORDER BY v <=> '{text(query)}' LIMIT {limit}", mask)
                 for query, (where, mask) in zip(self.queries, self.conditions(share, lie))]
        times: dict[str, list[float]] = {name: [] for name in PLANS}
        found: list[list[int]] = []
        for turn in range(self.args.rounds + 1):
            for name in PLANS:
                self.plan(name)
                before = cpu(self.pid)
                rows = [[r[0] for r in self.conn.execute(sql).fetchall()] for sql, _ in asked]
                if turn > 0:
                    times[name].append((cpu(self.pid) - before) / len(asked) * 1e6)
                if name == "taken":
                    found = rows
        recall, short = [], 0
        for distances, ids, (_, mask) in zip(self.distances, found, asked):
            k = min(limit, int(mask.sum()))
            short += len(ids) < k
            if k > 0:
                worst = np.partition(distances[mask], k - 1)[k - 1] + 1e-6
                recall.append(sum(distances[i] <= worst for i in set(ids)) / k)
        self.plan("taken")
        top = self.conn.execute("EXPLAIN " + asked[0][0]).fetchall()
        used = "index" if any("filters_v_idx" in line[0] for line in top) else "exact"
        return {"recall": float(np.mean(recall)), "short": short, "plan": used,
                **{name: statistics.median(t) for name, t in times.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", default="vectorx", choices=["vectorx", "pgvector"])
    parser.add_argument("--set", default="minilm384", choices=SETS)
    parser.add_argument("--data", default="../shared/data", help="folder of the vectors")
    parser.add_argument("--rows", type=int, default=100000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--shares", type=float, nargs="+", default=[1, .5, .1, .01, .001])
    parser.add_argument("--lies", nargs="+", default=["random", "near", "far"])
    parser.add_argument("--limits", type=int, nargs="+", default=[10])
    parser.add_argument("--ef", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()

    with vxdb.connect(dbname=args.system) as conn:
        bench = Bench(conn, args)
        bench.load()
        conn.execute(f"SET jit = off; SET hnsw.ef_search = {args.ef}; SET max_parallel_workers_per_gather = 0")
        if args.system == "pgvector":
            conn.execute("SET hnsw.iterative_scan = relaxed_order")
        print(f"{args.system}, {args.set}, {len(bench.base)} rows, ef_search {args.ef}")
        print("limit  lie     share   recall  short  plan     taken    index    exact  x none  x best")
        for limit in args.limits:
            none = 0.0
            for lie in args.lies:
                for share in args.shares:
                    if share == 1 and none:
                        continue
                    c = bench.cell(share, lie, limit)
                    none = none or float(c["index"])
                    best = min(float(c["index"]), float(c["exact"]))
                    print(f"{limit:5d}  {lie:6s}  {share:5g}   {c['recall']:6.3f}  {c['short']:5d}  {c['plan']}  "
                          f"{c['taken']:7.0f}  {c['index']:7.0f}  {c['exact']:7.0f}  {c['taken'] / none:6.2f}  "
                          f"{c['taken'] / best:6.2f}", flush=True)


if __name__ == "__main__":
    main()
