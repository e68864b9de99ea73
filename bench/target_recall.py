#!/usr/bin/env python3
"""hnsw.target_recall against the best fixed hnsw.ef_search of the same recall.

For each set of vectors it builds an index that asks for a recall, and prints for each target
the recall@10 of queries that nothing was measured on, and their CPU as a multiple of what
a fixed ef_search takes for the same recall (between the two nearest that were tried, in
turns), and the nodes they visit, which no other load disturbs, as a multiple alike; "*" where recall is not from target - .005 to target + .02.  Then the same recall,
without CPU, when the table has grown by half and when 30 % of it were replaced, each
with VACUUM; and what hnsw_calibrate costs, as a part of the build's CPU.

    .venv/bin/python bench/server.py .venv/bin/python bench/target_recall.py --data FOLDER
    .venv/bin/python bench/server.py .venv/bin/python bench/target_recall.py --sets words,clustered

FOLDER has glove100 and minilm1536 (NAME.base.npy, NAME.queries.npy); words are this folder's,
clusters and duplicates are drawn.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import psycopg
from processes import cpu

import vxdb

SETS = ("words", "glove100", "glove100-ip", "minilm384", "minilm1536", "clustered", "duplicates")
EFS = (10, 12, 14, 17, 20, 28, 40, 57, 80, 115, 160, 230, 320)
K = 10


def draw_clusters(rng: np.random.Generator, number: int) -> np.ndarray:
    centres, spreads = rng.standard_normal((200, 64)), rng.uniform(.05, .6, (200, 1))
    of = rng.integers(0, 200, number)
    return centres[of] + spreads[of] * rng.standard_normal((number, 64))


def draw_duplicates(rng: np.random.Generator, number: int, words: np.ndarray) -> np.ndarray:
    """A third are words; the others repeat them, some very often, half of them a little changed."""
    first = words[:number // 3]
    of = rng.permutation(len(first))[np.minimum(rng.zipf(1.5, number - len(first)), len(first)) - 1]
    more = first[of].copy()
    changed = rng.random(len(more)) < .5
    norms = np.linalg.norm(more[changed], axis=1, keepdims=True)
    more[changed] += .002 * norms * rng.standard_normal((int(changed.sum()), more.shape[1]))
    return np.concatenate([first, more])


def load(name: str, args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray, str]:
    """Rows, queries, metric."""
    rng = np.random.default_rng(5)
    number = args.rows + args.queries
    metric = "cosine"
    if name in ("words", "duplicates"):
        _, words = vxdb.load_words()
        words = words[rng.permutation(len(words))]
        both = words[:number]
        if name == "duplicates":
            metric, both = "l2", rng.permutation(draw_duplicates(rng, number, words))
        rows, queries = both[:-args.queries], both[-args.queries:]
    elif name == "clustered":
        both, metric = draw_clusters(rng, number), "l2"
        rows, queries = both[:args.rows], both[args.rows:]
    else:
        file, dim = ("glove100", 100) if name.startswith("glove") else ("minilm1536", int(name[6:]))
        metric = "ip" if name.endswith("-ip") else metric
        rows = np.load(Path(args.data) / f"{file}.base.npy", mmap_mode="r")[:args.rows, :dim]
        queries = np.load(Path(args.data) / f"{file}.queries.npy")[:args.queries, :dim]
    return np.ascontiguousarray(rows, np.float32), np.ascontiguousarray(queries, np.float32), metric


class Bench:
    def __init__(self, conn: psycopg.Connection, name: str, args: argparse.Namespace):
        self.conn, self.name, self.args = conn, name, args
        self.rows, self.queries, self.metric = load(name, args)
        self.pid = conn.execute("SELECT pg_backend_pid()").fetchone()[0]
        self.cost: dict[str, float] = {}

    def fill(self, first: int) -> None:
        self.conn.execute("DROP TABLE IF EXISTS items;"
                          f" CREATE TABLE items (id int PRIMARY KEY, embedding vector({self.rows.shape[1]}))")
        vxdb.copy_rows(self.conn, "items", np.arange(first), self.rows[:first])
        before = cpu(self.pid)
        self.conn.execute(f"CREATE INDEX items_idx ON items USING hnsw (embedding vector_{self.metric}_ops)"
                          " WITH (target_recall = 0.9)")
        self.cost["build"] = cpu(self.pid) - before
        self.conn.execute("ANALYZE items")

    def ask(self, ids: np.ndarray, rows: np.ndarray, setting: str) -> tuple[float, float]:
        """Mean recall, and CPU a query in microseconds."""
        self.conn.execute(f"SET hnsw.ef_search = 40; SET hnsw.target_recall = off; SET {setting}")
        sql = f"SELECT id FROM items ORDER BY embedding {vxdb.OPERATORS[self.metric]} %b LIMIT {K}"
        before = cpu(self.pid)
        found = [[r[0] for r in self.conn.execute(sql, (q,), prepare=True)] for q in self.queries]
        taken = (cpu(self.pid) - before) / len(self.queries) * 1e6
        truth = vxdb.distances(self.metric, self.queries, rows)
        bounds = np.partition(truth, K - 1, axis=1)[:, K - 1] + 1e-6
        place = {int(i): n for n, i in enumerate(ids)}
        right = sum(truth[i, place[row]] <= bounds[i] for i, result in enumerate(found) for row in result)
        return right / K / len(self.queries), taken

    def visited(self, setting: str) -> float:
        """Nodes a search visits, on average of some queries."""
        self.conn.execute(f"SET hnsw.ef_search = 40; SET hnsw.target_recall = off; SET {setting}")
        sql = f"SELECT id FROM items ORDER BY embedding {vxdb.OPERATORS[self.metric]} %b LIMIT {K}"
        total = 0
        for query in self.queries[:300]:
            self.conn.execute(sql, (query,), prepare=True).fetchall()
            row = self.conn.execute("SELECT visited FROM hnsw_last_scan()").fetchone()
            assert row is not None
            total += row[0]
        return total / len(self.queries[:300])

    def compare(self) -> list[str]:
        ids = np.arange(len(self.rows))
        settings = ([f"hnsw.ef_search = {ef}" for ef in EFS]
                    + [f"hnsw.target_recall = {t}" for t in self.args.targets])
        best: dict[str, tuple[float, float]] = {}
        for _ in range(self.args.rounds):
            for setting in settings:
                recall, taken = self.ask(ids, self.rows, setting)
                best[setting] = (recall, min(taken, best.get(setting, (0, taken))[1]))
        fixed = np.array(sorted((*best[s], self.visited(s)) for s in settings[:len(EFS)]))
        cells = []
        for target, setting in zip(self.args.targets, settings[len(EFS):]):
            recall, taken = best[setting]
            cpu_as, visits_as = (np.interp(recall, fixed[:, 0], fixed[:, n]) for n in (1, 2))
            cells.append(f"{self.mark(target, recall)} x {taken / cpu_as:.2f} ({self.visited(setting) / visits_as:.2f})")
        return cells

    @staticmethod
    def mark(target: float, recall: float) -> str:
        return f"{recall:.4f}{' ' if target - .005 <= recall <= target + .02 else '*'}"

    def recalls(self, ids: np.ndarray, rows: np.ndarray) -> list[str]:
        return [self.mark(t, self.ask(ids, rows, f"hnsw.target_recall = {t}")[0]) for t in self.args.targets]

    def live(self) -> tuple[list[str], list[str]]:
        """Recalls after growth by half, and after that when 30 % were replaced."""
        count = len(self.rows)
        first, ids = count * 2 // 3, np.arange(count)
        self.fill(first)
        vxdb.copy_rows(self.conn, "items", ids[first:], self.rows[first:])
        self.conn.execute("VACUUM ANALYZE items")
        grown = self.recalls(ids, self.rows)
        gone = np.random.default_rng(2).permutation(count)[:count * 3 // 10]
        self.conn.execute("DELETE FROM items WHERE id = ANY(%s)", (gone.tolist(),))
        self.conn.execute("VACUUM items")
        vxdb.copy_rows(self.conn, "items", count + np.arange(len(gone)), self.rows[gone])
        self.conn.execute("VACUUM ANALYZE items")
        kept = np.setdiff1d(ids, gone)
        return grown, self.recalls(np.concatenate([kept, count + np.arange(len(gone))]),
                                   np.concatenate([self.rows[kept], self.rows[gone]]))

    def calibrate(self) -> float:
        before = cpu(self.pid)
        self.conn.execute("SELECT hnsw_calibrate('items_idx',"
                          " (SELECT array_agg(embedding) FROM (SELECT embedding FROM items LIMIT 400) x))")
        return (cpu(self.pid) - before) / self.cost["build"]

    def run(self) -> None:
        self.fill(len(self.rows))
        built = self.compare()
        share = self.calibrate()
        grown, churned = self.live()
        print(f"{self.name:12} built    {'   '.join(built)}   hnsw_calibrate by 400: {share:.1%} of the build")
        print(f"{self.name:12} grown    {'        '.join(grown)}")
        print(f"{self.name:12} churned  {'        '.join(churned)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="data", help="folder of glove100 and minilm1536")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--targets", type=lambda s: [float(t) for t in s.split(",")], default=[.9, .95, .98, .99])
    args = parser.parse_args()
    with vxdb.connect() as conn:
        conn.execute("CREATE EXTENSION IF NOT EXISTS vectorx")
        vxdb.register_vector(conn)
        conn.execute("SET max_parallel_maintenance_workers = 0; SET maintenance_work_mem = '1GB';"
                     " SET enable_seqscan = off; SET enable_sort = off; SET jit = off")
        print("targets", *args.targets)
        for name in args.sets.split(","):
            Bench(conn, name, args).run()


if __name__ == "__main__":
    main()
