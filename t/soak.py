#!/usr/bin/env python3
"""The work of t/009_soak.pl: clients write and search beside an eager autovacuum.

    soak.py CASES

CASES is a JSON file, see t/009_soak.pl.  Connects as the PG* environment
variables say; prints what recall.py prints.

Every case is one data set and one metric.  A table is filled and indexed; then
clients replace every row's vector, as many times over as the case asks for,
counted, by UPDATE and by DELETE and INSERT, with transactions that are rolled
back between, and search all the while.  What each row's vector was and when is
known (class History), so that every row of every answer is checked: it must
have been there with this distance at some moment of the search.  Afterwards the
index is compared with one that is built over the same rows.
"""
from __future__ import annotations

import itertools
import random
import sys
import threading
import time
from collections import deque
from pathlib import Path

import numpy as np
import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent))
from recall import K, TOLERANCE, Tap, load_set, run_cases  # noqa: E402
from vxdb import connect, copy_rows, distances, operator, register_vector  # noqa: E402

# The bounds of the comparison with fresh indexes.  Building is random: of ten over
# the same rows one finds .004 more than another at ef_search 20, .003 at 40 and
# .001 at 100 (GloVe x 100, L2, 4,000 queries; other sets less).  So the least that
# several of them find is taken, and of that what repairs may cost: half as much
# again as was measured where they cost most, with the same vectors.
RECALL_SLACK = {20: 0.015, 40: 0.01, 100: 0.005}
# Of the rows; a fresh index misses a few, too, whatever is the nearest of nobody.
MOST_LOST = 0.001
# What is dead and not yet vacuumed takes up space besides the live rows, in any
# index.  So clients write no more than this part of the table, and then only
# search, until autovacuum has been there.
BETWEEN_VACUUMS = 0.08
# So much may be written before a VACUUM begins, so much while it runs, and of what was dead when
# it began so much may still be seen by a statement of before, and stays for the next one.
MOST_SIZE = 1 + 3 * BETWEEN_VACUUMS
# Seconds for autovacuum to come, which looks every second; it fails the test.
PATIENCE = 600


class History:
    """Which vector each row had, and when.

    A version begins at the tick taken before the statement that writes it is
    sent, and ends at the one taken after the commit of what replaces it has
    returned.  A search may see it when these times and its own overlap.
    """

    def __init__(self) -> None:
        self._ticks = itertools.count()
        self._versions: dict[int, list[list[float]]] = {}

    def tick(self) -> int:
        return next(self._ticks)

    def begins(self, row: int, vector: int) -> None:
        self._versions.setdefault(row, []).append([vector, self.tick(), float("inf")])

    def ends(self, row: int, vector: int) -> None:
        for version in self._versions[row]:
            if version[0] == vector and version[2] == float("inf"):
                version[2] = self.tick()
                return
        raise AssertionError(f"row {row} has no vector {vector}")

    def visible(self, row: int, start: int, stop: int) -> list[int]:
        """The vectors the row may have had for a search from start to stop."""
        return [int(v) for v, begin, end in list(self._versions.get(row, ()))
                if begin < stop and end > start]


