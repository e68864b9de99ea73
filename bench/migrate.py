#!/usr/bin/env python3
"""From pgvector to vectorx: a dump of pgvector is restored, by scripts/migrate-from-pgvector, under either name.

    .venv/bin/python bench/migrate.py           the checks, each a line "ok" or "not ok"
    .venv/bin/python bench/migrate.py --write   writes t/pgvector_dump.sql, which t/030_as_vector.pl restores

On the peer server (server.py), whose pgvector makes the database of t/pgvector.sql.  Its own files of "vector" are in the
way of ours there: those are put in a folder of their own, which the target's extension_control_path names.
"""
from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Iterator

import psycopg

import server
from beside import Tests

ROOT = server.ROOT
SCRIPT = ROOT / "scripts" / "migrate-from-pgvector"
SOURCE = ROOT / "t" / "pgvector.sql"
DUMP = ROOT / "t" / "pgvector_dump.sql"
VERSION = re.search(r"(?m)^default_version = '(.*)'", (ROOT / "vectorx.control").read_text())[1]
# Of the program and the server it was made by, or made anew each time.
PASSING = re.compile(r"^(\\(un)?restrict .*|-- Dumped .*|SET transaction_timeout = 0;)\n", re.M)
NEEDS = {"needs_vector.control": "default_version = '1'\nrequires = 'vector'\n",
         "needs_vector--1.sql": "CREATE FUNCTION origin(int) RETURNS vector LANGUAGE sql IMMUTABLE AS 'SELECT array_fill(0, ARRAY[$1])::vector';\n"}


def program(here: server.Server, *command: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=here.environment(), input=text, capture_output=True, text=True, check=False)


def dump_of(here: server.Server, database: str) -> str:
    done = program(here, "pg_dump", database)
    done.check_returncode()
    return PASSING.sub("", done.stdout)


def create(here: server.Server, database: str, *statements: str) -> None:
    with here.connect() as conn:
        conn.execute(f"CREATE DATABASE {database} TEMPLATE template0")
        for statement in statements:
            conn.execute(f"ALTER DATABASE {database} {statement}")


def make_source(here: server.Server, database: str, schema: str) -> None:
    """A database on pgvector, whose extension is in a schema."""
    create(here, database, f"SET search_path TO public, {schema}")
    with here.connect(database) as conn:
        conn.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}; CREATE EXTENSION vector SCHEMA {schema}")
    done = program(here, "psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-f", str(SOURCE), database)
    if done.returncode != 0:
        raise RuntimeError(f"{SOURCE}: {done.stderr}")


def migrate(here: server.Server, *arguments: str) -> tuple[int, str]:
    done = program(here, sys.executable, str(SCRIPT), *arguments)
    return done.returncode, done.stdout + done.stderr


def answers(tests: Tests, here: server.Server, database: str, what: str) -> None:
    """What pgvector has answered, with the indexes and without; all of which are sound."""
    with here.connect(database) as conn:
        for index in ("off", "on"):
            conn.execute(f"SET enable_indexscan = {index}; SET enable_sort = {'on' if index == 'off' else 'off'}")
            wrong = []
            for statement, answer in conn.execute("SELECT statement, answer FROM asked ORDER BY id").fetchall():
                now = conn.execute(statement).fetchone()
                if now != (answer,):
                    wrong.append((statement, answer, now))
            tests.check(not wrong, f"{what}: pgvector's answers, index scans {index}", wrong)
        indexes = conn.execute("SELECT count(*) FROM pg_stat_vectorx_indexes").fetchone()
        bad = conn.execute("SELECT relname, problem FROM pg_stat_vectorx_indexes, hnsw_check(indexrelid)").fetchall()
        tests.check(indexes == (28,) and not bad, f"{what}: 28 indexes, all sound", (indexes, bad))


