"""The parts of the comparison that insert: one client, and several at once
beside one that searches.

The index is built once on all rows but the last ones, in a database of its
own; each run inserts those into a copy of that database.
"""
from __future__ import annotations

import multiprocessing
import queue as queues
import statistics
import time

import numpy as np

from builds import build
from clients import TABLE, Client, Cost, check, clients, load, merge, turns, wal_position, warm
from exact import Judge
from server import SYSTEMS, Server
from terminal import Progress

BLOCK = 250
PLAIN = "plain"
RECALL_EF = 40
WRITERS = 4
SEARCHES_PER_S = 200
# A worker that has not answered by then never will.
WORKER_SECONDS = 1800


def template(system: str) -> str:
    return f"{system}_template"


def copy_of(system: str) -> str:
    return f"{system}_copy"


def make_templates(server: Server, judge: Judge, count: int) -> dict[str, dict]:
    """A database of each system with an index on all rows but the last count."""
    rest = judge.rows[:-count]
    result = {}
    for system, extension in SYSTEMS.items():
        with server.connect() as conn:
            conn.execute(f"CREATE DATABASE {template(system)}")
        with server.connect(template(system)) as conn:
            conn.execute(f"CREATE EXTENSION {extension}")
        client = Client(server, system, judge.metric, template(system))
        try:
            load(client, rest)
            result[system] = build(server, client, judge.metric, len(rest))
        finally:
            client.close()
    return result


def copy_templates(server: Server) -> dict[str, str]:
    with server.connect() as conn:
        for system in SYSTEMS:
            conn.execute(f"DROP DATABASE IF EXISTS {copy_of(system)} WITH (FORCE)")
            conn.execute(f"CREATE DATABASE {copy_of(system)} TEMPLATE {template(system)} STRATEGY file_copy")
        # No session asks for a worker that links, whose CPU time would not be seen.
        conn.execute(f"ALTER DATABASE {copy_of('vectorx')} SET hnsw.write_profile = throughput")
        conn.execute("CHECKPOINT")
    return {system: copy_of(system) for system in SYSTEMS}


def recall_after(client: Client, judge: Judge) -> float:
    check(client)
    client.set_ef(RECALL_EF)
    return judge.recall(client.ask(judge.queries))


def one_client(server: Server, judge: Judge, count: int, repeats: int) -> dict[str, dict]:
    """Single-row INSERTs; the same rows into a table without index say what the index costs.

    WAL positions are the whole server's, so the systems take turns and never
    run at once.  What vectorx's inserts put off is done at the end, and counts.
    """
    first = len(judge.rows) - count
    cost: dict[str, dict[str, list[Cost]]] = {s: {TABLE: [], PLAIN: []} for s in SYSTEMS}
    wal: dict[str, dict[str, list[int]]] = {s: {TABLE: [], PLAIN: []} for s in SYSTEMS}
    recall = {}
    progress = Progress("insert")
    for repeat in range(repeats):
        with clients(server, judge.metric, copy_templates(server)) as systems:
            for client in systems:
                client.conn.execute(f"CREATE TABLE {PLAIN} (LIKE {TABLE} INCLUDING STORAGE)")
                warm(client, judge.queries)
                for table in (TABLE, PLAIN):
                    cost[client.system][table].append(Cost())
                    wal[client.system][table].append(0)
            for turn, start in enumerate(range(first, len(judge.rows), BLOCK)):
                ids = np.arange(start, min(start + BLOCK, len(judge.rows)))
                for client in turns(systems, turn + repeat):
                    for table in (TABLE, PLAIN):
                        position = wal_position(client)
                        spent = client.insert(ids, judge.rows[ids], table)
                        wal[client.system][table][-1] += wal_position(client) - position
                        cost[client.system][table][-1] += spent
                progress.update(repeat * count + ids[-1] + 1 - first, repeats * count, "rows, one client")
            for client in systems:
                position = wal_position(client)
                cost[client.system][TABLE][-1] += merge(client)
                wal[client.system][TABLE][-1] += wal_position(client) - position
            recall = {c.system: recall_after(c, judge) for c in systems}
    progress.finish(repeats * count, "rows, one client")

    result = {}
    for system in SYSTEMS:
        into, plain = cost[system][TABLE], cost[system][PLAIN]
        of_index = [a - b for a, b in zip(wal[system][TABLE], wal[system][PLAIN])]
        result[system] = {
            "rows": count,
            "rows_per_cpu_s": count / min(c.cpu for c in into),
            "rows_per_s": count / min(c.wall for c in into),
            "plain_rows_per_cpu_s": count / min(c.cpu for c in plain),
            "spread": max(c.cpu for c in into) / min(c.cpu for c in into),
            "wal_bytes": statistics.mean(of_index) / count,
            "plain_wal_bytes": statistics.mean(wal[system][PLAIN]) / count,
            "recall_after": recall[system],
            "recall_ef": RECALL_EF,
        }
    return result


