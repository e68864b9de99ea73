#!/usr/bin/env python3
"""The searches of t/003_standby.pl: on a standby while it replays.

    standby.py words ROWS     copy that many word vectors into the table words
    standby.py search FILE    search until told to stop

FILE is JSON: for each table its operator.  Connects as the PG* environment
variables say.

"search" has a thread that searches all the time, and obeys one command a line:

    open     begin scans in each table, and return after their first rows
    finish   read them to their end, and wait until there were ten searches since
    stop     end

and answers each with a line of JSON.  All reading is in transactions that keep
one snapshot, in which a sequential scan tells what is true.  A recovery conflict
(SQLSTATE 40001) is no fault, nor is a server that is down; a wrong row is.
"""
from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))
from vxdb import connect, copy_rows, load_words  # noqa: E402

# SQLSTATEs of recovery conflicts, and of a server that goes or comes.
CONFLICT = {"40001", "40P01"}
AWAY = {"57P01", "57P02", "57P03", "08006", "08000", None}
MOST_EF = 10000

Row = tuple[int, float]


def is_conflict(e: psycopg.Error) -> bool:
    # A session that is idle in its transaction is terminated, and the client is
    # told no SQLSTATE.
    return e.sqlstate in CONFLICT or "conflict with recovery" in str(e)


def is_away(e: psycopg.Error) -> bool:
    return isinstance(e, psycopg.OperationalError) and e.sqlstate in AWAY


def order_faults(rows: list[Row], most: int) -> list[str]:
    """Ascending by distance, but for a few times that the scan searched on."""
    breaks = sum(b[1] < a[1] for a, b in zip(rows, rows[1:]))
    return [f"rows out of order {breaks} times"] if breaks > most else []


def row_faults(rows: list[Row], true: dict[int, float]) -> list[str]:
    """Rows that came twice, are not there, or at another distance."""
    faults = []
    if len({r[0] for r in rows}) != len(rows):
        faults.append(f"a row came twice: {[i for i, n in Counter(r[0] for r in rows).items() if n > 1][:5]}")
    for row, distance in rows:
        if row not in true:
            faults.append(f"row {row} is not there")
        elif abs(true[row] - distance) > 1e-6 * (1 + abs(distance)):
            faults.append(f"row {row} at {distance} is at {true[row]}")
    return faults[:5]


class Table:
    def __init__(self, name: str, operator: str):
        self.name, self.operator = name, operator

    def scan(self) -> str:
        return f"SELECT id, v {self.operator} %s FROM {self.name} ORDER BY v {self.operator} %s"

    def true(self, conn: psycopg.Connection, query: str) -> dict[int, float]:
        """What a sequential scan finds, in this transaction's snapshot."""
        conn.execute("SET LOCAL enable_indexscan = off")
        conn.execute("SET LOCAL enable_seqscan = on")
        rows = conn.execute(f"SELECT id, v {self.operator} %s FROM {self.name}", (query,)).fetchall()
        conn.execute("SET LOCAL enable_indexscan = on")
        conn.execute("SET LOCAL enable_seqscan = off")
        return dict(rows)

    def a_vector(self, conn: psycopg.Connection, condition: str = "") -> tuple[int, str] | None:
        conn.execute("SET LOCAL enable_seqscan = on")
        row = conn.execute(f"SELECT id, v::text FROM {self.name} {condition} ORDER BY random() LIMIT 1").fetchone()
        conn.execute("SET LOCAL enable_seqscan = off")
        return row


def begin(conn: psycopg.Connection, ef: int) -> None:
    conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    conn.execute("SET LOCAL enable_seqscan = off")
    conn.execute("SET LOCAL enable_sort = off")
    conn.execute(f"SET LOCAL hnsw.ef_search = {ef}")


class Scan:
    """A scan of one table that is begun, left alone, and read to its end.

    Begun at an anchor (see 003_standby.pl) its pin on a page of the table is in
    nobody's way, and the replay of VACUUM need not cancel it; "deep" ones, read
    further, it may.
    """

    def __init__(self, table: Table, ef: int, deep: bool):
        self.table, self.ef, self.deep = table, ef, deep
        self.faults: list[str] = []
        self.cancelled = False
        self.rows: list[Row] = []
        self.conn = connect()
        try:
            self.open()
        except psycopg.Error as e:
            self.error(e)

    def open(self) -> None:
        for _ in range(20):
            begin(self.conn, self.ef)
            anchor = self.table.a_vector(self.conn, "WHERE ctid < '(1,0)'")
            assert anchor is not None, f"{self.table.name} has no anchors"
            self.query = anchor[1]
            self.before = self.table.true(self.conn, self.query)
            self.conn.execute("DECLARE c NO SCROLL CURSOR FOR " + self.table.scan(), (self.query, self.query))
            self.rows = self.conn.execute(f"FETCH {30 if self.deep else 1} FROM c").fetchall()
            if self.deep or (self.rows and self.rows[0][0] == anchor[0]):
                return
            # an anchor with a twin elsewhere
            self.conn.execute("ROLLBACK")
        self.faults.append("no anchor is the nearest to itself")

    def finish(self) -> None:
        if not self.cancelled and not self.faults:
            try:
                self.rows += self.conn.execute("FETCH ALL FROM c").fetchall()
                after = self.table.true(self.conn, self.query)
                self.conn.execute("COMMIT")
                if after != self.before:
                    self.faults.append("the snapshot changed")
                self.faults += row_faults(self.rows, after)
                if self.ef == MOST_EF:
                    self.faults += order_faults(self.rows, 0)
                    if len(self.rows) != len(after):
                        self.faults.append(f"{len(self.rows)} rows of {len(after)}")
                else:
                    self.faults += order_faults(self.rows, 10)
                    if len(self.rows) < min(self.ef, len(after)):
                        self.faults.append(f"{len(self.rows)} rows of {len(after)}")
            except psycopg.Error as e:
                self.error(e)
        self.conn.close()

    def error(self, e: psycopg.Error) -> None:
        if is_conflict(e) or is_away(e):
            self.cancelled = True
        else:
            self.faults.append(f"{e.sqlstate} {e}")


