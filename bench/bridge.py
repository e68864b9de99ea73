#!/usr/bin/env python3
"""The extension vectorx_pgvector: vectorx indexes of pgvector's types, in a database with pgvector.

On the peer server (server.py).  Each check is a line "ok" or "not ok"; what cannot run says "not run".  Of the symbols of
the libraries t/016_beside.pl asks, too, on a server of any version.
"""
from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import psycopg

import server
from beside import Tests
from migrate import PASSING, create, extensions, make_source, program

# Operator class, its operator, an expression for values of its type of a vector x of 16 dimensions, and the column's type.
CLASSES = [(f"{kind}_{metric}_ops", operator, value, column)
           for kind, value, column in (("vector", "x", "vector(16)"), ("halfvec", "x::halfvec", "halfvec(16)"), ("sparsevec", "x::sparsevec", "sparsevec(16)"))
           for metric, operator in (("l2", "<->"), ("ip", "<#>"), ("cosine", "<=>"), ("l1", "<+>"))]
CLASSES += [("bit_hamming_ops", "<~>", "binary_quantize(x)", "bit(16)"), ("bit_jaccard_ops", "<%>", "binary_quantize(x)", "bit(16)")]

ROWS = """
CREATE FUNCTION waves(seed int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	$$SELECT array_agg(sin(seed * 12.9898 + i * (seed % 97) * 0.233 + i) ORDER BY i)::vector FROM generate_series(1, 16) i$$;
CREATE TABLE vectors (id int PRIMARY KEY, x vector(16));
INSERT INTO vectors SELECT i, waves(i) FROM generate_series(1, 3000) i;
"""
# An access method's operator classes: the operators' and functions' names, and what the functions are in the library.
OPCLASSES = """
SELECT c.opcname, c.opcintype::regtype::text, c.opcdefault,
	(SELECT array_agg(format('%%s %%s %%s %%s', s.amopstrategy, o.oprname, o.oprright::regtype, s.amoppurpose) ORDER BY s.amopstrategy)
		FROM pg_amop s JOIN pg_operator o ON o.oid = s.amopopr WHERE s.amopfamily = c.opcfamily),
	(SELECT array_agg(format('%%s %%s %%s %%s', a.amprocnum, p.prosrc, p.provolatile, p.proisstrict) ORDER BY a.amprocnum)
		FROM pg_amproc a JOIN pg_proc p ON p.oid = a.amproc WHERE a.amprocfamily = c.opcfamily)
FROM pg_opclass c JOIN pg_am m ON m.oid = c.opcmethod WHERE m.amname = %s ORDER BY 1, 2
"""


def plan_of(conn: psycopg.Connection, query: str) -> str:
    return "\n".join(row[0] for row in conn.execute(f"EXPLAIN (COSTS off) {query}"))


def ids(conn: psycopg.Connection, query: str) -> list:
    return [row[0] for row in conn.execute(query)]


def symbols(tests: Tests, here: server.Server) -> None:
    """No library can bind another's names, whichever comes first."""
    folder = subprocess.run([here.bindir / "pg_config", "--pkglibdir"], capture_output=True, text=True, check=True).stdout.strip()
    names = {}
    for library in ("vector", "vectorx", "vectorx_pgvector"):
        for what in ("--defined-only", "--undefined-only"):
            out = subprocess.run(["nm", "-D", what, f"{folder}/{library}.so"], capture_output=True, text=True, check=True).stdout
            names[library, what] = {line.split()[-1].split("@")[0] for line in out.splitlines()}
    looked_up = {"_PG_init", "Pg_magic_func"}
    for ours in ("vectorx", "vectorx_pgvector"):
        for what, mine, theirs in (("defines", "--defined-only", "--defined-only"), ("needs", "--undefined-only", "--defined-only"),
                                   ("has what pgvector needs", "--defined-only", "--undefined-only")):
            both = {name for name in names[ours, mine] & names["vector", theirs] if not name.startswith("__")} - looked_up
            tests.check(not both, f"{ours}.so {what} nothing of pgvector's", both)


