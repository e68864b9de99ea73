#!/usr/bin/env python3
"""The work of t/001_recall.pl: index real vectors, search, compare with exact.

    recall.py CASES

CASES is a JSON file, see t/001_recall.pl.  Connects as the PG* environment
variables say.  Prints one line per test, which the Perl part turns into TAP:

    ok<TAB>name     not ok<TAB>name     #<TAB>remark     done<TAB>tests

Every case is one data set and one metric, and goes through four phases: an
index built over the rows; the same after half of its rows were replaced and
vacuumed; that one built anew, as the measure of what the replacing cost; and
one that was made empty and filled with the first rows by inserts alone.
"""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Callable

import numpy as np
import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))
import vxdb  # noqa: E402
from vxdb import OPERATORS, connect, copy_rows, distances, load_words, register_vector  # noqa: E402

K = 10
# Of a float32 sum against a float64 one, relative to the values summed.
TOLERANCE = 2e-5


class Tap:
    def __init__(self) -> None:
        self.tests = 0

    def ok(self, passed: bool, name: str, why: str = "") -> None:
        self.tests += 1
        print(f"{'ok' if passed else 'not ok'}\t{name}", flush=True)
        if why and not passed:
            self.remark(f"{name}: {why}")

    @staticmethod
    def remark(text: str) -> None:
        print(f"#\t{text}", flush=True)


