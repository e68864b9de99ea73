#!/usr/bin/env python3
"""The work of t/020_searches.pl: searches by index against sequential scans.

    searches.py CASES SEED PORT

PORT is that of a standby, on which some of the searches run.
Each table has rows from a build and from inserts, clusters, equal vectors, NULLs, deleted and
updated rows.  Both scans run in one REPEATABLE READ transaction.  Prints tests as
t/recall.py does.
"""
from __future__ import annotations

import random
import sys
import threading
import time

import numpy as np
import psycopg
from recall import Tap

from vxdb import connect, operator

ROLE = "vx_reader"
TABLES = [          # type, metric, dimensions, rows, options of the index
    ("vector", "l2", 8, 3000, ""),
    ("vector", "cosine", 100, 2500, ""),
    ("vector", "ip", 24, 2000, ""),
    ("sparsevec", "cosine", 600, 1000, ""),
    ("vector", "l1", 32, 1500, ""),
    ("vector", "l2", 384, 1500, ""),
    ("vector", "l2", 3, 4000, "m = 4, ef_construction = 8"),
    ("vector", "cosine", 48, 40, ""),
    ("vector", "l2", 16, 0, ""),
    ("bit", "hamming", 203, 2000, ""),
    ("bit", "jaccard", 64, 1500, ""),
    ("sparsevec", "l1", 500, 1000, ""),
]
# Elements of sparse vectors are so far apart: their places in an index are hashes.
APART = 1000
INDEX = {"enable_seqscan": "off", "enable_sort": "off", "enable_bitmapscan": "off", "enable_indexscan": "on"}
EXACT = {"enable_seqscan": "on", "enable_sort": "on", "enable_bitmapscan": "on", "enable_indexscan": "off"}


def text(column: str, vector: np.ndarray) -> str:
    if column == "bit":
        return "".join("1" if x > 0 else "0" for x in vector)
    if column == "sparsevec":
        elements = ",".join(f"{i * APART + 1}:{vector[i]:.7g}" for i in np.flatnonzero(np.abs(vector) > np.abs(vector).max() / 2))
        return f"{{{elements}}}/{len(vector) * APART}"
    return "[" + ",".join(f"{x:.7g}" for x in vector) + "]"