class Client(threading.Thread):
    """Replaces the vectors of its own rows once, in a random order, and searches."""

    def __init__(self, soak: Soak, rows: dict[int, int], free: deque[int], seed: int):
        super().__init__()
        self.soak, self.rows, self.free = soak, rows, free
        self.random = random.Random(seed)
        self.faults: list[str] = []
        self.replaced = self.searches = self.found = 0

    def run(self) -> None:
        try:
            with connect() as self.conn:
                register_vector(self.conn)
                self.conn.execute("SET enable_seqscan = off")
                self.soak.expect_index(self.conn)
                self.replace_all()
        except Exception as e:  # any error a client meets is a failure
            self.faults.append(f"{type(e).__name__}: {e}")

    def replace_all(self) -> None:
        todo = list(self.rows)
        self.random.shuffle(todo)
        while todo:
            kind = self.random.random()
            some = [todo.pop() for _ in range(min(len(todo), 1 if kind < 0.7 else self.random.randint(2, 10)))]
            if kind < 0.5:
                self.update(some[0])
            elif kind < 0.7:
                self.delete(some)
                self.insert(len(some))
            elif kind < 0.85:
                with self.conn.transaction():
                    rows, vectors = self.send_inserts(len(some))
                    self.find_own(rows[0], vectors[0])
                    self.conn.execute("DELETE FROM items WHERE id = ANY(%s)", (some,))
                self.deleted(some)
                self.rows.update(zip(rows, vectors))
                self.replaced += len(some)
            else:
                self.delete(some)
                self.insert(len(some))
                self.roll_back(self.random.sample(list(self.rows), min(3, len(self.rows))))
            if self.random.random() < 0.5:
                self.search()
            while self.soak.written() > self.soak.most_written:
                self.search()
                time.sleep(0.005)

    # ---- writes

    def update(self, row: int) -> None:
        old, new = self.rows[row], self.free.popleft()
        self.soak.history.begins(row, new)
        self.conn.execute("UPDATE items SET embedding = %b WHERE id = %s", (self.soak.pool[new], row))
        self.soak.history.ends(row, old)
        self.rows[row] = new
        self.free.append(old)
        self.replaced += 1

    def delete(self, rows: list[int]) -> None:
        self.conn.execute("DELETE FROM items WHERE id = ANY(%s)", (rows,))
        self.deleted(rows)

    def deleted(self, rows: list[int]) -> None:
        for row in rows:
            vector = self.rows.pop(row)
            self.soak.history.ends(row, vector)
            self.free.append(vector)

    def insert(self, many: int) -> None:
        rows, vectors = self.send_inserts(many)
        self.rows.update(zip(rows, vectors))
        self.replaced += many

    def send_inserts(self, many: int) -> tuple[list[int], list[int]]:
        rows = [next(self.soak.next_row) for _ in range(many)]
        vectors = [self.free.popleft() for _ in range(many)]
        for row, vector in zip(rows, vectors):
            self.soak.history.begins(row, vector)
        if many > 5:
            copy_rows(self.conn, "items", np.array(rows), self.soak.pool[vectors])
        else:
            self.conn.execute(
                "INSERT INTO items VALUES " + ", ".join(["(%s, %b)"] * many),
                [x for row, vector in zip(rows, vectors) for x in (row, self.soak.pool[vector])])
        return rows, vectors

    def roll_back(self, rows: list[int]) -> None:
        """Of this nobody must ever see anything: it does not get into the history."""
        with self.conn.transaction(force_rollback=True):
            self.conn.execute("DELETE FROM items WHERE id = ANY(%s)", (rows[:1],))
            for row in rows[1:]:
                self.conn.execute("UPDATE items SET embedding = %b WHERE id = %s",
                                  (self.soak.pool[self.free[0]], row))
            self.conn.execute("INSERT INTO items VALUES (%s, %b)",
                              (next(self.soak.next_row), self.soak.pool[self.free[1]]))

    # ---- searches

    def search(self) -> None:
        query = self.soak.queries[self.random.randrange(len(self.soak.queries))]
        ef = self.random.choice((20, 40, 100))
        self.conn.execute(f"SET hnsw.ef_search = {ef}")
        start = self.soak.history.tick()
        if self.random.random() < 0.9:
            rows = self.conn.execute(self.soak.statement(), (query,), prepare=True, binary=True).fetchall()
        else:
            # a scan that goes on while others write and VACUUM runs
            rows = []
            with self.conn.transaction(), self.conn.cursor("scan") as cursor:
                cursor.execute(self.soak.statement(limit=ef), (query,), binary=True)
                while part := cursor.fetchmany(5):
                    rows += part
        self.searches += 1
        self.found += len(rows)
        self.check(query, rows, start, self.soak.history.tick())

    def check(self, query: np.ndarray, rows: list[tuple[int, float]], start: int, stop: int) -> None:
        ids = [r[0] for r in rows]
        scale = self.soak.scale(query)
        breaks = sum(b[1] < a[1] - TOLERANCE * scale for a, b in zip(rows, rows[1:]))
        if len(set(ids)) != len(ids):
            self.faults.append(f"a search returned a row twice: {ids}")
        if len(ids) < K:
            self.faults.append(f"a search returned {len(ids)} rows")
        # Where nodes with no visible row took up ef_search, the scan searches on
        # for twice as many, which may find nearer ones.
        if breaks > 6:
            self.faults.append(f"a search returned rows in no order: {rows}")
        for row, distance in rows:
            vectors = self.soak.history.visible(row, start, stop)
            true = distances(self.soak.metric, query[None], self.soak.pool[vectors])[0] if vectors else []
            if not any(abs(distance - t) <= TOLERANCE * scale for t in true):
                self.faults.append(f"a search returned row {row} at {distance}, which could be at {list(true)}")

    def find_own(self, row: int, vector: int) -> None:
        """A row that this transaction has inserted is there for itself."""
        self.conn.execute("SET LOCAL hnsw.ef_search = 400")
        found = self.conn.execute(self.soak.statement(), (self.soak.pool[vector],), binary=True).fetchall()
        if row not in [r[0] for r in found]:
            self.faults.append(f"a transaction did not find row {row}, which it had inserted")