def load_set(spec: dict) -> tuple[np.ndarray, np.ndarray]:
    """Rows (spec["pool"], else 1.5 times spec["rows"]) and queries, float32."""
    wanted = spec.get("pool", spec["rows"] + spec["rows"] // 2)
    rng = np.random.default_rng(7)
    if spec["set"] == "words":
        _, vectors = load_words()
        order = rng.permutation(len(vectors))
        queries, rows = vectors[order[:spec["queries"]]], vectors[order[spec["queries"]:]]
    else:
        folder, dim = Path(spec["folder"]), spec["dim"]
        base = np.load(folder / f"{spec['set']}.base.npy", mmap_mode="r")
        rows = base[np.sort(rng.choice(len(base), wanted, replace=False))]
        queries = np.load(folder / f"{spec['set']}.queries.npy")[:spec["queries"]]
        rows, queries = rows[:, :dim], queries[:, :dim]
    return (np.ascontiguousarray(rows[:wanted], dtype=np.float32),
            np.ascontiguousarray(queries, dtype=np.float32))


class Case:
    """One data set under one metric."""

    def __init__(self, tap: Tap, conn: psycopg.Connection, spec: dict, metric: str,
                 rows: np.ndarray, queries: np.ndarray):
        self.tap, self.conn, self.metric = tap, conn, metric
        self.name = f"{spec['name']}, {metric}"
        self.spec, self.rows, self.queries = spec, rows, queries
        # What the table holds now: id -> vector.
        self.ids = np.empty(0, dtype=np.int64)
        self.vectors = np.empty((0, rows.shape[1]), dtype=np.float32)

    def run(self) -> None:
        n = self.spec["rows"]
        self.create()
        self.insert(np.arange(n), self.rows[:n])
        self.create_index()
        built = self.check("built", self.least("built"))

        self.churn(n)
        replaced = self.check("half replaced, vacuumed", self.least("replaced"))
        self.conn.execute("REINDEX INDEX items_embedding")
        rebuilt = self.check("built anew", self.least("built"))

        self.create()
        self.create_index()
        self.insert(np.arange(n), self.rows[:n])
        inserted = self.check("inserts alone", self.least("inserted"))
        self.conn.execute("DROP TABLE items")

        self.close_to("half replaced, vacuumed", replaced, "the same rows built anew", rebuilt,
                      self.spec["replaced_slack"])
        # L1 has no code to tell far neighbours apart: grown indexes are some .03 below (.023 to .036)
        self.close_to("inserts alone", inserted, "the same rows built", built,
                      self.spec["inserted_slack"] + (0.01 if self.metric == "l1" else 0))

    def least(self, phase: str) -> list[float]:
        """What the table asks of a phase, of each ef_search."""
        wanted = self.spec["recall"][self.metric]
        if phase == "built":
            return wanted
        return [round(r - self.spec[phase + "_slack"], 4) for r in wanted]

    def close_to(self, phase: str, found: list[float], other: str, reference: list[float],
                 slack: float) -> None:
        for ef, a, b in zip(self.spec["ef_search"], found, reference):
            self.tap.ok(a >= b - slack,
                        f"{self.name}, ef_search {ef}: recall of {phase} is at most {slack}"
                        f" below that of {other}", f"{a:.4f}, {b:.4f}")

    def create(self) -> None:
        self.conn.execute("DROP TABLE IF EXISTS items")
        self.conn.execute(f"CREATE TABLE items (id int PRIMARY KEY,"
                          f" embedding {vxdb.TYPE}({self.rows.shape[1]}))"
                          " WITH (autovacuum_enabled = off)")
        self.ids, self.vectors = self.ids[:0], self.vectors[:0]

    def create_index(self) -> None:
        self.conn.execute("CREATE INDEX items_embedding ON items"
                          f" USING hnsw (embedding {vxdb.TYPE}_{self.metric}_ops)")

    def insert(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        copy_rows(self.conn, "items", ids, vectors)
        self.ids = np.concatenate([self.ids, ids])
        self.vectors = np.concatenate([self.vectors, vectors])

    def churn(self, n: int) -> None:
        """Replace half of the rows: a quarter by UPDATE, a quarter by DELETE
        and, after VACUUM has freed their places, INSERT; VACUUM again."""
        fresh = self.rows[n:]
        quarter = n // 4
        victims = np.random.default_rng(11).permutation(n)
        updated, deleted = victims[:quarter], victims[quarter:2 * quarter]

        self.conn.execute("CREATE TEMP TABLE fresh (LIKE items)")
        copy_rows(self.conn, "fresh", updated, fresh[:quarter])
        self.conn.execute("UPDATE items SET embedding = fresh.embedding"
                          " FROM fresh WHERE fresh.id = items.id")
        self.conn.execute("DROP TABLE fresh")
        self.conn.execute("DELETE FROM items WHERE id = ANY(%s)", ([int(i) for i in deleted],))
        self.conn.execute("VACUUM items")
        self.vectors[updated] = fresh[:quarter]
        kept = ~np.isin(self.ids, deleted)
        self.ids, self.vectors = self.ids[kept], self.vectors[kept]

        self.insert(np.arange(n, n + quarter), fresh[quarter:2 * quarter])
        self.conn.execute("VACUUM items")

    # ---- what has to hold

    def check(self, phase: str, least: list[float]) -> list[float]:
        """Test everything; return the recall at each ef_search."""
        name = f"{self.name}, {phase}"
        problems = self.conn.execute("SELECT * FROM hnsw_check('items_embedding')").fetchall()
        self.tap.ok(not problems, f"{name}: hnsw_check finds nothing",
                    "; ".join(map(str, problems[:5])))
        self.check_counts(name)

        truth = distances(self.metric, self.queries, self.vectors)
        kth = np.partition(truth, K - 1, axis=1)[:, K - 1]
        scale = self.scale()
        where = {int(i): at for at, i in enumerate(self.ids)}
        recalls = []
        for ef, wanted in zip(self.spec["ef_search"], least):
            self.conn.execute(f"SET hnsw.ef_search = {ef}")
            answers = self.search()
            self.check_answers(f"{name}, ef_search {ef}", answers, truth, scale, where)
            hits = 0
            for q, rows in enumerate(answers):
                # A row as near as the tenth exact one is as good as it.
                hits += sum(1 for i in {r[0] for r in rows} if i in where
                            and truth[q, where[i]] <= kth[q] + TOLERANCE * 1e-2 * scale[q])
            found = min(1.0, hits / (K * len(answers)))
            self.tap.remark(f"{name}, ef_search {ef}: recall@{K} {found:.4f}")
            self.tap.ok(found >= wanted, f"{name}, ef_search {ef}: recall@{K} is at least {wanted}",
                        f"recall is {found:.4f}")
            recalls.append(found)
        return recalls

    def check_counts(self, name: str) -> None:
        """hnsw_info agrees with the table: every row has one entry, and with
        no other session there, VACUUM has left no dead node."""
        cur = self.conn.execute("SELECT * FROM hnsw_info('items_embedding')")
        assert cur.description is not None
        info = dict(zip([c.name for c in cur.description], cur.fetchone() or ()))
        table = self.conn.execute("SELECT count(*) FROM items").fetchone()
        problems = []
        if table != (len(self.ids),):
            problems.append(f"the table has {table} rows, {len(self.ids)} were meant")
        if info["dimensions"] != self.rows.shape[1]:
            problems.append(f"dimensions {info['dimensions']}")
        if info["dead_nodes"] != 0:
            problems.append(f"dead_nodes {info['dead_nodes']}")
        if info["heap_tids"] != len(self.ids):
            problems.append(f"heap_tids {info['heap_tids']}, not {len(self.ids)}")
        if not len(np.unique(self.vectors, axis=0)) <= info["live_nodes"] <= len(self.ids):
            problems.append(f"live_nodes {info['live_nodes']}")
        self.tap.ok(not problems, f"{name}: hnsw_info agrees with the table", "; ".join(problems))

    def scale(self) -> np.ndarray:
        """For each query, the size of the numbers that its distances sum."""
        if self.metric == "cosine":
            return np.ones(len(self.queries))
        norms = np.linalg.norm(self.vectors, axis=1).max()
        mine = np.linalg.norm(self.queries, axis=1)
        if self.metric == "ip":
            return mine * norms
        if self.metric == "l1":
            return np.abs(self.queries).sum(1) + np.abs(self.vectors).sum(1).max()
        return mine + norms

    def search(self) -> list[list[tuple[int, float]]]:
        operator = OPERATORS[self.metric]
        # The vector itself has no part in the result: %b is sent once.
        query = (f"SELECT id, embedding {operator} q.v FROM items, (SELECT %b::vector) AS q(v)"
                 f" ORDER BY embedding {operator} q.v LIMIT {K}")
        plan = "\n".join(r[0] for r in self.conn.execute("EXPLAIN " + query, (self.queries[0],)))
        if "items_embedding" not in plan:
            raise SystemExit(f"{self.name}: the query does not use the index:\n{plan}")
        return [self.conn.execute(query, (q,), prepare=True, binary=True).fetchall()
                for q in self.queries]

    def check_answers(self, name: str, answers: list[list[tuple[int, float]]],
                      truth: np.ndarray, scale: np.ndarray, where: dict[int, int]) -> None:
        short = dup = gone = wrong = 0
        unordered = 0
        worst = 0.0
        for q, rows in enumerate(answers):
            ids = [r[0] for r in rows]
            short += len(ids) != min(K, len(where))
            dup += len(set(ids)) != len(ids)
            gone += sum(1 for i in ids if i not in where)
            slack = TOLERANCE * scale[q]
            for i, distance in rows:
                if i in where:
                    error = abs(distance - truth[q, where[i]])
                    worst = max(worst, error / scale[q])
                    wrong += error > slack
            unordered += any(b[1] < a[1] - slack for a, b in zip(rows, rows[1:]))
        self.tap.ok(short == 0, f"{name}: {K} rows from every query", f"{short} queries gave other numbers")
        self.tap.ok(dup == 0, f"{name}: no row twice", f"{dup} queries")
        self.tap.ok(gone == 0, f"{name}: no deleted row", f"{gone} rows")
        self.tap.ok(wrong == 0, f"{name}: distances are the true ones",
                    f"{wrong} are not, the worst by {worst:.2e} of the scale")
        self.tap.ok(unordered == 0, f"{name}: nearest first", f"{unordered} queries")


def run_cases(description: str, run: Callable[[Tap, psycopg.Connection, dict], None]) -> None:
    """The program of a helper: run(tap, connection, case) for each case of its argument, CASES."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("cases", type=Path)
    args = parser.parse_args()

    tap = Tap()
    with connect() as conn:
        conn.execute("CREATE EXTENSION IF NOT EXISTS vectorx")
        register_vector(conn)
        conn.execute("SET enable_seqscan = off")
        for spec in json.loads(args.cases.read_text(encoding="utf-8")):
            run(tap, conn, spec)
    print(f"done\t{tap.tests}")


def run_metrics(tap: Tap, conn: psycopg.Connection, spec: dict) -> None:
    rows, queries = load_set(spec)
    vxdb.use_type(spec.get("type", "vector"))
    if vxdb.TYPE == "halfvec":
        rows, queries = (x.astype(np.float16).astype(np.float32) for x in (rows, queries))
    register_vector(conn)
    for metric in spec["recall"]:
        Case(tap, conn, spec, metric, rows, queries).run()


if __name__ == "__main__":
    run_cases(__doc__, run_metrics)