class Table:
    """A table of clustered vectors, whose column c is the cluster and r is random."""

    def __init__(self, conn: psycopg.Connection, rng: np.random.Generator, column: str, metric: str, dim: int,
                 rows: int, options: str):
        self.conn, self.rng, self.type, self.metric, self.dim, self.rows = conn, rng, column, metric, dim, rows
        self.operator = operator(metric)
        self.centres = rng.normal(size=(8, dim)).astype(np.float32)
        self.name = f"{column}, {metric}, {dim}-d, {rows} rows{', ' + options if options else ''}"
        conn.execute(f"DROP TABLE IF EXISTS items; CREATE TABLE items (id serial PRIMARY KEY, c int, r int, "
                     f"v {column}({dim * APART if column == 'sparsevec' else dim}))")
        self.insert(conn, rows // 2)
        conn.execute(f"CREATE INDEX items_v ON items USING hnsw (v {column}_{metric}_ops)"
                     + (f" WITH ({options})" if options else ""))
        self.insert(conn, rows - rows // 2)
        conn.execute("DELETE FROM items WHERE id % 5 = 1; UPDATE items SET r = 999 - r WHERE id % 7 = 2")
        conn.execute("INSERT INTO items (c, r, v) SELECT c, r, v FROM items WHERE id % 11 = 3")
        conn.execute("INSERT INTO items (c, r, v) VALUES (0, 1, NULL)")
        conn.execute(f"ALTER TABLE items ENABLE ROW LEVEL SECURITY; GRANT SELECT ON items TO {ROLE};"
                     "CREATE POLICY tenth ON items USING (r % 10 = 0); ANALYZE items")

    def draw(self) -> tuple[int, np.ndarray]:
        c = int(self.rng.integers(len(self.centres)))
        return c, self.centres[c] + np.float32(0.3) * self.rng.normal(size=self.dim).astype(np.float32)

    def insert(self, conn: psycopg.Connection, rows: int) -> None:
        with conn.cursor().copy("COPY items (c, r, v) FROM STDIN") as copy:
            for _ in range(rows):
                c, vector = self.draw()
                copy.write_row((c, int(self.rng.integers(1000)), text(self.type, vector)))

    def query(self) -> str:
        kind = self.rng.integers(12)
        if kind == 0:
            return text(self.type, self.rng.normal(size=self.dim) * 1e15)
        if kind == 1:
            return text(self.type, self.rng.normal(size=self.dim) * 1e-12)
        return text(self.type, self.draw()[1])

    def condition(self, query: str) -> str:
        """Of any selectivity, depending on the vectors or not."""
        d = f"v {self.operator} '{query}'"
        conditions = ["true", "r < 500", "r < 100", "r < 10", "r < 1", "false", f"c = {self.rng.integers(8)}",
                      "c IN (1, 2) AND r < 200", "id % 97 = 5"]
        if self.rows:
            bound = self.conn.execute(
                f"SELECT percentile_disc({self.rng.choice([.02, .5, .97])}) WITHIN GROUP (ORDER BY d) FROM "
                f"(SELECT {d} AS d FROM items) s WHERE d < 'infinity'").fetchone()
            if bound and bound[0] is not None:
                bounds = [f"{d} <= {bound[0]!r}", f"{d} <= (SELECT {bound[0]!r}::float8)", f"{bound[0]!r} >= {d} AND r < 500"]
                conditions += [f"{d} > {bound[0]!r}", *bounds]
        return str(self.rng.choice(conditions))


def settings(conn: psycopg.Connection, values: dict[str, str]) -> None:
    for name, value in values.items():
        conn.execute(f"SET {name} = {value}")


def ids_and_distances(conn: psycopg.Connection, sql: str) -> list[tuple[int, float]]:
    return conn.execute(sql).fetchall()


def by_cursor(conn: psycopg.Connection, sql: str, count: int) -> list[tuple[int, float]]:
    """The same, fetched in pieces."""
    rows: list[tuple[int, float]] = []
    conn.execute(f"DECLARE s NO SCROLL CURSOR FOR {sql}")
    while piece := conn.execute(f"FETCH {count} FROM s").fetchall():
        rows += piece
    conn.execute("CLOSE s")
    return rows


def in_order(found: list[tuple[int, float]], exact: list[tuple[int, float]], least: float) -> bool:
    """Nearest first; but those that came too late follow at the end, nearest first as well.

    Before them come all that are not late: none that is missing is farther than the last one, but for
    the share that an upper bound lets a scan miss (least).  LIMIT may cut off others that are late.
    """
    rows = [row for row in found if row[1] == row[1]]
    falls = [i for i in range(1, len(rows)) if rows[i][1] < rows[i - 1][1]]
    if not falls:
        return True
    ids = {row[0] for row in found}
    farthest = rows[falls[0] - 1][1]
    missing = sum(row[0] not in ids and not row[1] <= farthest for row in exact)
    return len(falls) == 1 and missing <= (1 - least) * len(exact)


def compare(conn: psycopg.Connection, sql: str, limit: int | None, offset: int, mode: str, fetch: int,
            least: float) -> str:
    """What is wrong with a search by index; in one transaction with the exact one.

    At least so many of the rows must come: all, but where an upper bound of the distance ends the scan.
    Without ORDER BY they come in any order.
    """
    bounds = (f" LIMIT {limit}" if limit is not None else "") + (f" OFFSET {offset}" if offset else "")
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        settings(conn, EXACT)
        exact = ids_and_distances(conn, sql)
        settings(conn, INDEX)
        plan = "\n".join(row[0] for row in conn.execute("EXPLAIN " + sql + bounds))
        found = by_cursor(conn, sql + bounds, fetch) if fetch else ids_and_distances(conn, sql + bounds)
    if "Index Scan using items_v" not in plan and "One-Time Filter: false" not in plan:
        return f"the index is not used: {plan}"
    ids = [row[0] for row in found]
    matching = {row[0] for row in exact}
    wanted = max(len(exact) - offset, 0) if limit is None else min(limit, max(len(exact) - offset, 0))
    if len(set(ids)) != len(ids):
        return "a row twice"
    if not set(ids) <= matching:
        return f"rows that do not match: {sorted(set(ids) - matching)[:5]}"
    if not int(least * wanted) <= len(ids) <= wanted:
        return f"{len(ids)} rows, not {wanted}"
    if mode == "strict_order" and "ORDER BY" in sql and not in_order(found, exact, least):
        return "not in order"
    return ""


def random_search(rng: random.Random, table: Table, conn: psycopg.Connection) -> str:
    query = table.query()
    where = table.condition(query)
    mode = rng.choice(["strict_order", "strict_order", "relaxed_order"])
    limit = rng.choice([None, 1, 10, 10, 100, 1500])
    offset = rng.choice([0, 0, 0, 7, 300])
    fetch = rng.choice([0, 0, 1, 13])
    values = {"hnsw.iterative_scan": mode, "hnsw.ef_search": rng.choice(["1", "10", "40", "40", "400"]),
              "work_mem": rng.choice(["'64kB'", "'4MB'"])}
    role = rng.choice(["none", "none", ROLE])
    settings(conn, values)
    conn.execute(f"SET ROLE {role}")
    bounded = "' <= " in where or ">= v " in where
    sql = f"SELECT id, v {table.operator} '{query}' FROM items WHERE v IS NOT NULL AND {where}"
    if not bounded or rng.random() < .5:
        sql += f" ORDER BY v {table.operator} '{query}'"
    # which rows are the nearest to the origin, from which all clusters are equally far, is hard to find
    hard = int(values["hnsw.ef_search"]) < 40 or offset > 0 or "e-13" in query
    least = 1.0 if not bounded else 0.0 if hard else 0.9
    wrong = compare(conn, sql, limit, offset, mode, fetch, least)
    conn.execute("RESET ROLE")
    return wrong and f"{wrong}: {values} role {role} limit {limit} offset {offset} fetch {fetch}: {sql[:400]}"


def check_index(tap: Tap, conn: psycopg.Connection, name: str) -> None:
    problems = conn.execute("SELECT * FROM hnsw_check('items_v')").fetchall()
    tap.ok(not problems, f"{name}: the index is sound", str(problems[:3]))


def writer(table: Table, stop: threading.Event, failures: list[str]) -> None:
    """Inserts, deletes, updates, VACUUM, until told to stop."""
    try:
        with connect() as conn:
            while not stop.is_set():
                table.insert(conn, 40)
                conn.execute("DELETE FROM items WHERE id IN (SELECT id FROM items ORDER BY random() LIMIT 30)")
                conn.execute("UPDATE items SET r = r WHERE id IN (SELECT id FROM items ORDER BY random() LIMIT 10)")
                conn.execute("VACUUM (INDEX_CLEANUP on, TRUNCATE off) items")
    except Exception as problem:       # told to the tests
        failures.append(repr(problem))


def catch_up(conn: psycopg.Connection, standby: psycopg.Connection) -> None:
    row = conn.execute("SELECT pg_current_wal_lsn()").fetchone()
    assert row is not None
    for _ in range(6000):
        if standby.execute("SELECT pg_last_wal_replay_lsn() >= %s", row).fetchone() == (True,):
            return
        time.sleep(0.1)
    raise SystemExit("the standby does not catch up")


def beside_writes(tap: Tap, conn: psycopg.Connection, table: Table, rng: random.Random, cases: int, where: str) -> None:
    stop, failures = threading.Event(), []
    thread = threading.Thread(target=writer, args=(table, stop, failures))
    thread.start()
    try:
        wrong = [w for w in (random_search(rng, table, conn) for _ in range(cases)) if w]
    finally:
        stop.set()
        thread.join()
    tap.ok(not wrong, f"{table.name}: {cases} searches beside inserts, deletes and VACUUM{where}", "; ".join(wrong[:3]))
    tap.ok(not failures, f"{table.name}: the writer beside them{where}", "; ".join(failures))


def main() -> None:
    cases, seed = int(sys.argv[1]), int(sys.argv[2])
    tap = Tap()
    with connect() as conn:
        conn.execute(f"CREATE EXTENSION vectorx; CREATE ROLE {ROLE}")
        for number, spec in enumerate(TABLES):
            rng = random.Random(seed + number)
            table = Table(conn, np.random.default_rng(seed + number), *spec)
            wrong = [w for w in (random_search(rng, table, conn) for _ in range(cases)) if w]
            tap.ok(not wrong, f"{table.name}: {cases} searches", f"{len(wrong)} wrong: " + "; ".join(wrong[:3]))
            check_index(tap, conn, table.name)
            if number < 4:
                # the model of the writer draws from a generator of its own
                table.rng = np.random.default_rng(seed + 100 + number)
                beside_writes(tap, conn, table, rng, cases // 3, "")
                with connect(port=sys.argv[3]) as standby:
                    catch_up(conn, standby)
                    beside_writes(tap, standby, table, rng, cases // 3, ", on a standby")
                check_index(tap, conn, table.name)
    print(f"done\t{tap.tests}")


if __name__ == "__main__":
    main()