class Soak:
    """One data set under one metric."""

    def __init__(self, tap: Tap, conn: psycopg.Connection, spec: dict, metric: str):
        self.tap, self.conn, self.spec, self.metric = tap, conn, spec, metric
        self.name = f"{spec['name']}, {metric}"
        self.pool, self.queries = load_set(spec)
        self.norm = float(np.linalg.norm(self.pool, axis=1).max())
        self.history = History()
        self.next_row = itertools.count(spec["rows"])

    def run(self) -> None:
        n, clients = self.spec["rows"], self.spec["clients"]
        order = np.random.default_rng(13).permutation(len(self.pool))
        live, free = order[:n], order[n:]
        self.conn.execute("DROP TABLE IF EXISTS items, fresh")
        self.conn.execute(f"CREATE TABLE items (id int PRIMARY KEY, embedding vector({self.pool.shape[1]}))"
                          " WITH (vacuum_index_cleanup = on)")
        copy_rows(self.conn, "items", np.arange(n), self.pool[live])
        self.create_index("items")
        for row, vector in enumerate(live):
            self.history.begins(row, int(vector))
        shares = [({int(i): int(live[i]) for i in range(c, n, clients)}, deque(int(v) for v in free[c::clients]))
                  for c in range(clients)]

        for round_ in range(1, self.spec["rounds"] + 1):
            self.round(round_, shares)
        self.compare({row: vector for rows, _ in shares for row, vector in rows.items()})
        self.conn.execute("DROP TABLE items, fresh")

    def create_index(self, table: str) -> None:
        self.conn.execute(f"CREATE INDEX {table}_embedding ON {table} USING hnsw (embedding vector_{self.metric}_ops)")

    def statement(self, table: str = "items", limit: int = K) -> str:
        by = operator(self.metric)
        return (f"SELECT id, embedding {by} q.v FROM {table}, (SELECT %b::vector) AS q(v)"
                f" ORDER BY embedding {by} q.v LIMIT {limit}")

    def expect_index(self, conn: psycopg.Connection, table: str = "items") -> None:
        plan = "\n".join(r[0] for r in conn.execute("EXPLAIN " + self.statement(table), (self.queries[0],)))
        if f"{table}_embedding" not in plan:
            raise RuntimeError(f"the search does not use the index:\n{plan}")

    def scale(self, query: np.ndarray) -> float:
        """The size of the numbers that a distance sums."""
        size = float(np.linalg.norm(query))
        return {"cosine": 1.0, "l2": size + self.norm, "ip": size * self.norm}[self.metric]

    def one(self, sql: str):
        row = self.conn.execute(sql).fetchone()
        return None if row is None else row[0]

    # ---- the load

    def round(self, number: int, shares: list) -> None:
        """Each client replaces each of its rows once; autovacuum comes at least once."""
        name = f"{self.name}, round {number}"
        vacuums = seen = self.vacuums()
        threads = [Client(self, rows, free, 1000 * number + c) for c, (rows, free) in enumerate(shares)]
        self.written = lambda: sum(t.replaced for t in threads)
        self.most_written = step = max(1, int(self.spec["rows"] * BETWEEN_VACUUMS))
        for t in threads:
            t.start()
        came = time.monotonic()
        while any(t.is_alive() for t in threads):
            time.sleep(0.05)
            if self.vacuums() > seen:
                seen, came = self.vacuums(), time.monotonic()
                self.most_written = self.written() + step
            elif time.monotonic() > came + PATIENCE:
                self.most_written = sys.maxsize
        for t in threads:
            t.join()
        faults = [f for t in threads for f in t.faults]
        self.tap.ok(not faults, f"{name}: no client met an error or a wrong row", f"{len(faults)}: " + "; ".join(f[:500] for f in faults[:5]))
        self.tap.ok(sum(t.replaced for t in threads) == self.spec["rows"], f"{name}: every vector was replaced",
                    str(sum(t.replaced for t in threads)))
        self.tap.ok(all(t.searches for t in threads), f"{name}: every client searched")
        self.tap.ok(self.most_written < sys.maxsize and seen > vacuums, f"{name}: autovacuum came, again and again")
        self.tap.remark(f"{name}: {sum(t.searches for t in threads)} searches, {sum(t.found for t in threads)} rows"
                        f" checked, {seen - vacuums} autovacuums, index {self.size('items') / 2**20:.2f} MB")

    def vacuums(self) -> int:
        return self.one("SELECT pg_stat_get_autovacuum_count('items'::regclass)")

    def size(self, table: str) -> int:
        return self.one(f"SELECT pg_relation_size('{table}_embedding')")

    # ---- what is left

    def compare(self, live: dict[int, int]) -> None:
        ids = np.array(sorted(live), dtype=np.int64)
        vectors = self.pool[[live[i] for i in ids]]
        # One build finds less than another by chance, the more so the fewer queries
        # there are: with these, vectors that no row has now, half as much.
        unused = np.setdiff1d(np.arange(len(self.pool)), np.array(list(live.values())))
        more = np.random.default_rng(17).permutation(unused)[:self.spec["queries_more"]]
        self.queries = np.concatenate([self.queries, self.pool[more]])
        # ours from here on: autovacuum would change what is compared
        self.conn.execute("ALTER TABLE items SET (autovacuum_enabled = off)")
        self.conn.execute("VACUUM items")
        lost = self.check_sound(live)

        self.conn.execute("CREATE TABLE fresh WITH (autovacuum_enabled = off) AS SELECT * FROM items ORDER BY id")
        self.create_index("fresh")
        soaked = self.recalls("items", ids, vectors)
        builds = [self.recalls("fresh", ids, vectors)]
        lost_fresh = self.lost("fresh", live, 400)
        self.tap.remark(f"{self.name}: rows not found by their own vectors: {len(lost)}, fresh {len(lost_fresh)}")
        self.tap.ok(len(lost) <= len(lost_fresh) + MOST_LOST * len(live),
                    f"{self.name}: every row is found by its own vector, as in a fresh index",
                    f"{len(lost)} are not, {len(self.lost('items', {row: live[row] for row in lost}, 4000))}"
                    f" at ef_search 4000; {len(lost_fresh)} in a fresh index: {lost[:10]}")
        ratio = self.size("items") / self.size("fresh")
        for _ in range(self.spec["builds"] - 1):
            self.conn.execute("REINDEX INDEX fresh_embedding")
            builds.append(self.recalls("fresh", ids, vectors))

        for at, ef in enumerate(self.spec["ef_search"]):
            fresh = sum(b[at] for b in builds) / len(builds)
            self.tap.remark(f"{self.name}, ef_search {ef}: recall@{K} {soaked[at]:.4f}, fresh {fresh:.4f}"
                            f" ({' '.join(f'{b[at]:.4f}' for b in builds)}), difference {soaked[at] - fresh:+.4f}")
            least, slack = min(b[at] for b in builds), RECALL_SLACK[ef]
            self.tap.ok(soaked[at] >= least - slack,
                        f"{self.name}, ef_search {ef}: recall@{K} is at most {slack} below the least of fresh indexes",
                        f"{soaked[at]:.4f}, {least:.4f}")
        self.tap.remark(f"{self.name}: {ratio:.3f} times the size of a fresh index")
        self.tap.ok(ratio <= MOST_SIZE, f"{self.name}: the index is at most {MOST_SIZE} times as large as a fresh one",
                    f"{ratio:.3f}")

    def check_sound(self, live: dict[int, int]) -> list[int]:
        """Every row is there, and the index returns it; which are not found by their own vectors?"""
        problems = self.conn.execute("SELECT * FROM hnsw_check('items_embedding')").fetchall()
        self.tap.ok(not problems, f"{self.name}: hnsw_check finds nothing", "; ".join(map(str, problems[:5])))
        there = {r[0] for r in self.conn.execute("SELECT id FROM items")}
        self.tap.ok(there == set(live), f"{self.name}: the table has the rows that were committed",
                    str(sorted(there ^ set(live))[:10]))

        self.expect_index(self.conn)
        # Everything a scan returns that is larger than the table, from three places.
        self.conn.execute(f"SET hnsw.ef_search = {min(len(live) + 100, 10000)}")
        for query in self.queries[:3]:
            rows = self.conn.execute(self.statement(limit=2 * len(live)), (query,), binary=True).fetchall()
            ids = [r[0] for r in rows]
            self.tap.ok(len(ids) == len(live) and set(ids) == set(live),
                        f"{self.name}: the index returns each row once and no other",
                        f"{len(ids)} rows, {len(set(ids))} different, {len(live)} in the table")

        return self.lost("items", live, 400)

    def lost(self, table: str, live: dict[int, int], ef: int) -> list[int]:
        """The rows that are not found by their own vectors."""
        self.conn.execute(f"SET hnsw.ef_search = {ef}")
        return [row for row, vector in live.items()
                if row not in [r[0] for r in self.conn.execute(
                    self.statement(table), (self.pool[vector],), prepare=True, binary=True)]]

    def recalls(self, table: str, ids: np.ndarray, vectors: np.ndarray) -> list[float]:
        """recall@10 at each ef_search; a row as near as the tenth exact one is as good."""
        self.expect_index(self.conn, table)
        where = {int(i): at for at, i in enumerate(ids)}
        truth = distances(self.metric, self.queries, vectors)
        bound = np.partition(truth, K - 1, axis=1)[:, K - 1]
        found = []
        for ef in self.spec["ef_search"]:
            self.conn.execute(f"SET hnsw.ef_search = {ef}")
            hits = unordered = 0
            for q, query in enumerate(self.queries):
                rows = self.conn.execute(self.statement(table), (query,), prepare=True, binary=True).fetchall()
                hits += sum(truth[q, where[i]] <= bound[q] + TOLERANCE * 1e-2 * self.scale(query)
                            for i in {r[0] for r in rows})
                unordered += any(b[1] < a[1] for a, b in zip(rows, rows[1:]))
            self.tap.ok(unordered == 0, f"{self.name}, {table}, ef_search {ef}: nearest first", f"{unordered} queries")
            found.append(hits / (K * len(self.queries)))
        return found


def run_metrics(tap: Tap, conn: psycopg.Connection, spec: dict) -> None:
    for metric in spec["metrics"]:
        Soak(tap, conn, spec, metric).run()


if __name__ == "__main__":
    run_cases(__doc__, run_metrics)