def moved(tests: Tests, here: server.Server, ours: Path) -> None:
    """Under either name, with the extension in public or elsewhere."""
    for name, schema in (("vectorx", "public"), ("vector", "public"), ("vectorx", "ext"), ("vector", "ext")):
        what = f"pgvector in {schema}, to \"{name}\""
        target = f"{name}_{schema}"
        create(here, target, *([f"SET extension_control_path = '{ours}:$system'"] if name == "vector" else []))
        before = dump_of(here, f"source_{schema}")
        status, output = migrate(here, "--jobs=2", f"source_{schema}", f"dbname={target}")
        tests.check(status == 0 and output.endswith("all is the same\n") and f"extension \"{name}\"" in output, f"{what}: status 0", (status, output))
        tests.check(dump_of(here, f"source_{schema}") == before, f"{what}: the source is as it was")
        answers(tests, here, target, what)
        with here.connect(target) as conn:
            got = conn.execute("SELECT extname, extversion, vectorx_version() FROM pg_extension WHERE extname LIKE 'vector%'").fetchall()
            tests.check(got == [(name, "0.8.6" if name == "vector" else VERSION, VERSION)], f"{what}: the extension", got)
            if schema == "public":
                got = conn.execute("SELECT current_setting('hnsw.ef_search'), setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"
                                   " JOIN pg_roles r ON r.oid = s.setrole WHERE datname = current_database() AND rolname = 'postgres'").fetchall()
                tests.check(got == [("77", ["hnsw.ef_search=77"])], f"{what}: the role's settings", got)
        again = dump_of(here, target).replace("EXTENSION IF NOT EXISTS vectorx ", "EXTENSION IF NOT EXISTS vector ")
        again = re.sub(r"(?m)^(-- Name: EXTENSION|COMMENT ON EXTENSION) vectorx?\b.*\n", "", again)
        tests.check(sorted(re.sub(r"(?m)^(-- Name: EXTENSION|COMMENT ON EXTENSION) vector\b.*\n", "", before).splitlines())
                    == sorted(line.replace("Name: vectorx;", "Name: vector;") for line in again.splitlines()),
                    f"{what}: a dump of it is pgvector's")


def refused(tests: Tests, here: server.Server) -> None:
    """The other exit statuses."""
    create(here, "nothing")
    for arguments, why, status in ((("source_public", "vectorx_public"), "the target is not empty: .*items", 2),
                                   (("nothing", "nothing"), "no extension \"vector\"", 2),
                                   (("source_public", "no_such"), "does not exist", 2),
                                   (("source_public", "pgvector"), "is not vectorx; DROP EXTENSION vector first", 2)):
        got = migrate(here, *arguments)
        tests.check(got[0] == status and re.search(why, got[1]) is not None, f"{' to '.join(arguments)}: status {status}, {why}", got)
    for name, tag, does, status, why in (("other", "CREATE INDEX", "DELETE FROM items WHERE id = 1", 1,
                                          "differs: table public.items: 63 rows, in the target 62"),
                                         ("changed", "CREATE INDEX", "UPDATE items SET list[1] = '[0]' WHERE id = 2", 1,
                                          "differs: table public.items: the checksums of its 63 rows"),
                                         ("broken", "CREATE STATISTICS", "RAISE 'no statistics'", 3, "no statistics")):
        create(here, name)
        with here.connect(name) as conn:
            conn.execute(f"CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql SET search_path = public AS $$BEGIN {does}; END$$;"
                         f" CREATE EVENT TRIGGER t ON ddl_command_end WHEN TAG IN ('{tag}') EXECUTE FUNCTION f()")
        got = migrate(here, "source_public", name)
        tests.check(got[0] == status and why in got[1], f"a target that makes something else of it, {name}: status {status}", got)


def required(tests: Tests, here: server.Server, ours: Path, needs: Path) -> None:
    """An extension that requires "vector"."""
    with here.connect("source_ext") as conn:
        conn.execute("CREATE EXTENSION needs_vector SCHEMA ext")
    create(here, "needs_x")
    status, output = migrate(here, "source_ext", "needs_x")
    tests.check(status == 2 and "needs_vector" in output, "an extension requires \"vector\", to \"vectorx\": status 2", (status, output))
    create(here, "needs", f"SET extension_control_path = '{ours}:{needs}:$system'")
    status, output = migrate(here, "source_ext", "needs")
    tests.check(status == 0, "an extension requires \"vector\", to \"vector\": status 0", (status, output))
    with here.connect("needs") as conn:
        tests.check(conn.execute("SELECT ext.origin(2) OPERATOR(ext.<->) '[3,4]'").fetchone() == (5,), "and works there")


