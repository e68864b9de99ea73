"""The parts of the comparison that load: COPY of text and binary, in both
directions, and whether to build the index before the rows or after them.

The server reads and writes the files itself, so that no client is measured.
"""
from __future__ import annotations

import filecmp
import os
import time
from pathlib import Path

import numpy as np

import vxdb
from builds import RECALL_EF, index_sql, set_workers
from clients import INDEX, TABLE, Client, Cost, check, load, turns, wal_position
from exact import Judge
from processes import server_cpu, stat
from server import SYSTEMS, Server
from terminal import Progress

FORMATS = ("text", "binary")
# As many rows as have so many elements are enough to tell.
ELEMENTS = 16_000_000
# Kind of load: CREATE TABLE and COPY in one transaction or in two, and what is added to each.
KINDS = {"logged": ("", ""), "unlogged": ("UNLOGGED", ""), "frozen": ("", ", FREEZE"), "minimal": ("", "")}
# Without WAL, and frozen, may only be loaded what the same transaction made.
SAME_TRANSACTION = ("frozen", "minimal")
# wal_level minimal goes with these only.
MINIMAL = {"wal_level": "minimal", "max_wal_senders": "0"}
NOT_MINIMAL = {"wal_level": "replica", "max_wal_senders": "10"}
# Order of loading and building, and workers of the build.
ORDERS = {"load, build serially": 0, "load, build with a worker": 1, "build, load": 0}


def database(system: str) -> str:
    return f"{system}_loading"


def make_databases(server: Server) -> None:
    for system, extension in SYSTEMS.items():
        with server.connect() as conn:
            conn.execute(f"CREATE DATABASE {database(system)}")
        with server.connect(database(system)) as conn:
            conn.execute(f"CREATE EXTENSION {extension}")


def drop_databases(server: Server) -> None:
    with server.connect() as conn:
        for system in SYSTEMS:
            conn.execute(f"DROP DATABASE {database(system)} WITH (FORCE)")


def copy_to(client: Client, form: str, file: str) -> None:
    client.conn.execute(f"COPY {TABLE} TO '{file}' (FORMAT {form})")


def make_files(server: Server, metric: str, rows: np.ndarray, name: str) -> dict[str, Path]:
    """The rows in each format, written by pgvector: both systems read the same."""
    client = Client(server, "pgvector", metric, database("pgvector"))
    try:
        load(client, rows)
        files = {form: server.dir / f"{name}.{form}" for form in FORMATS}
        for form, file in files.items():
            copy_to(client, form, str(file))
    finally:
        client.close()
    return files


def check_rows(server: Server, client: Client, expected: Path) -> None:
    """What is in the table has to be what the binary file holds; loads that differ prove nothing."""
    file = server.dir / "loaded.binary"
    copy_to(client, "binary", str(file))
    same = filecmp.cmp(file, expected, shallow=False)
    file.unlink()
    if not same:
        raise SystemExit(f"{client.system}: the rows loaded are not those of the file")


class Run(Cost):
    """A cost with the WAL of the whole server."""

    wal: int = 0


def copy_from(client: Client, form: str, file: Path, kind: str, dim: int) -> Run:
    """COPY into a new table; CPU of the backend, up to and with the commit."""
    word, option = KINDS[kind]
    create = f"CREATE {word} TABLE {TABLE} (id int, embedding {vxdb.TYPE}({dim}))"
    copy = f"COPY {TABLE} FROM '{file}' (FORMAT {form}{option})"
    client.conn.execute(f"DROP TABLE IF EXISTS {TABLE}")
    client.conn.execute("CHECKPOINT")
    run = Run()
    if kind in SAME_TRANSACTION:
        client.conn.execute("BEGIN")
    client.conn.execute(create)
    position = wal_position(client)
    with client.measured() as cost:
        client.conn.execute(copy)
        if kind in SAME_TRANSACTION:
            client.conn.execute("COMMIT")
    run.cpu, run.wall, run.wal = cost.cpu, cost.wall, wal_position(client) - position
    return run


def of_runs(runs: list[Run]) -> dict:
    return {"cpu_s": min(r.cpu for r in runs), "wall_s": min(r.wall for r in runs), "wal_bytes": min(r.wal for r in runs),
            "spread": max(r.cpu for r in runs) / min(r.cpu for r in runs)}


def copies_from(server: Server, metric: str, files: dict[str, Path], kinds: list[str], dim: int,
                repeats: int) -> dict[str, dict]:
    """For each kind of load and format, what it costs each system."""
    runs: dict[tuple[str, str, str], list[Run]] = {}
    systems = [Client(server, system, metric, database(system)) for system in SYSTEMS]
    progress = Progress("copy")
    for repeat in range(repeats):
        for kind in kinds:
            for form, file in files.items():
                for client in turns(systems, repeat):
                    run = copy_from(client, form, file, kind, dim)
                    runs.setdefault((kind, form, client.system), []).append(run)
                    progress.update(sum(map(len, runs.values())), repeats * len(kinds) * len(files) * len(systems),
                                    f"{client.system}, {kind}, {form}")
                    if repeat == 0:
                        check_rows(server, client, files["binary"])
    progress.finish(sum(map(len, runs.values())), f"COPY FROM: {', '.join(kinds)}")
    for client in systems:
        client.close()
    return {kind: {form: {system: of_runs(runs[kind, form, system]) for system in SYSTEMS} for form in files}
            for kind in kinds}