# ---- several clients; each is a process, for Python runs one thread at a time

def writer(server: Server, system: str, metric: str, ids: np.ndarray, vectors: np.ndarray, barrier, answers) -> None:
    client = Client(server, system, metric, copy_of(system))
    client.ask(vectors[:5])
    barrier.wait()
    cost = client.insert(ids, vectors)
    end = time.monotonic()
    answers.put((end - cost.wall, end, cost.cpu))


def searcher(server: Server, system: str, metric: str, queries: np.ndarray, barrier, stop, answers) -> None:
    client = Client(server, system, metric, copy_of(system))
    client.set_ef(RECALL_EF)
    client.ask(queries[:20])
    done = 0
    barrier.wait()
    with client.measured() as cost:
        # at a fixed rate: the faster system is not to have more of them to do
        begin = time.monotonic()
        while not stop.wait(max(0, begin + done / SEARCHES_PER_S - time.monotonic())):
            client.ask(queries[done % len(queries)][None])
            done += 1
    answers.put((done, cost.cpu, cost.wall))


def collect(answers, workers: list, count: int) -> list:
    """count answers of the workers; an error as soon as one of them died without."""
    result: list = []
    deadline = time.monotonic() + WORKER_SECONDS
    while len(result) < count:
        try:
            result.append(answers.get(timeout=1))
        except queues.Empty:
            if any(w.exitcode not in (None, 0) for w in workers) or time.monotonic() > deadline:
                raise RuntimeError("a client of the concurrent inserts failed") from None
    return result


def run_together(server: Server, client: Client, judge: Judge, count: int) -> dict:
    """WRITERS processes insert their share of the rows while another searches; what is put off is done at the end."""
    context = multiprocessing.get_context("spawn")
    barrier, stop = context.Barrier(WRITERS + 1), context.Event()
    written, searched = context.Queue(), context.Queue()
    ids = np.arange(len(judge.rows) - count, len(judge.rows))
    workers = [context.Process(target=writer, args=(server, client.system, judge.metric, mine, judge.rows[mine],
                                                    barrier, written), daemon=True)
               for mine in np.array_split(ids, WRITERS)]
    workers.append(context.Process(target=searcher, args=(server, client.system, judge.metric, judge.queries,
                                                          barrier, stop, searched), daemon=True))
    try:
        for worker in workers:
            worker.start()
        writes = collect(written, workers, WRITERS)
        stop.set()
        queries, search_cpu, search_wall = collect(searched, workers, 1)[0]
        for worker in workers:
            worker.join(60)
    finally:
        for worker in workers:
            worker.terminate()
    rest = merge(client)
    cpu = sum(w[2] for w in writes) + rest.cpu
    wall = max(w[1] for w in writes) - min(w[0] for w in writes) + rest.wall
    return {"searches_wanted": SEARCHES_PER_S, "rows_per_s": count / wall, "rows_per_cpu_s": count / cpu, "queries_per_s": queries / search_wall,
            "query_cpu_us": search_cpu / max(1, queries) * 1e6}


def several_clients(server: Server, judge: Judge, count: int, repeats: int) -> dict[str, dict]:
    """Concurrent single-row INSERTs into a copy of the template, one system after the other."""
    runs: dict[str, list[dict]] = {system: [] for system in SYSTEMS}
    recall = {}
    progress = Progress("insert")
    done = 0
    for repeat in range(repeats):
        with clients(server, judge.metric, copy_templates(server)) as systems:
            for client in turns(systems, repeat):
                warm(client, judge.queries)
                runs[client.system].append(run_together(server, client, judge, count))
                recall[client.system] = recall_after(client, judge)
                done += count
                progress.update(done, repeats * count * len(systems), f"rows, {WRITERS} clients, {client.system}")
    progress.finish(done, f"rows, {WRITERS} clients and one that searches")
    result = {}
    for system, all_runs in runs.items():
        speeds = [r["rows_per_cpu_s"] for r in all_runs]
        result[system] = max(all_runs, key=lambda r: r["rows_per_cpu_s"]) | {
            "rows": count,
            "writers": WRITERS,
            "rows_per_s": max(r["rows_per_s"] for r in all_runs),
            "spread": max(speeds) / min(speeds),
            "recall_after": recall[system],
            "recall_ef": RECALL_EF,
        }
    return result
