#!/usr/bin/env python3
"""Part of t/013_parallel_build.pl: is an index that several processes have built
as good as one that a single process has built?  And one of more rows than
maintenance_work_mem holds as good as one of fewer?

    build.py CASES

CASES is a JSON file, see t/013_parallel_build.pl; what is printed is told in
recall.py.  Every case is a data set, a metric and options of the index.  Beside
the rows of the set the table has copies of some of them, NULLs and vectors of
zeros.  The index is built over it by one process and by several, and by both
with little memory.
"""
from __future__ import annotations

import re

import numpy as np
import psycopg
from recall import K, TOLERANCE, Tap, load_set, run_cases

from vxdb import OPERATORS, copy_rows, distances

# Rows besides those of the set.
COPIES, OFTEN, NULLS, ZEROS = 200, 60, 40, 5


class Built:
    """What is known of an index after a build."""

    def __init__(self, conn: psycopg.Connection, case: "Case"):
        cur = conn.execute("SELECT * FROM hnsw_info('items_embedding')")
        assert cur.description is not None
        info = dict(zip([c.name for c in cur.description], cur.fetchone() or ()))
        self.nodes, self.tids = info["live_nodes"], info["heap_tids"]
        self.problems = conn.execute("SELECT * FROM hnsw_check('items_embedding') LIMIT 5").fetchall()
        # reltuples of both, and whether relpages is what there is
        self.statistics = conn.execute(
            "SELECT array_agg(reltuples ORDER BY relname DESC), bool_and(relpages ="
            " pg_relation_size(oid) / current_setting('block_size')::int)"
            " FROM pg_class WHERE relname IN ('items', 'items_embedding')").fetchone()
        self.notices = list(case.notices)
        self.recalls = [case.recall(ef) for ef in case.spec["ef_search"]]
        self.lost = case.lost()