class Searcher(threading.Thread):
    """Searches at random until it is told to stop."""

    def __init__(self, tables: list[Table]):
        super().__init__()
        self.tables = tables
        self.stopping = False
        self.faults: list[str] = []
        self.searches = self.cancelled = self.away = self.hits = self.wanted = 0

    def run(self) -> None:
        conn = None
        while not self.stopping:
            try:
                if conn is None or conn.closed:
                    conn = connect()
                self.search(conn, random.choice(self.tables), random.choice((10, 40, 200)))
                self.searches += 1
                time.sleep(0.005)  # replay and the writers need the processors, too
            except psycopg.Error as e:
                if is_conflict(e):
                    self.cancelled += 1
                elif is_away(e):
                    self.away += 1
                    time.sleep(0.05)
                else:
                    self.faults.append(f"{e.sqlstate} {e}")
                    time.sleep(0.05)
                if conn is not None:
                    conn.close()

    def search(self, conn: psycopg.Connection, table: Table, ef: int) -> None:
        begin(conn, ef)
        some = table.a_vector(conn)
        if some is not None:
            rows = conn.execute(table.scan() + " LIMIT 10", (some[1], some[1])).fetchall()
            true = table.true(conn, some[1])
            faults = row_faults(rows, true) + order_faults(rows, 6)
            if len(rows) != min(10, len(true)):
                faults.append(f"{len(rows)} rows of {len(true)}")
            self.faults += [f"{table.name}, ef_search {ef}: {f}" for f in faults]
            if ef == 200 and rows:
                bound = sorted(true.values())[len(rows) - 1]
                self.hits += sum(r[1] <= bound + 1e-6 * (1 + abs(bound)) for r in rows)
                self.wanted += len(rows)
        conn.execute("COMMIT")


def search(tables: list[Table]) -> None:
    searcher = Searcher(tables)
    searcher.start()
    scans: list[Scan] = []
    before = 0
    try:
        for line in sys.stdin:
            command = line.strip()
            answer: dict = {"did": command}
            if command == "open":
                before = searcher.searches
                scans = [Scan(table, ef, deep) for table in tables
                         for ef, deep in ((MOST_EF, False), (20, False), (MOST_EF, True))]
            elif command == "finish":
                for scan in scans:
                    scan.finish()
                while searcher.is_alive() and searcher.searches < before + 10:
                    time.sleep(0.005)
                answer["whole"] = sum(not s.cancelled and not s.faults for s in scans if not s.deep)
                answer["of"] = sum(not s.deep for s in scans)
                answer["deep"] = sum(not s.cancelled and not s.faults for s in scans if s.deep)
                answer["rows"] = sum(len(s.rows) for s in scans)
                answer["faults"] = [f"{s.table.name}, ef_search {s.ef}{', deep' if s.deep else ''}: {f}"
                                    for s in scans for f in s.faults]
                answer["cancelled"] = [f"{s.table.name}, ef_search {s.ef}" for s in scans if s.cancelled and not s.deep]
            elif command == "stop":
                searcher.stopping = True
                searcher.join()
                answer.update(searches=searcher.searches, cancelled=searcher.cancelled, away=searcher.away,
                              faults=searcher.faults[:10],
                              recall=searcher.hits / searcher.wanted if searcher.wanted else 0)
            print(json.dumps(answer), flush=True)
            if command == "stop":
                return
    finally:
        searcher.stopping = True


def main() -> None:
    if sys.argv[1] == "words":
        _, vectors = load_words()
        rows = int(sys.argv[2])
        with connect() as conn:
            conn.execute(f"CREATE TABLE words (id int PRIMARY KEY, embedding vector({vectors.shape[1]}))")
            copy_rows(conn, "words", np.arange(rows), vectors[:rows])
    else:
        spec = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
        search([Table(name, operator) for name, operator in sorted(spec.items())])


if __name__ == "__main__":
    main()
