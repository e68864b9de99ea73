#!/usr/bin/env python3
"""vectorx and pgvector in one process: preloaded in any order, one replaced by the other.

On the peer server (server.py), which has both libraries; t/016_beside.pl asks the
same of a server of any version, with a library that stands in for pgvector's.
Each check is a line "ok" or "not ok"; what cannot run says "not run".
"""
from __future__ import annotations

import re
import subprocess
import sys

import psycopg

import server

FORM = """
CREATE TABLE items (id serial PRIMARY KEY, v vector(3));
INSERT INTO items (v) SELECT ARRAY[i % 7, i % 11, i % 13]::vector FROM generate_series(1, 600) i;
CREATE INDEX items_v ON items USING hnsw (v vector_l2_ops);
ANALYZE items;
SET enable_seqscan = off;
"""
NEAREST = "SELECT id FROM items ORDER BY v <-> '[3,4,5]' LIMIT 1"
PRELOADED = ("vector", "vectorx", "vector, vectorx", "vectorx, vector")
WAYS = ("shared_preload_libraries", "session_preload_libraries")


class Tests:
    """Counts checks, a line each."""

    def __init__(self) -> None:
        self.failed = 0

    def check(self, good: bool, what: str, detail: object = "") -> None:
        print(f"ok {what}" if good else f"not ok {what}: {detail}", flush=True)
        self.failed += not good

    def statements(self, what: str, conn: psycopg.Connection, *sql: str) -> list:
        """Run statements, none of which may fail; the rows of each."""
        results = []
        for statement in sql:
            try:
                cursor = conn.execute(statement)
                results.append(cursor.fetchall() if cursor.description else [])
            except psycopg.Error as e:
                self.check(False, what, f"{statement}: {e}")
                return []
        self.check(True, what)
        return results


def startup_cost(conn: psycopg.Connection, ef: int) -> float:
    """What the plan of a search costs before its first row, which grows with the ef used."""
    conn.execute(f"SET hnsw.ef_search = {ef}")
    plan = conn.execute(f"EXPLAIN (FORMAT json) {NEAREST}").fetchone()[0][0]["Plan"]
    conn.execute("RESET hnsw.ef_search")
    return plan["Plans"][0]["Startup Cost"]


def works(tests: Tests, here: server.Server, system: str, when: str) -> None:
    """A new session of a system's database: settings first, then what an index is for."""
    with here.connect(system) as conn:
        rows = tests.statements(f"{when}: statements of {system}", conn, "SET hnsw.ef_search = 90", FORM, NEAREST,
                                "SHOW hnsw.ef_search", "DROP TABLE items")
        tests.check(len(rows) == 5 and rows[3] == [("90",)], f"{when}: {system} takes the first statement's setting",
                    rows)


def preloaded(tests: Tests, here: server.Server) -> None:
    """Both libraries in one process, each for its database."""
    for way in WAYS:
        for libraries in PRELOADED:
            when = f"{way} = {libraries}"
            here.restart({name: libraries if name == way else "" for name in WAYS})
            for system in server.SYSTEMS:
                works(tests, here, system, when)
            with here.connect("vectorx") as conn:
                conn.execute(FORM)
                tests.check(startup_cost(conn, 10) < startup_cost(conn, 400), f"{when}: vectorx uses the setting")
                conn.execute("DROP TABLE items")
    here.restart(dict.fromkeys(WAYS, ""))


def migration(tests: Tests, here: server.Server) -> None:
    """One extension for the other in one session."""
    with here.connect() as conn:
        conn.execute("CREATE DATABASE migration")
    notices: list[str] = []
    with here.connect("migration") as conn:
        conn.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        rows = tests.statements("pgvector to vectorx in one session", conn, "CREATE EXTENSION vector", FORM, NEAREST,
                                "SET hnsw.ef_search = 77", "DROP TABLE items", "DROP EXTENSION vector",
                                "CREATE EXTENSION vectorx", FORM, NEAREST, "SHOW hnsw.ef_search",
                                "SELECT * FROM hnsw_check('items_v')")
        tests.check(len(rows) == 11 and rows[2] == rows[8] and rows[9:] == [[("77",)], []],
                    "the setting stays, the index is sound", rows)
        tests.check(startup_cost(conn, 10) < startup_cost(conn, 400), "vectorx uses the other library's setting")
        notices.clear()
        conn.execute("SET enable_seqscan = off; SET enable_sort = off; SET hnsw.ef_search = 40")
        counts = []
        for mode in ("relaxed_order", "off"):
            conn.execute(f"SET hnsw.iterative_scan = {mode}")
            counts.append(conn.execute("SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> '[3,4,5]') s").fetchone())
        tests.check(counts == [(600,), (40,)], "vectorx uses the other library's settings of scans", counts)
        tests.check(not notices, "without a word", notices)
        plan = "\n".join(r[0] for r in conn.execute(f"EXPLAIN (ANALYZE) {NEAREST}"))
        tests.check(conn.info.server_version < 180000 or "HNSW: width=40 searches=1" in plan,
                    "EXPLAIN (ANALYZE) tells what a scan has done", plan)
        conn.execute("DROP TABLE items; DROP EXTENSION vectorx")
    with here.connect("migration") as conn:
        tests.statements("vectorx to pgvector, no index of vectorx used", conn, "CREATE EXTENSION vectorx",
                         "SELECT '[1,2]'::vector <-> '[3,4]'", "DROP EXTENSION vectorx", "CREATE EXTENSION vector",
                         FORM, NEAREST, "DROP TABLE items", "DROP EXTENSION vector")
    # what the README says cannot be had, and what to do then
    with here.connect("migration") as conn:
        conn.execute("CREATE EXTENSION vectorx; " + FORM + NEAREST)
        conn.execute("DROP TABLE items; DROP EXTENSION vectorx")
        try:
            conn.execute("CREATE EXTENSION vector")
            tests.check(False, "vectorx to pgvector, an index of vectorx used", "is possible: docs/differences.md says it is not")
        except psycopg.Error as e:
            tests.check("attempt to redefine" in str(e), "vectorx to pgvector, an index of vectorx used: refused", e)
    with here.connect("migration") as conn:
        tests.statements("and works in a new session", conn, "CREATE EXTENSION vector", FORM, NEAREST)