def inputs(server: Server, metric: str, file: Path, dim: int, repeats: int) -> dict:
    """COPY of text of which no row is kept: into a vector, and into a column that takes the text as it is.

    The difference is the type's input function; what is in both, COPY spends
    on finding lines and columns.
    """
    runs: dict[tuple[str, str], list[Run]] = {}
    systems = [Client(server, system, metric, database(system)) for system in SYSTEMS]
    for repeat in range(repeats):
        for kind, column in (("vector", f"{vxdb.TYPE}({dim})"), ("text", "text")):
            for client in turns(systems, repeat):
                client.conn.execute(f"DROP TABLE IF EXISTS {TABLE}")
                client.conn.execute(f"CREATE TABLE {TABLE} (id int, embedding {column})")
                run = Run()
                with client.measured() as cost:
                    client.conn.execute(f"COPY {TABLE} FROM '{file}' WHERE id < 0")
                run.cpu, run.wall = cost.cpu, cost.wall
                runs.setdefault((kind, client.system), []).append(run)
    for client in systems:
        client.close()
    return {kind: {system: of_runs(runs[kind, system]) for system in SYSTEMS} for kind in ("vector", "text")}


def copies_to(server: Server, metric: str, repeats: int) -> dict[str, dict]:
    """What COPY TO costs, to no file: the table is that of the last load."""
    runs: dict[tuple[str, str], list[Run]] = {}
    systems = [Client(server, system, metric, database(system)) for system in SYSTEMS]
    for repeat in range(repeats):
        for form in FORMATS:
            for client in turns(systems, repeat):
                run = Run()
                with client.measured() as cost:
                    copy_to(client, form, os.devnull)
                run.cpu, run.wall = cost.cpu, cost.wall
                runs.setdefault((form, client.system), []).append(run)
    for client in systems:
        client.close()
    return {form: {system: of_runs(runs[form, system]) for system in SYSTEMS} for form in FORMATS}


def ordered(server: Server, system: str, judge: Judge, file: Path, order: str) -> dict:
    """Rows into a new table and its index, in this order, in a backend of its own."""
    client = Client(server, system, judge.metric, database(system))
    try:
        conn = client.conn
        postmaster = stat(client.pid).parent
        conn.execute(f"DROP TABLE IF EXISTS {TABLE}")
        conn.execute(f"CREATE TABLE {TABLE} (id int, embedding {vxdb.TYPE}({judge.rows.shape[1]}))")
        set_workers(client, ORDERS[order])
        work = [f"COPY {TABLE} FROM '{file}' (FORMAT binary)", index_sql(judge.metric, system)]
        if order.startswith("build"):
            work.reverse()
        conn.execute("CHECKPOINT")
        position = wal_position(client)
        cpu, wall = server_cpu(postmaster), time.perf_counter()
        for statement in work:
            conn.execute(statement)
        result = {"wall_s": time.perf_counter() - wall, "cpu_s": server_cpu(postmaster) - cpu,
                  "wal_bytes": wal_position(client) - position,
                  "index_bytes": client.one(f"SELECT pg_relation_size('{INDEX}')")}
        conn.execute(f"VACUUM ANALYZE {TABLE}")
        check(client)
        client.set_ef(RECALL_EF)
        return result | {"recall": judge.recall(client.ask(judge.queries))}
    finally:
        client.close()


def orders(server: Server, judge: Judge, file: Path, slow_peer: bool) -> dict[str, dict]:
    result: dict[str, dict] = {order: {} for order in ORDERS}
    progress = Progress("orders")
    for number, order in enumerate(ORDERS):
        for system in SYSTEMS:
            if system == "pgvector" and order == "build, load" and not slow_peer:
                continue
            progress.update(number, len(ORDERS), f"{system}, {order}")
            result[order][system] = ordered(server, system, judge, file, order)
    progress.finish(len(ORDERS), "orders of loading and building")
    return result


def loading(server: Server, judge: Judge, settings: dict[str, str], repeats: int, slow_peer: bool) -> dict:
    """All of it, in databases that are gone afterwards; restarts the server."""
    dim = judge.rows.shape[1]
    count = max(1, min(len(judge.rows), ELEMENTS // dim))
    server.restart(settings)
    make_databases(server)
    files = make_files(server, judge.metric, judge.rows[:count], "some")
    result: dict = {"rows": count, "text_bytes": files["text"].stat().st_size,
                    "binary_bytes": files["binary"].stat().st_size}
    result["from"] = copies_from(server, judge.metric, files, [k for k in KINDS if k != "minimal"], dim, repeats)
    result["input"] = inputs(server, judge.metric, files["text"], dim, repeats)
    server.restart(MINIMAL)
    result["from"] |= copies_from(server, judge.metric, files, ["minimal"], dim, repeats)
    server.restart(NOT_MINIMAL)
    result["to"] = copies_to(server, judge.metric, repeats)
    everything = make_files(server, judge.metric, judge.rows, "all")
    result["orders"] = orders(server, judge, everything["binary"], slow_peer)
    for file in (*files.values(), *everything.values()):
        file.unlink()
    drop_databases(server)
    return result