def classes(tests: Tests, here: server.Server) -> None:
    """Every operator class: both indexes on one column, ours is cheaper, and finds the rows."""
    with here.connect("vectorx") as mine, here.connect("bridge") as bridge:
        bridge.execute("CREATE EXTENSION vectorx_pgvector")
        a, b = mine.execute(OPCLASSES, ("hnsw",)).fetchall(), bridge.execute(OPCLASSES, ("vectorx",)).fetchall()
        tests.check(a == b and len(b) == len(CLASSES), "operator classes are those of hnsw in vectorx", (a, b))
        good = bridge.execute("SELECT bool_and(amvalidate(c.oid)) FROM pg_opclass c JOIN pg_am m ON m.oid = c.opcmethod WHERE m.amname = 'vectorx'").fetchone()
        tests.check(good == (True,), "and valid", good)
        bridge.execute(ROWS)
        for name, operator, value, column in CLASSES:
            bridge.execute(f"CREATE TABLE {name} AS SELECT id, ({value})::{column} AS v FROM vectors;"
                           f" CREATE INDEX {name}_theirs ON {name} USING hnsw (v {name}); CREATE INDEX {name}_ours ON {name} USING vectorx (v {name}); ANALYZE {name}")
            bridge.execute("SET enable_seqscan = off")
            queries = ids(bridge, f"SELECT v::text FROM {name} ORDER BY id LIMIT 20")
            found = 0
            for query in queries:
                order = f"SELECT v {operator} '{query}' FROM {name} ORDER BY v {operator} '{query}' LIMIT 10"
                bridge.execute("SET enable_indexscan = off")
                far = ids(bridge, order)[-1]
                bridge.execute("SET enable_indexscan = on")
                found += sum(d <= far + 1e-6 for d in ids(bridge, order))
            plan = plan_of(bridge, order)
            tests.check(f"Index Scan using {name}_ours" in plan, f"{name}: of two indexes ours is taken", plan)
            tests.check(found >= 190, f"{name}: {found} of 200 nearest are found", found)
            bound = f"SELECT id FROM {name} WHERE v {operator} '{queries[0]}' <= {far} ORDER BY 1"
            bridge.execute("SET enable_indexscan = off")
            exact = ids(bridge, bound)
            bridge.execute("SET enable_indexscan = on; SET enable_bitmapscan = off")
            plan = plan_of(bridge, bound)
            got = ids(bridge, bound)
            tests.check(f"{name}_ours" in plan and set(got) <= set(exact) and len(got) >= 0.9 * len(exact), f"{name}: within a distance", (plan, len(got), len(exact)))
            bad = bridge.execute(f"SELECT * FROM vectorx_check('{name}_ours')").fetchall()
            tests.check(not bad, f"{name}: sound", bad)
            bridge.execute("SET vectorx.enable = off")
            plan = plan_of(bridge, order)
            tests.check(f"Index Scan using {name}_theirs" in plan, f"{name}: vectorx.enable = off leaves pgvector's", plan)
            bridge.execute(f"RESET vectorx.enable; DROP INDEX {name}_theirs")
        bridge.execute("RESET enable_seqscan")


def startup_cost(conn: psycopg.Connection, setting: str) -> float:
    conn.execute(setting)
    plan = conn.execute("EXPLAIN (FORMAT json) SELECT id FROM vector_l2_ops ORDER BY v <-> waves(7) LIMIT 3").fetchone()[0][0]["Plan"]
    return plan["Plans"][0]["Startup Cost"]