class Case:
    def __init__(self, tap: Tap, conn: psycopg.Connection, spec: dict, metric: str,
                 rows: np.ndarray, queries: np.ndarray):
        self.tap, self.conn, self.spec, self.metric = tap, conn, spec, metric
        self.name = f"{spec['name']}, {metric}"
        self.notices: list[str] = []
        conn.add_notice_handler(self.noticed)
        self.fill(rows, queries)
        # without the vectors that a metric cannot index
        nonzero = self.rows[np.any(self.rows != 0, axis=1)] if metric == "cosine" else self.rows
        self.indexed, self.distinct = len(nonzero), len(np.unique(nonzero, axis=0))
        truth = distances(metric, queries, nonzero)
        self.kth = np.partition(truth, K - 1, axis=1)[:, K - 1]

    def noticed(self, message: psycopg.errors.Diagnostic) -> None:
        self.notices.append(message.message_primary or "")

    def fill(self, rows: np.ndarray, queries: np.ndarray) -> None:
        conn, dim = self.conn, rows.shape[1]
        rng = np.random.default_rng(5)
        copies = np.concatenate([rng.integers(0, len(rows), COPIES), np.full(OFTEN, 1)])
        self.rows = np.concatenate([rows, rows[copies], np.zeros((ZEROS, dim), dtype=np.float32)])
        self.rows = self.rows[rng.permutation(len(self.rows))]
        half = len(self.rows) // 2
        ids = np.arange(len(self.rows))
        conn.execute("DROP TABLE IF EXISTS items, queries")
        for table in ("items", "queries"):
            conn.execute(f"CREATE TABLE {table} (id int, embedding vector({dim}))"
                         " WITH (autovacuum_enabled = off)")
        copy_rows(conn, "items", ids[:half], self.rows[:half])
        conn.execute("INSERT INTO items SELECT -i, NULL FROM generate_series(1, %s) i", (NULLS,))
        copy_rows(conn, "items", ids[half:], self.rows[half:])
        copy_rows(conn, "queries", np.arange(len(queries)), queries)
        conn.execute("ANALYZE items")

    def build(self, workers: int, memory: str = "64MB") -> Built:
        self.conn.execute("DROP INDEX IF EXISTS items_embedding")
        self.notices.clear()
        self.conn.execute(f"ALTER TABLE items SET (parallel_workers = {workers})")
        self.conn.execute(f"SET maintenance_work_mem = '{memory}'")
        options = f" WITH ({self.spec['options']})" if self.spec.get("options") else ""
        self.conn.execute("CREATE INDEX items_embedding ON items"
                          f" USING hnsw (embedding vector_{self.metric}_ops){options}")
        return Built(self.conn, self)

    def recall(self, ef: int) -> float:
        self.conn.execute(f"SET hnsw.ef_search = {ef}")
        operator = OPERATORS[self.metric]
        found = self.conn.execute(
            f"SELECT q.id, s.d FROM queries q, LATERAL (SELECT embedding {operator} q.embedding AS d"
            f" FROM items ORDER BY embedding {operator} q.embedding LIMIT {K}) s").fetchall()
        query = np.array([f[0] for f in found])
        distance = np.array([f[1] for f in found])
        # A row as near as the tenth exact one is as good as it.
        slack = TOLERANCE * np.maximum(1e-3, np.abs(self.kth))
        return float((distance <= (self.kth + slack)[query]).sum()) / (K * len(self.kth))

    def lost(self) -> int:
        """Rows whose own vector finds nothing as near as itself."""
        operator = OPERATORS[self.metric]
        if self.metric == "ip":     # others may be nearer
            return 0
        self.conn.execute("SET hnsw.ef_search = 40")
        row = self.conn.execute(
            f"SELECT count(*) FROM items i, LATERAL (SELECT embedding {operator} i.embedding AS d FROM items"
            f" ORDER BY embedding {operator} i.embedding LIMIT 1) s"
            " WHERE i.embedding IS NOT NULL AND vector_norm(i.embedding) > 0 AND s.d > 1e-5").fetchone()
        assert row is not None
        return row[0]

    def run(self) -> None:
        # Building is random: one alone is the mean of two.
        alone = [self.build(0) for _ in range(2)]
        self.recalls = np.mean([b.recalls for b in alone], axis=0)
        self.nodes, self.lost_alone = alone[0].nodes, max(b.lost for b in alone)
        for built in alone:
            self.check(built, "one process", 0.005)
        for workers in self.spec["workers"]:
            self.check(self.build(workers), f"parallel_workers {workers}", 0.005)
        for workers in self.spec.get("beyond", []):
            # what inserts may lose, see t/001_recall.pl
            self.check(self.build(workers, "1MB"), f"parallel_workers {workers}, 1MB", 0.02, True)
        self.conn.remove_notice_handler(self.noticed)

    def check(self, built: Built, name: str, slack: float, beyond: bool = False) -> None:
        ok, name = self.tap.ok, f"{self.name}, {name}"
        self.tap.remark(f"{name}: recall {', '.join(f'{r:.4f}' for r in built.recalls)}; {built.lost} not found")
        ok(not built.problems, f"{name}: hnsw_check finds nothing", str(built.problems))
        ok((built.nodes, built.tids) == (self.nodes, self.indexed) and built.nodes <= self.distinct,
           f"{name}: each vector is one node with all its rows",
           f"{built.nodes} nodes and {built.tids} rows, not {self.nodes} (at most {self.distinct}) and {self.indexed}")
        ok(built.statistics == ([self.indexed, len(self.rows) + NULLS], True),
           f"{name}: reltuples and relpages", str(built.statistics))
        for ef, found, reference in zip(self.spec["ef_search"], built.recalls, self.recalls):
            ok(found >= reference - slack,
               f"{name}, ef_search {ef}: recall@{K} is at most {slack} below that of one process",
               f"{found:.4f}, {reference:.4f}")
        ok(built.lost <= self.lost_alone + max(1, len(self.rows) // 1000),
           f"{name}: rows are found by their own vector as those of one process",
           f"{built.lost} are not, {self.lost_alone} were not")
        said = [re.fullmatch(r"hnsw graph no longer fits into maintenance_work_mem after (\d+) tuples", n)
                for n in built.notices]
        if beyond:
            ok(len(said) == 1 and said[0] is not None and 0 < int(said[0][1]) < self.indexed,
               f"{name}: a notice says how many rows there was memory for", str(built.notices))
        else:
            ok(not said, f"{name}: no notice", str(built.notices))


def run_metrics(tap: Tap, conn: psycopg.Connection, spec: dict) -> None:
    rows, queries = load_set(dict(spec, pool=spec["rows"]))
    for metric in spec["metrics"]:
        Case(tap, conn, spec, metric, rows, queries).run()


if __name__ == "__main__":
    run_cases(__doc__, run_metrics)