def swapped(tests: Tests, here: server.Server, ours: Path) -> None:
    """A database made by pgvector, where the files of "vector" are ours since: nothing takes it over, or harms it."""
    notices: list[str] = []
    create(here, "swapped")
    with here.connect("swapped") as conn:
        conn.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        conn.execute("CREATE EXTENSION vector; CREATE TABLE t (v vector(2)); INSERT INTO t VALUES ('[3,4]'); CREATE INDEX ON t USING hnsw (v vector_l2_ops)")
        conn.execute(f"SET extension_control_path = '{ours}:$system'")
        conn.execute("ALTER EXTENSION vector UPDATE")
        tests.check(any("already installed" in notice for notice in notices), "pgvector's catalogue, our files: ALTER EXTENSION vector UPDATE does nothing", notices)
        conn.execute("UPDATE pg_extension SET extversion = '0.8.5' WHERE extname = 'vector'")
        try:
            conn.execute("ALTER EXTENSION vector UPDATE")
            tests.check(False, "nor from 0.8.5, which is refused")
        except psycopg.Error as e:
            tests.check("has no update path from version \"0.8.5\" to version \"0.8.6\"" in str(e), "nor from 0.8.5, which is refused", e)
        tests.check(conn.execute("SELECT v <-> '[0,0]' FROM t ORDER BY 1").fetchone() == (5,), "and it is pgvector's as before")
        conn.execute("UPDATE pg_extension SET extversion = '0.8.6' WHERE extname = 'vector'; CREATE EXTENSION vectorx_pgvector")
    create(here, "unswapped")
    status, output = migrate(here, "swapped", "unswapped")
    tests.check(status == 2 and "the source has vectorx_pgvector" in output, "vectorx_pgvector in the source: status 2", (status, output))


ITEMS = ("CREATE TABLE items (id int PRIMARY KEY, v vector(3))", "INSERT INTO items SELECT i, ARRAY[i, 1, 2] FROM generate_series(1, 500) i",
         "CREATE INDEX ON items USING hnsw (v vector_l2_ops)")


def odd(tests: Tests, here: server.Server) -> None:
    """Databases whose names, encodings, schemas and settings are not the usual ones."""
    latin = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
    for name, options, target_options, schemas, statements in (
            ("schemas", "", "", ("ext", '"ext 2"'), ('CREATE TABLE "ext 2".t (x int)',)),
            ("catalog", "", "", ("pg_catalog",), ()),
            ("latin1", latin, latin, ("public",), ('CREATE TABLE "café" (x text)', "INSERT INTO \"café\" VALUES ('naïve')")),
            ("recoded", latin, "", ("public",), ('CREATE TABLE "café" (x text)', "INSERT INTO \"café\" VALUES ('naïve')")),
            ("ascii", "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'", "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'", ("public",),
             ('CREATE TABLE t (x text)', "INSERT INTO t VALUES (E'\\351')", 'DO $$ BEGIN EXECUTE format(\'CREATE TABLE %I (x int)\', E\'caf\\351\'); END $$')),
            ("settings", "", "", ("public",), ("ALTER DATABASE odd_settings SET default_transaction_read_only = on", "ALTER DATABASE odd_settings SET quote_all_identifiers = on",
                                               "ALTER DATABASE odd_settings SET idle_session_timeout = 300", "ALTER DATABASE odd_settings SET hnsw.ef_search = 66")),
            ("taken", "", "", ("public",), ("CREATE VIEW pg_stat_vectorx_indexes AS SELECT 1 AS x",))):
        with here.connect() as conn:
            conn.execute(f"CREATE DATABASE odd_{name} TEMPLATE template0 {options}")
            conn.execute(f"CREATE DATABASE odd_{name}_to TEMPLATE template0 {target_options}")
        with here.connect(f"odd_{name}") as conn:
            conn.execute("SET client_encoding = 'UTF8'")
            for schema in schemas:
                if schema not in ("public", "pg_catalog"):
                    conn.execute(f"CREATE SCHEMA {schema}")
            conn.execute(f"CREATE EXTENSION vector SCHEMA {schemas[0]}")
            conn.execute(f"SET search_path TO public, {schemas[0]}")
            for statement in (*ITEMS, *statements):
                conn.execute(statement)
        status, output = migrate(here, f"odd_{name}", f"odd_{name}_to")
        if name == "taken":
            tests.check(status == 3 and "already exists" in output, "a name of vectorx's that is taken: status 3", (status, output))
            continue
        tests.check(status == 0, f"{name}: moved, and all is the same", (status, output))
        with here.connect(f"odd_{name}_to") as conn:
            got = conn.execute("SELECT (SELECT count(*) FROM public.items), current_setting('hnsw.ef_search', true)").fetchone()
            tests.check(got[0] == 500 and (name != "settings" or got[1] == "66"), f"{name}: as it was", got)
    with here.connect() as conn:
        conn.execute("CREATE DATABASE ext_there TEMPLATE template0")
    with here.connect("ext_there") as conn:
        conn.execute("CREATE SCHEMA ext; CREATE EXTENSION vectorx SCHEMA ext")
    status, output = migrate(here, "odd_schemas", "ext_there")
    tests.check(status == 0, "with the extension there already", (status, output))
    with here.connect("ext_there") as conn:
        tests.check(conn.execute("SELECT to_regclass('\"ext 2\".t') IS NOT NULL").fetchone()[0], "a schema whose name begins with the extension's is moved")