def sessions(tests: Tests, here: server.Server) -> None:
    """Settings from the first statement on, each for its own index; workers of parallel plans, builds and merges."""
    with here.connect("bridge") as conn:
        conn.execute("SET vectorx.enable = off; SET enable_seqscan = off")
        plan = plan_of(conn, "SELECT id FROM vector_l2_ops ORDER BY v <-> waves(7) LIMIT 3")
        tests.check("Index Scan using vector_l2_ops_ours" not in plan, "vectorx.enable = off as the first statement", plan)
    with here.connect("bridge") as conn:
        low = startup_cost(conn, "SET vectorx.ef_search = 10")
        tests.check(low < startup_cost(conn, "SET vectorx.ef_search = 400"), "vectorx.ef_search is for our indexes")
        tests.check(low == startup_cost(conn, "SET vectorx.ef_search = 10; SET hnsw.ef_search = 400"), "hnsw.ef_search is not")
        try:
            conn.execute("SET vectorx.ef_search = 0")
            tests.check(False, "SET vectorx.ef_search = 0 is refused")
        except psycopg.Error as e:
            tests.check(e.sqlstate == "22023", "SET vectorx.ef_search = 0 is refused", e)
        try:
            conn.execute("CREATE INDEX theirs ON vector_l2_ops USING hnsw (v vector_l2_ops); SELECT vectorx_info('theirs')")
            tests.check(False, "vectorx_info of pgvector's index is refused")
        except psycopg.Error as e:
            tests.check("\"theirs\" is not a vectorx index" in str(e), "vectorx_info of pgvector's index is refused", e)
        conn.execute("SET enable_seqscan = off; SET debug_parallel_query = on; SET vectorx.ef_search = 90; SET vectorx.iterative_scan = off")
        rows = ids(conn, "SELECT count(*) FROM (SELECT id FROM vector_l2_ops ORDER BY v <-> waves(7) LIMIT 200) s")
        tests.check(rows == [90], "settings reach a parallel worker", rows)
        conn.execute("RESET debug_parallel_query; RESET vectorx.iterative_scan")
        conn.execute("CREATE TABLE large AS SELECT i AS id, waves(i) AS v FROM generate_series(1, 20000) i; ALTER TABLE large ALTER v TYPE vector(16)")
        conn.execute("SET max_parallel_maintenance_workers = 2; SET client_min_messages = debug1")
        told: list[str] = []
        conn.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
        conn.execute("CREATE INDEX large_v ON large USING vectorx (v vector_l2_ops); RESET client_min_messages")
        good = conn.execute("SELECT live_nodes > 15000, (SELECT count(*) FROM vectorx_check('large_v')) FROM vectorx_info('large_v')").fetchone()
        tests.check(good == (True, 0) and "using 2 parallel workers" in told, "an index is built in parallel", (good, told))
        many = conn.execute("SELECT count(DISTINCT query), count(*) FROM vectorx_search('large_v', (SELECT array_agg(v) FROM large WHERE id <= 400), 5)").fetchone()
        tests.check(many == (400, 2000), "vectorx_search", many)
        # a statement of many rows would merge by itself
        conn.execute("DO $$ BEGIN FOR i IN 20001 .. 23500 LOOP INSERT INTO large VALUES (i, waves(i) + waves(i + 1)); END LOOP; END $$")
        for _ in range(600):
            if conn.execute("SELECT merges > 0 FROM vectorx_info('large_v')").fetchone() == (True,):
                break
            time.sleep(0.1)
        got = conn.execute("SELECT merges > 0, merged_rows, vectorx_merge('large_v') FROM vectorx_info('large_v')").fetchone()
        tests.check(got[0], "the worker that merges comes", got)
        conn.execute("DELETE FROM large WHERE id % 3 = 0")
        conn.execute("VACUUM large")
        good = conn.execute("SELECT dead_nodes, (SELECT count(*) FROM vectorx_check('large_v')) FROM vectorx_info('large_v')").fetchone()
        tests.check(good == (0, 0), "VACUUM", good)
        stats = conn.execute("SELECT scans > 0 FROM pg_stat_vectorx_indexes WHERE indexrelname = 'vector_l2_ops_ours'").fetchone()
        tests.check(stats == (True,), "pg_stat_vectorx_indexes", stats)


def dump_of(here: server.Server, database: str) -> str:
    done = program(here, "pg_dump", database)
    done.check_returncode()
    return PASSING.sub("", done.stdout)


