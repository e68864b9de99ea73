"""The parts of the comparison that build indexes: serial and with a worker, in
turns, and with too little memory.

The CPU time of a build is the whole server's, because its workers are processes
of their own; nothing else runs on it meanwhile.
"""
from __future__ import annotations

import re
import statistics
import threading
import time
from typing import Callable

import vxdb
from clients import INDEX, TABLE, Client, Cost, check, turns, wal_position
from exact import Judge
from processes import Memory, server_cpu
from server import Server
from terminal import BUILD_PROGRESS, Progress, build_progress

SAMPLE_SECONDS = 0.05
AS_VECTOR = "items_as_vector"
RECALL_EF = 40
# Workers beside the leader, by the name of the step in results.  The serial build is the last of a
# turn, so that the steps after it find its index.
MODES = {"build_parallel": 1, "build": 0}
# Both systems say so in these words.
NO_LONGER_FITS = re.compile(r"no longer fits into maintenance_work_mem after (\d+) tuples")
# Of what all rows need at once.
BEYOND_PART = 4


def tuples_that_fitted(notices: list[str]) -> int | None:
    """How many rows a build had in memory when that was full; None if it was enough."""
    found = [NO_LONGER_FITS.search(notice) for notice in notices]
    return next((int(match[1]) for match in found if match), None)


def in_background(work: Callable[[], object], watch: Callable[[], None]) -> None:
    """Run work in a thread and watch from this one until it is done; work's failure is raised here."""
    failure: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as e:  # handed to the main thread
            failure.append(e)

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        watch()
        thread.join(SAMPLE_SECONDS)
    if failure:
        raise failure[0]


# Index options by system, for every build of a run.
OPTIONS: dict[str, str] = {}


def index_sql(metric: str, system: str) -> str:
    options = f" WITH ({OPTIONS[system]})" if OPTIONS.get(system) else ""
    return f"CREATE INDEX {INDEX} ON {TABLE} USING hnsw (embedding {vxdb.TYPE}_{metric}_ops){options}"


def as_vector(client: Client, metric: str, dim: int) -> dict:
    """What an index of the table's rows as vectors is like, which has the index options of the others."""
    expression = index_sql(metric, client.system).replace(INDEX, AS_VECTOR, 1).replace(
        f"(embedding {vxdb.TYPE}_", f"((embedding::vector({dim})) vector_", 1)
    client.conn.execute(expression)
    result = {"index_bytes": client.one(f"SELECT pg_relation_size('{AS_VECTOR}')")}
    client.conn.execute(f"DROP INDEX {AS_VECTOR}")
    return result


def set_workers(client: Client, workers: int) -> None:
    """So many workers, whatever the size of the table; for CREATE INDEX of both systems."""
    client.conn.execute(f"SET max_parallel_maintenance_workers = {workers}")
    client.conn.execute(f"ALTER TABLE {TABLE} SET (parallel_workers = {workers})" if workers else
                        f"ALTER TABLE {TABLE} RESET (parallel_workers)")


def temporary_bytes(client: Client) -> int:
    """Bytes that this database's backends have written into temporary files that are gone."""
    client.conn.execute("SELECT pg_stat_force_next_flush()")
    return int(client.one("SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()"))


def build(server: Server, client: Client, metric: str, rows: int, workers: int = 0) -> dict:
    """CREATE INDEX, with the options of OPTIONS; its cost, memory, WAL and size.

    The progress bar and the samples of memory come from this process and from
    another connection, whose CPU time is not counted.
    """
    conn = client.conn
    conn.execute(f"DROP INDEX IF EXISTS {INDEX}")
    set_workers(client, workers)
    conn.execute("CHECKPOINT")
    notices: list[str] = []

    def take_notice(notice) -> None:
        notices.append(notice.message_primary or "")

    progress = Progress("index")
    with server.connect(conn.info.dbname) as watcher:
        memory = Memory(client.pid)
        client.reset_peak()

        def watch() -> None:
            memory.sample()
            if progress.live:
                row = watcher.execute(BUILD_PROGRESS, (client.pid,)).fetchone()
                if row is not None:
                    done, total, phase = build_progress(row, rows)
                    progress.update(done, total, f"{client.system}, {phase}")

        conn.add_notice_handler(take_notice)
        without = (watcher.info.backend_pid, )
        temporary, position = temporary_bytes(client), wal_position(client)
        cost = Cost()
        leader = client.cpu()
        cpu, wall = server_cpu(memory.postmaster, without), time.perf_counter()
        in_background(lambda: conn.execute(index_sql(metric, client.system)), watch)
        cost.wall = time.perf_counter() - wall
        cost.cpu = server_cpu(memory.postmaster, without) - cpu
        leader = client.cpu() - leader
        wal = wal_position(client) - position
        conn.remove_notice_handler(take_notice)
        temporary = temporary_bytes(client) - temporary
    set_workers(client, 0)
    result = {
        "cpu_s": cost.cpu,
        "leader_cpu_s": leader,
        "wall_s": cost.wall,
        "workers": memory.workers,
        "memory_bytes": memory.peak,
        "private_bytes": memory.peak_private,
        "shared_bytes": memory.peak_shared,
        "resident_bytes": client.memory("VmHWM"),
        "temporary_bytes": temporary,
        "wal_bytes": wal,
        "index_bytes": client.one(f"SELECT pg_relation_size('{INDEX}')"),
        "table_bytes": client.one(f"SELECT pg_table_size('{TABLE}')"),
        "tuples_in_memory": tuples_that_fitted(notices),
        "notices": notices,
    }
    progress.finish(rows, f"rows, {client.system}, {workers} workers, {cost.cpu:.1f} CPU s,"
                    f" {result['index_bytes'] / 1e6:.0f} MB")
    conn.execute(f"VACUUM ANALYZE {TABLE}")
    return result


