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
from sparserows import SparseRows  # noqa: E402
from vxdb import Rows, connect, copy_rows, distances, load_words, operator, register_vector  # noqa: E402

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


def texts(rng: np.random.Generator, number: int, dim: int) -> SparseRows:
    """Rows as of texts: each of two of 50 subjects, of whose words the first are the most frequent,
    a word's element the higher the rarer it is."""
    subjects = np.stack([rng.permutation(dim)[:dim // 20] for _ in range(50)])
    # of one word of a subject in three, it is a common one
    subjects[:, ::3] = subjects[0, ::3]
    rows = []
    for length in rng.integers(20, 200, number):
        rank = (len(subjects[0]) ** rng.random(length)).astype(int) - 1
        words, times = np.unique(subjects[rng.choice(50, 2)[rng.integers(0, 2, length)], rank], return_counts=True)
        weight = (1 + np.log(times)) * (1 + (words % 7))
        rows.append((words, (weight / np.linalg.norm(weight)).astype(np.float32)))
    indptr = np.concatenate([[0], np.cumsum([len(words) for words, _ in rows])])
    return SparseRows(indptr, np.concatenate([words for words, _ in rows]).astype(np.int32),
                      np.concatenate([weight for _, weight in rows]), dim)


def as_type(rows: np.ndarray) -> Rows:
    """Values of the column's type that are made of vectors."""
    if vxdb.TYPE == "halfvec":
        return rows.astype(np.float16).astype(np.float32)
    if vxdb.TYPE == "bit":
        return rows > 0
    if vxdb.TYPE == "sparsevec":
        return SparseRows.from_dense(np.where(np.abs(rows) > np.median(np.abs(rows)), rows, 0))
    return rows


def load_set(spec: dict) -> tuple[Rows, Rows]:
    """Rows (spec["pool"], else 1.5 times spec["rows"]) and queries, of the type vxdb.TYPE."""
    wanted = spec.get("pool", spec["rows"] + spec["rows"] // 2)
    rng = np.random.default_rng(7)
    if spec["set"] == "texts":
        both = texts(rng, wanted + spec["queries"], spec["dim"])
        return both[:wanted], both[wanted:]
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
    return (as_type(np.ascontiguousarray(rows[:wanted], dtype=np.float32)),
            as_type(np.ascontiguousarray(queries, dtype=np.float32)))


def norms(rows: Rows) -> np.ndarray:
    if isinstance(rows, SparseRows):
        return np.sqrt(rows.sums(rows.values.astype(np.float64) ** 2))
    return np.linalg.norm(rows, axis=1)


def sizes(rows: Rows) -> np.ndarray:
    """The sums of absolute values."""
    if isinstance(rows, SparseRows):
        return rows.sums(np.abs(rows.values))
    return np.abs(rows).sum(1)


def different(rows: Rows) -> int:
    return len({row.indices.tobytes() + row.values.tobytes() if isinstance(rows, SparseRows) else row.tobytes() for row in rows})


class Case:
    """One data set under one metric."""

    def __init__(self, tap: Tap, conn: psycopg.Connection, spec: dict, metric: str,
                 rows: Rows, queries: Rows):
        self.tap, self.conn, self.metric = tap, conn, metric
        self.name = f"{spec['name']}, {metric}"
        self.spec, self.rows, self.queries = spec, rows, queries
        # What the table holds now: id -> one of the rows.
        self.ids = np.empty(0, dtype=np.int64)
        self.which = np.empty(0, dtype=np.int64)

    def run(self) -> None:
        n = self.spec["rows"]
        self.create()
        self.insert(np.arange(n), np.arange(n))
        self.create_index()
        built = self.check("built", self.least("built"))

        self.churn(n)
        replaced = self.check("half replaced, vacuumed", self.least("replaced"))
        self.conn.execute("REINDEX INDEX items_embedding")
        rebuilt = self.check("built anew", self.least("built"))

        self.create()
        self.create_index()
        self.insert(np.arange(n), np.arange(n))
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
        self.ids, self.which = self.ids[:0], self.which[:0]

    def create_index(self) -> None:
        self.conn.execute("CREATE INDEX items_embedding ON items"
                          f" USING hnsw (embedding {vxdb.TYPE}_{self.metric}_ops)")

    def insert(self, ids: np.ndarray, which: np.ndarray) -> None:
        copy_rows(self.conn, "items", ids, self.rows[which])
        self.ids = np.concatenate([self.ids, ids])
        self.which = np.concatenate([self.which, which])

    def churn(self, n: int) -> None:
        """Replace half of the rows: a quarter by UPDATE, a quarter by DELETE
        and, after VACUUM has freed their places, INSERT; VACUUM again."""
        fresh = np.arange(n, len(self.rows))
        quarter = n // 4
        victims = np.random.default_rng(11).permutation(n)
        updated, deleted = victims[:quarter], victims[quarter:2 * quarter]

        self.conn.execute("CREATE TEMP TABLE fresh (LIKE items)")
        copy_rows(self.conn, "fresh", updated, self.rows[fresh[:quarter]])
        self.conn.execute("UPDATE items SET embedding = fresh.embedding"
                          " FROM fresh WHERE fresh.id = items.id")
        self.conn.execute("DROP TABLE fresh")
        self.conn.execute("DELETE FROM items WHERE id = ANY(%s)", ([int(i) for i in deleted],))
        self.conn.execute("VACUUM items")
        self.which[updated] = fresh[:quarter]
        kept = ~np.isin(self.ids, deleted)
        self.ids, self.which = self.ids[kept], self.which[kept]

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

        vectors = self.rows[self.which]
        truth = distances(self.metric, self.queries, vectors)
        kth = np.partition(truth, K - 1, axis=1)[:, K - 1]
        scale = self.scale(vectors)
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
        if not different(self.rows[self.which]) <= info["live_nodes"] <= len(self.ids):
            problems.append(f"live_nodes {info['live_nodes']}")
        self.tap.ok(not problems, f"{name}: hnsw_info agrees with the table", "; ".join(problems))

    def scale(self, vectors: Rows) -> np.ndarray:
        """For each query, the size of the numbers that its distances sum; 1 where they are counts."""
        if self.metric == "l1":
            return sizes(self.queries) + sizes(vectors).max()
        if self.metric == "ip":
            return norms(self.queries) * norms(vectors).max()
        if self.metric == "l2":
            return norms(self.queries) + norms(vectors).max()
        return np.ones(len(self.queries))

    def search(self) -> list[list[tuple[int, float]]]:
        by = operator(self.metric).replace("%", "%%")
        # The vector itself has no part in the result: %b is sent once.
        query = (f"SELECT id, embedding {by} q.v FROM items, (SELECT %b) AS q(v)"
                 f" ORDER BY embedding {by} q.v LIMIT {K}")
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
        conn.execute("SET enable_seqscan = off")
        for spec in json.loads(args.cases.read_text(encoding="utf-8")):
            vxdb.use_type(spec.get("type", "vector"))
            register_vector(conn)
            run(tap, conn, spec)
    print(f"done\t{tap.tests}")


def run_metrics(tap: Tap, conn: psycopg.Connection, spec: dict) -> None:
    rows, queries = load_set(spec)
    for metric in spec["recall"]:
        Case(tap, conn, spec, metric, rows, queries).run()


if __name__ == "__main__":
    run_cases(__doc__, run_metrics)