def catalogues(tests: Tests, here: server.Server, ours: Path) -> None:
    """Dump and restore, updates of pgvector, schemas, what is refused."""
    make_source(here, "app", "ext")
    with here.connect("app") as conn:
        conn.execute("CREATE EXTENSION vectorx_pgvector SCHEMA public")
        made = 0
        for name, definition in conn.execute("SELECT indexname, indexdef FROM pg_indexes WHERE indexdef LIKE '%USING hnsw%' AND tablename NOT LIKE 'documents%'").fetchall():
            conn.execute(re.sub(rf"INDEX {name} ", f"INDEX {name}_x ", definition).replace("USING hnsw", "USING vectorx"))
            made += 1
        conn.execute("CREATE INDEX documents_x ON app.documents USING vectorx (v vector_cosine_ops)")
        tests.check(made == 19, "pgvector's hnsw indexes of every kind, as vectorx", made)
    dump = dump_of(here, "app")
    create(here, "again", "SET search_path = public, ext")
    done = program(here, "psql", "-Xq", "-v", "ON_ERROR_STOP=1", "again", text=dump)
    tests.check(done.returncode == 0 and not done.stderr, "a dump is restored", done.stderr)
    tests.check(dump_of(here, "again") == dump, "and is the same again")
    with here.connect("again") as conn:
        for name in ids(conn, "SELECT c.oid::regclass FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE amname IN ('hnsw', 'ivfflat') AND NOT relispartition"):
            conn.execute(f"DROP INDEX {name}")
        for settings in ("SET enable_seqscan = off; SET enable_sort = off", "SET vectorx.enable = off; RESET enable_seqscan; RESET enable_sort"):
            conn.execute(settings)
            wrong = [statement for statement, answer in conn.execute("SELECT statement, answer FROM asked").fetchall() if conn.execute(statement).fetchone() != (answer,)]
            tests.check(not wrong, f"pgvector's answers, {settings}", wrong)
        bad = conn.execute("SELECT indexrelname, problem FROM pg_stat_vectorx_indexes, vectorx_check(indexrelid)").fetchall()
        tests.check(not bad, "all indexes are sound", bad)
        rows = tests.statements("ALTER EXTENSION vector UPDATE", conn, "UPDATE pg_extension SET extversion = '0.8.0' WHERE extname = 'vector'", "ALTER EXTENSION vector UPDATE",
                                "SELECT extversion FROM pg_extension WHERE extname = 'vector'",
                                "RESET vectorx.enable", "SET enable_seqscan = off", "SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> '[1,2,3,4,5,6,7,8]' LIMIT 5) s")
        tests.check(rows and rows[2] == [("0.8.6",)] and rows[-1] == [(5,)], "from 0.8.0 to 0.8.6", rows)
        tests.statements("either extension moves to another schema", conn, "CREATE SCHEMA moved", "ALTER EXTENSION vectorx_pgvector SET SCHEMA moved", "ALTER EXTENSION vector SET SCHEMA moved",
                         "SET search_path = moved, public", "INSERT INTO items (id, tag, v) VALUES (99, 'late', '[1,2,3,4,5,6,7,8]')",
                         "SELECT id FROM items WHERE v <-> '[1,2,3,4,5,6,7,8]' < 2", "SELECT * FROM pg_stat_vectorx_indexes, vectorx_check(indexrelid)")
        for statement, why in (("DROP EXTENSION vector", "other objects depend on it"), ("CREATE EXTENSION vectorx", "cannot both be in a database")):
            try:
                conn.execute(statement)
                tests.check(False, f"{statement} is refused")
            except psycopg.Error as e:
                tests.check(why in str(e), f"{statement} is refused: {why}", e)
        tests.statements("DROP EXTENSION vectorx_pgvector CASCADE", conn, "DROP EXTENSION vectorx_pgvector CASCADE", "SELECT id FROM items ORDER BY v <-> '[1,2,3,4,5,6,7,8]' LIMIT 1", "DROP EXTENSION vector CASCADE")
    create(here, "as_vector", f"SET extension_control_path = '{ours}:$system'")
    for database, first, why in (("as_vector", "CREATE EXTENSION vector", "is vectorx in this database, not pgvector"), ("vectorx", "SELECT 1", "required extension \"vector\" is not installed")):
        with here.connect(database) as conn:
            conn.execute(first)
            try:
                conn.execute("CREATE EXTENSION vectorx_pgvector")
                tests.check(False, f"vectorx_pgvector in {database} is refused")
            except psycopg.Error as e:
                tests.check(why in str(e), f"vectorx_pgvector in {database} is refused: {why}", e)
    create(here, "catalog")
    with here.connect("catalog") as conn:
        tests.statements("both in pg_catalog", conn, "CREATE EXTENSION vector SCHEMA pg_catalog", "CREATE TYPE vector_sphere AS (users int)",
                         "CREATE EXTENSION vectorx_pgvector SCHEMA pg_catalog", "SET search_path = ''", "CREATE TABLE public.items AS SELECT '[1,2]'::vector(2) AS v",
                         "CREATE INDEX ON public.items USING vectorx (v vector_l2_ops)", "SELECT * FROM pg_stat_vectorx_indexes")