def build_and_ask(server: Server, system: str, judge: Judge, workers: int, memory: int | None = None) -> dict:
    """A build in a backend of its own, so that none finds another's memory; with its recall."""
    client = Client(server, system, judge.metric)
    try:
        if memory:
            client.conn.execute(f"SET maintenance_work_mem = '{memory // 1024}kB'")
        result = build(server, client, judge.metric, len(judge.rows), workers)
        check(client)
        client.set_ef(RECALL_EF)
        return result | {"recall": judge.recall(client.ask(judge.queries))}
    finally:
        client.close()


def summary(runs: list[dict]) -> dict:
    """One result of several runs of the same build: least times, most memory, mean recall."""
    return runs[-1] | {
        "runs": len(runs),
        **{key: min(r[key] for r in runs) for key in ("cpu_s", "leader_cpu_s", "wall_s", "workers")},
        **{key: max(r[key] for r in runs)
           for key in ("memory_bytes", "private_bytes", "shared_bytes", "resident_bytes", "temporary_bytes", "wal_bytes")},
        "recall": statistics.mean(r["recall"] for r in runs),
        "spread": max(r["cpu_s"] for r in runs) / min(r["cpu_s"] for r in runs),
    }


def in_turns(server: Server, systems: list[Client], judge: Judge, repeats: int) -> dict[str, dict]:
    """Builds of both systems, with a worker and without; a result for each of MODES."""
    for client in systems:
        # Or the first build would log the hints about the rows' transactions, which are the table's.
        client.conn.execute(f"VACUUM {TABLE}")
    runs: dict[str, dict[str, list[dict]]] = {mode: {c.system: [] for c in systems} for mode in MODES}
    for repeat in range(repeats):
        for mode, workers in MODES.items():
            for client in turns(systems, repeat):
                runs[mode][client.system].append(build_and_ask(server, client.system, judge, workers))
    return {mode: {system: summary(all_runs) for system, all_runs in of_mode.items()}
            for mode, of_mode in runs.items()}


def build_memory(server: Server, rows: int, dim: int) -> int:
    """Bytes of maintenance_work_mem with which vectorx has all rows in memory at once."""
    with server.connect("vectorx") as conn:
        row = conn.execute("SELECT hnsw_build_memory(%s::bigint, %s::int)", (rows, dim)).fetchone()
        assert row is not None
        return row[0]


def beyond(server: Server, judge: Judge, shared_buffers: str, index_bytes: dict[str, int], systems: list[str]) -> dict:
    """Builds with a quarter of the memory that vectorx's whole graph takes; restarts the server.

    Once with shared buffers that hold the index, once with half of what the
    system's own index takes.  Indexes of the step build are lost.
    """
    memory = max(1 << 20, build_memory(server, len(judge.rows), judge.rows.shape[1]) // BEYOND_PART)
    server.restart({"shared_buffers": shared_buffers, "full_page_writes": "on"})
    ample = {mode: {system: build_and_ask(server, system, judge, workers, memory) for system in systems}
             for mode, workers in MODES.items()}
    small = {}
    for system in systems:
        size = max(1024, index_bytes[system] // 2 // 1024)
        server.restart({"shared_buffers": f"{size}kB"})
        small[system] = build_and_ask(server, system, judge, MODES["build_parallel"], memory) \
            | {"shared_buffers": size * 1024}
    server.restart({"shared_buffers": shared_buffers})
    return {"maintenance_work_mem": memory, "shared_buffers": shared_buffers, "ample": ample, "small": small}