def searches_told(tests: Tests, here: server.Server) -> None:
    """EXPLAIN ANALYZE, from PostgreSQL 18 on: an index scan and its rescans are a search each."""
    with here.connect("vectorx") as conn:
        conn.execute(FORM)
        for query, count in ((NEAREST, 1),
                             ("SELECT (SELECT id FROM items i WHERE o.id > 0 ORDER BY i.v <-> o.v LIMIT 1) FROM items o "
                              "WHERE o.id <= 7", 7)):
            plan = "\n".join(row[0] for row in conn.execute(f"EXPLAIN (ANALYZE, COSTS off, TIMING off) {query}"))
            tests.check(f"Index Searches: {count}\n" in plan, f"EXPLAIN ANALYZE counts {count} searches", plan)
        conn.execute("DROP TABLE items")


TYPES = """
CREATE TABLE of_types (id serial PRIMARY KEY, v vector(3), h halfvec(3), s sparsevec(3), b bit(3));
INSERT INTO of_types (v) SELECT ARRAY[i % 7, i % 11, i % 13 - 5]::vector FROM generate_series(1, 300) i;
UPDATE of_types SET h = v::halfvec, s = v::sparsevec, b = binary_quantize(v);
CREATE INDEX of_types_l2 ON of_types USING ivfflat (v vector_l2_ops) WITH (lists = 10);
CREATE INDEX of_types_cosine ON of_types USING ivfflat (v vector_cosine_ops);
CREATE INDEX of_types_half ON of_types USING ivfflat (h halfvec_ip_ops) WITH (lists = 5);
CREATE INDEX of_types_hnsw ON of_types USING hnsw (v vector_l1_ops) WITH (m = 8);
CREATE INDEX of_types_order ON of_types (s);
CREATE VIEW nearest AS SELECT id FROM of_types ORDER BY v <-> '[1,2,3]', s <=> '{1:1}/3', b <~> '101' LIMIT 3;
"""
# pgvector's ivfflat finds the nearest rows for certain only if it looks at all of its lists
STATEMENTS = ("SET ivfflat.probes = 10", "SELECT id, v::text, h::text, s::text, b FROM of_types ORDER BY id", "TABLE nearest",
              "SELECT indexdef FROM pg_indexes WHERE tablename = 'of_types' ORDER BY indexname")


def dump_and_restore(tests: Tests, here: server.Server) -> None:
    """A dump of pgvector's types and indexes, with the name of the extension replaced, is one of vectorx."""
    with here.connect() as conn:
        conn.execute("CREATE DATABASE dumped")
        conn.execute("CREATE DATABASE restored")
    with here.connect("dumped") as conn:
        before = tests.statements("pgvector: a table of every type", conn, "CREATE EXTENSION vector", TYPES, *STATEMENTS)
    dump = subprocess.run([here.bindir / "pg_dump", "dumped"], env=here.environment(), capture_output=True, text=True, check=True).stdout
    dump = re.sub(r"EXTENSION (IF NOT EXISTS )?vector\b", r"EXTENSION \1vectorx", dump)
    done = subprocess.run([here.bindir / "psql", "-q", "-X", "-v", "ON_ERROR_STOP=1", "restored"], env=here.environment(), input=dump, capture_output=True,
                          text=True, check=False)
    # a dump wants no notices, as of what ivfflat is
    tests.check(done.returncode == 0 and done.stderr == "", "its dump is restored with vectorx, without a word", done.stderr)
    with here.connect("restored") as conn:
        after = tests.statements("vectorx: the same statements", conn, *STATEMENTS)
        tests.check(after == before[2:], "rows, nearest rows and indexes are the same", (before, after))
        tests.check(conn.execute("SELECT count(*) FROM pg_stat_vectorx_indexes, hnsw_check(indexrelid)").fetchone() == (0,), "all indexes are sound")


def main() -> None:
    server.stop_on_signal()
    tests = Tests()
    try:
        with server.start() as here:
            searches_told(tests, here)
            preloaded(tests, here)
            migration(tests, here)
            dump_and_restore(tests, here)
    except server.Unavailable as e:
        print(f"not run: vectorx beside pgvector: {e}")
        return
    sys.exit(1 if tests.failed else 0)


if __name__ == "__main__":
    main()