def make_large(here: server.Server) -> None:
    create(here, "source_large")
    with here.connect("source_large") as conn:
        conn.execute("CREATE EXTENSION vector")
        conn.execute("CREATE TABLE items AS SELECT i AS id, ARRAY[random(), random(), random(), random()]::vector(4) AS v FROM generate_series(1, 50000) i")
        conn.execute("CREATE INDEX ON items USING hnsw (v vector_l2_ops) WITH (m = 8, ef_construction = 16)")


def ended(tests: Tests, here: server.Server) -> None:
    """SIGTERM in the middle of the restore: nothing runs on, nothing is left."""
    create(here, "killed_to")
    with tempfile.TemporaryDirectory(prefix="vx.") as folder:
        run = subprocess.Popen([sys.executable, str(SCRIPT), "--jobs=2", "source_large", "killed_to"], env=here.environment() | {"TMPDIR": folder},
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with here.connect() as conn:
            building = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'killed_to' AND query LIKE 'CREATE INDEX%'"
            deadline = time.monotonic() + 120
            while run.poll() is None and conn.execute(building).fetchone()[0] == 0 and time.monotonic() < deadline:
                time.sleep(0.02)
            run.terminate()
            status = run.wait(60)
            while (left := conn.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = 'killed_to'").fetchone()[0]) and time.monotonic() < deadline:
                time.sleep(0.05)
        tests.check(status == 3 and left == 0, "SIGTERM: status 3, and no session is left", (status, left))
        tests.check(not any(Path(folder).iterdir()), "nor a file", list(Path(folder).iterdir()))


@contextlib.contextmanager
def extensions(here: server.Server) -> Iterator[tuple[Path, Path]]:
    """Folders with the extension "vector" that is ours, and with one that requires it."""
    with tempfile.TemporaryDirectory(prefix="vx.") as folder:
        Path(folder).chmod(0o755)
        ours, needs = Path(folder) / "ours", Path(folder) / "needs"
        (ours / "extension").mkdir(parents=True)
        (needs / "extension").mkdir(parents=True)
        subprocess.run(["bash", str(ROOT / "scripts" / "as-vector"), "install", str(ours / "extension"), str(ours)], check=True, stdout=subprocess.DEVNULL)
        for name, text in NEEDS.items():
            (needs / "extension" / name).write_text(text, encoding="utf-8")
        with here.connect() as conn:
            conn.execute(f"ALTER SYSTEM SET extension_control_path = '{needs}:$system'")
            conn.execute("SELECT pg_reload_conf()")
        yield ours, needs


def main() -> None:
    server.stop_on_signal()
    tests = Tests()
    try:
        with server.start() as here, extensions(here) as (ours, needs):
            make_source(here, "source_public", "public")
            dump = dump_of(here, "source_public")
            if "--write" in sys.argv[1:]:
                DUMP.write_text(dump, encoding="utf-8")
                return
            tests.check(dump == DUMP.read_text(encoding="utf-8"), "t/pgvector_dump.sql is what pgvector's database gives")
            make_source(here, "source_ext", "ext")
            with here.connect() as conn:
                conn.execute("ALTER ROLE postgres IN DATABASE source_public SET hnsw.ef_search = 77")
            moved(tests, here, ours)
            refused(tests, here)
            required(tests, here, ours, needs)
            swapped(tests, here, ours)
            odd(tests, here)
            make_large(here)
            ended(tests, here)
    except server.Unavailable as e:
        print(f"not run: from pgvector to vectorx: {e}")
        return
    sys.exit(1 if tests.failed else 0)


if __name__ == "__main__":
    main()