def preloaded(tests: Tests, here: server.Server) -> None:
    """Three libraries in one process, in any order, with settings in postgresql.conf."""
    for libraries in ("vectorx_pgvector", "vector, vectorx, vectorx_pgvector", "vectorx_pgvector, vectorx, vector", "vectorx, vectorx_pgvector"):
        here.restart({"shared_preload_libraries": libraries, "vectorx.ef_search": "77", "vectorx.simd": "generic"})
        with here.connect("bridge") as conn:
            conn.execute("SET enable_seqscan = off")
            got = conn.execute("SELECT current_setting('vectorx.ef_search'), current_setting('vectorx.simd'), count(*) FROM (SELECT id FROM vector_l2_ops ORDER BY v <-> waves(7) LIMIT 3) s").fetchone()
            tests.check(got == ("77", "generic", 3), f"preloaded {libraries}: beside pgvector", got)
        with here.connect("vectorx") as conn:
            got = conn.execute("SET hnsw.ef_search = 90; CREATE TEMP TABLE t (v vector(2)); CREATE INDEX ON t USING hnsw (v vector_l2_ops); INSERT INTO t VALUES ('[1,2]');"
                               " SET enable_seqscan = off; SELECT v::text FROM t ORDER BY v <-> '[1,1]'").statusmessage
            tests.check(got == "SET" or got is not None, f"preloaded {libraries}: vectorx itself", got)
            tests.check(ids(conn, "SELECT v::text FROM t ORDER BY v <-> '[1,1]'") == ["[1,2]"], f"preloaded {libraries}: vectorx finds")
        with here.connect("pgvector") as conn:
            conn.execute("CREATE TEMP TABLE t (v vector(2)); CREATE INDEX ON t USING hnsw (v vector_l2_ops); INSERT INTO t VALUES ('[1,2]'); SET enable_seqscan = off")
            tests.check(ids(conn, "SELECT v::text FROM t ORDER BY v <-> '[1,1]'") == ["[1,2]"], f"preloaded {libraries}: pgvector finds")
    here.restart({"shared_preload_libraries": "", "vectorx.ef_search": "40", "vectorx.simd": "auto"})


def upgraded(tests: Tests, here: server.Server) -> None:
    """pg_upgrade, to the same version: indexes stay as they are.  The last: another server is there then."""
    old, new = here.dir / "data", here.dir / "new"
    with here.connect() as conn:
        # made under another control path, whose files pg_upgrade's server does not find
        conn.execute("DROP DATABASE as_vector")
        conn.execute("ALTER SYSTEM RESET extension_control_path")
    here.control("-m", "fast", "stop")
    server.run_as_server([str(here.bindir / "initdb"), "-D", str(new), "-U", "postgres", "-A", "trust", "--no-sync", "--locale=C", "--encoding=UTF8"])
    command = ["env", "-C", str(here.dir), str(here.bindir / "pg_upgrade"), "-b", str(here.bindir), "-B", str(here.bindir), "-d", str(old), "-D", str(new), "-U", "postgres", "-s", str(here.dir),
               # of a database with extensions in pg_catalog
               "-O", "-c allow_system_table_mods=on"]
    for more in (["--check"], []):
        try:
            server.run_as_server(command + more)
            tests.check(True, f"pg_upgrade {' '.join(more)}".strip())
        except RuntimeError as e:
            tests.check(False, "pg_upgrade", str(e)[-3000:])
            here.control("start")
            return
    (new / "postgresql.conf").write_bytes((old / "postgresql.conf").read_bytes())
    old.rename(here.dir / "old")
    new.rename(old)
    here.control("start")
    with here.connect("bridge") as conn:
        conn.execute("SET enable_seqscan = off")
        plan = plan_of(conn, "SELECT id FROM vector_l2_ops ORDER BY v <-> waves(7) LIMIT 3")
        tests.check("vector_l2_ops_ours" in plan and ids(conn, "SELECT id FROM vector_l2_ops ORDER BY v <-> waves(7) LIMIT 1") == [7], "a search after pg_upgrade", plan)
        bad = conn.execute("SELECT indexrelname, problem FROM pg_stat_vectorx_indexes, vectorx_check(indexrelid)").fetchall()
        tests.check(not bad, "all indexes are sound", bad)


def main() -> None:
    server.stop_on_signal()
    tests = Tests()
    try:
        with server.start() as here, extensions(here) as (ours, _):
            create(here, "bridge")
            with here.connect("bridge") as conn:
                conn.execute("CREATE EXTENSION vector")
            symbols(tests, here)
            classes(tests, here)
            sessions(tests, here)
            catalogues(tests, here, ours)
            preloaded(tests, here)
            upgraded(tests, here)
    except server.Unavailable as e:
        print(f"not run: vectorx_pgvector: {e}")
        return
    sys.exit(1 if tests.failed else 0)


if __name__ == "__main__":
    main()
