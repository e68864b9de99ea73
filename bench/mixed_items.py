"""What bench/mixed.py measures: inserts, searches beside them, and VACUUM.

Contenders are vectorx as it is by default, vectorx with pending_limit = 0, which links each row
into the graph at once, and pgvector.  Each has an index on the same rows in a database of its
own; an item works on a copy of that, so that none finds what another has left.

Where work may be put off (merges), the CPU time is that of all processes of the server, those
included that have ended, and the WAL is that of the server, until nothing is put off any more.
"""
from __future__ import annotations

import contextlib
import multiprocessing
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator

import numpy as np
import psycopg

import pgbench
import traffic
import vxdb
from clients import INDEX, TABLE, Client, Cost, check, load, merge, pending, turns, wal_position, warm
from exact import Judge
from processes import server_cpu, stat
from server import SYSTEMS, Server

PLAIN = "plain"
FRESH = "fresh"
METRIC = "cosine"
BLOCK = 250
EF_SEARCH = (10, 12, 14, 17, 20, 24, 28, 34, 40, 48, 57, 68, 80, 96, 115, 137, 163, 200, 250, 320, 400)
RECALL = 0.95
CLIENTS = 2
RATES = (500, 1000)
STEADY_RATE = 500
AFTER_CHECKPOINT = 1_000
DEAD = (30, 5)
REPLACEMENTS = 3
# Seconds that a process may take to begin, and to come to its end.
PATIENCE = 120

Figures = dict[str, float]


@dataclass(frozen=True)
class Contender:
    name: str
    system: str
    options: str = ""

    @property
    def template(self) -> str:
        return f"mixed_{self.name}"

    @property
    def copy(self) -> str:
        return f"mixed_{self.name}_copy"


@dataclass
class Sizes:
    """How much is measured; the default is what is published."""

    rows: int = 18_000
    single: int = 1_000
    found: int = 10_000
    seconds: int = 15
    # Of inserting at STEADY_RATE from one checkpoint to the next.
    cycle: int = 30
    # In which a replacement of all rows is made.
    parts: int = 2
    # Rows a second that arrive beside searches, and in which table.
    beside: tuple[tuple[int, str], ...] = ((STEADY_RATE, PLAIN), *((rate, TABLE) for rate in RATES))
    # During the load, after which parts of the rows that arrive recall is asked.
    moments: tuple[float, ...] = (.15, .5, .85)


@dataclass
class Bench:
    """What every item needs."""

    server: Server
    contenders: list[Contender]
    # The first rows of it are in the index, the others arrive.
    pool: np.ndarray
    choosing: np.ndarray
    queries: np.ndarray
    sizes: Sizes
    efs: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return self.sizes.rows

    def coming(self, count: int) -> np.ndarray:
        """Numbers of the rows that arrive."""
        return np.arange(self.rows, min(self.rows + count, len(self.pool)))

    def in_turns(self, repeat: int) -> list[Contender]:
        return turns(self.contenders, repeat)  # type: ignore[arg-type]


def index_sql(contender: Contender, table: str = TABLE) -> str:
    options = f" WITH ({contender.options})" if contender.options else ""
    name = INDEX if table == TABLE else f"{table}_embedding"
    return f"CREATE INDEX {name} ON {table} USING hnsw (embedding vector_{METRIC}_ops){options}"


def has_pending(server: Server) -> bool:
    """Whether vectorx knows of pending segments; before it does, it inserts directly."""
    with server.connect("vectorx") as conn:
        conn.execute("CREATE TEMP TABLE probe (v vector(2))")
        try:
            conn.execute("CREATE INDEX ON probe USING hnsw (v vector_l2_ops) WITH (pending_limit = 0)")
        except psycopg.errors.InvalidParameterValue as e:
            if "unrecognized parameter" not in str(e):
                raise
            return False
    return True


def make_templates(bench: Bench) -> None:
    """The first rows with an index, for each contender."""
    for contender in bench.contenders:
        with bench.server.connect() as conn:
            conn.execute(f"CREATE DATABASE {contender.template}")
        with bench.server.connect(contender.template) as conn:
            conn.execute(f"CREATE EXTENSION {SYSTEMS[contender.system]}")
            conn.execute("CREATE EXTENSION pg_prewarm")
        client = Client(bench.server, contender.system, METRIC, contender.template)
        try:
            load(client, bench.queries, "queries")
            load(client, bench.pool[:bench.rows])
            client.conn.execute(index_sql(contender))
            client.conn.execute("VACUUM ANALYZE")
        finally:
            client.close()


@contextlib.contextmanager
def on_copy(bench: Bench, contender: Contender) -> Iterator[Client]:
    """A client of a new copy of the contender's database, which is gone afterwards."""
    drop = f"DROP DATABASE IF EXISTS {contender.copy} WITH (FORCE)"
    with bench.server.connect() as conn:
        conn.execute(drop)
        conn.execute(f"CREATE DATABASE {contender.copy} TEMPLATE {contender.template} STRATEGY file_copy")
        client = Client(bench.server, contender.system, METRIC, contender.copy)
        try:
            if contender.name in bench.efs:
                client.set_ef(bench.efs[contender.name])
            warm(client, bench.queries)
            conn.execute("CHECKPOINT")
            yield client
        finally:
            client.close()
            conn.execute(drop)


def sound(client: Client) -> None:
    """Nothing else may be published: the index holds, and all is merged."""
    check(client)
    if client.system == "vectorx":
        left = pending(client)
        if left:
            raise SystemExit(f"{left} rows are pending when all were to be merged")


@dataclass
class Work:
    """CPU seconds of the whole server, and bytes of WAL."""

    cpu: float = 0.0
    wal: int = 0


@contextlib.contextmanager
def whole(client: Client) -> Iterator[Work]:
    """What the server spends inside; to be read after the end."""
    work = Work()
    postmaster = stat(client.pid).parent
    position, cpu = wal_position(client), server_cpu(postmaster)
    yield work
    work.cpu = server_cpu(postmaster) - cpu
    work.wal = wal_position(client) - position


def plain_table(client: Client) -> None:
    client.conn.execute(f"CREATE TABLE {PLAIN} (LIKE {TABLE} INCLUDING STORAGE)")


def insert_text(client: Client, ids: np.ndarray, vectors: np.ndarray, table: str) -> Cost:
    """As Client.insert, with vectors as texts."""
    rows = [(int(i), "[" + ",".join(f"{x:.8g}" for x in vector) + "]") for i, vector in zip(ids, vectors)]
    with client.measured() as spent:
        for row in rows:
            client.cur.execute(f"INSERT INTO {table} (id, embedding) VALUES (%b, %t)", row, prepare=True)
    return spent


# ---- items: what each gives is a dictionary of figures by contender

def single(bench: Bench, repeat: int) -> dict[str, Figures]:
    """Backend's CPU of single-row INSERTs, as a multiple of those into a table without index."""
    spent: dict[tuple[str, str, str], float] = {}
    ids = bench.coming(2 * bench.sizes.single)
    halves = {"binary": ids[:len(ids) // 2], "text": ids[len(ids) // 2:]}
    with contextlib.ExitStack() as stack:
        clients = {c.name: stack.enter_context(on_copy(bench, c)) for c in bench.contenders}
        for client in clients.values():
            plain_table(client)
        for form, mine in halves.items():
            for turn, start in enumerate(range(0, len(mine), BLOCK)):
                block = mine[start:start + BLOCK]
                for contender in turns(bench.contenders, turn + repeat):  # type: ignore[arg-type]
                    client = clients[contender.name]
                    for table in turns([TABLE, PLAIN], turn):  # type: ignore[arg-type]
                        insert = Client.insert if form == "binary" else insert_text
                        cost = insert(client, block, bench.pool[block], table)
                        key = contender.name, form, table
                        spent[key] = spent.get(key, 0) + cost.cpu
    return {c.name: {f"{form}_multiple": spent[c.name, form, TABLE] / spent[c.name, form, PLAIN] for form in halves}
            | {f"{form}_us": spent[c.name, form, TABLE] / len(mine) * 1e6 for form, mine in halves.items()}
            | {f"{form}_plain_us": spent[c.name, form, PLAIN] / len(mine) * 1e6 for form, mine in halves.items()}
            for c in bench.contenders}


def sustained(bench: Bench, repeat: int) -> dict[str, Figures]:
    """As many single rows as the index holds, and the merges: rows a CPU second of the server."""
    result = {}
    ids = bench.coming(bench.rows)
    for contender in bench.in_turns(repeat):
        with on_copy(bench, contender) as client:
            with whole(client) as work:
                client.insert(ids, bench.pool[ids])
                merge(client)
            sound(client)
        result[contender.name] = {"rows_per_cpu_s": len(ids) / work.cpu, "cpu_us": work.cpu / len(ids) * 1e6}
    return result


def copying(bench: Bench, repeat: int) -> dict[str, Figures]:
    """COPY of as many rows as the index holds, against loading them first and building then."""
    result = {}
    ids = bench.coming(bench.rows)
    for contender in bench.in_turns(repeat):
        with on_copy(bench, contender) as client:
            with whole(client) as copy:
                vxdb.copy_rows(client.conn, TABLE, ids, bench.pool[ids])
                merge(client)
            sound(client)
        with on_copy(bench, contender) as client:
            client.conn.execute(f"DROP INDEX {INDEX}")
            with whole(client) as build:
                vxdb.copy_rows(client.conn, TABLE, ids, bench.pool[ids])
                client.conn.execute(index_sql(contender))
        result[contender.name] = {"cpu_s": copy.cpu, "build_cpu_s": build.cpu, "multiple": copy.cpu / build.cpu,
                                  "wal_mb": copy.wal / 1e6}
    return result


def at_rate(client: Client, ids: np.ndarray, vectors: np.ndarray, rate: float, table: str = TABLE, stop=None) -> int:
    """INSERT a row 1 / rate seconds after the other, or as fast as it goes; how many were inserted."""
    sql = f"INSERT INTO {table} (id, embedding) VALUES (%b, %b)"
    begin = time.monotonic()
    for done, (number, vector) in enumerate(zip(ids, vectors)):
        wait = max(0, begin + done / rate - time.monotonic())
        if stop is not None and stop.wait(wait):
            return done
        if stop is None and wait:
            time.sleep(wait)
        client.cur.execute(sql, (int(number), vxdb.encode(vector)), prepare=True)
    return len(ids)


def plain_wal(bench: Bench, ids: np.ndarray) -> float:
    """WAL of a row without an index, which the table takes in either system."""
    with on_copy(bench, bench.contenders[-1]) as client:
        plain_table(client)
        client.conn.execute("CHECKPOINT")
        position = wal_position(client)
        client.insert(ids, bench.pool[ids], PLAIN)
        return (wal_position(client) - position) / len(ids)


def wal_of(bench: Bench, repeat: int, ids: np.ndarray, rate: float) -> dict[str, Figures]:
    """WAL of a row that is inserted after a checkpoint, with and without merging it."""
    result = {}
    plain = plain_wal(bench, ids)
    for contender in bench.in_turns(repeat):
        with on_copy(bench, contender) as client:
            client.conn.execute("CHECKPOINT")
            position, begin = wal_position(client), time.monotonic()
            at_rate(client, ids, bench.pool[ids], rate)
            seconds, inserted = time.monotonic() - begin, wal_position(client) - position
            merge(client)
            merged = wal_position(client) - position
        result[contender.name] = {"bytes": merged / len(ids), "without_merge": inserted / len(ids), "plain": plain,
                                  "index": merged / len(ids) - plain, "rows_per_s": len(ids) / seconds}
    return result


def wal_steady(bench: Bench, repeat: int) -> dict[str, Figures]:
    """From one checkpoint to the next, at STEADY_RATE."""
    return wal_of(bench, repeat, bench.coming(STEADY_RATE * bench.sizes.cycle), STEADY_RATE)


def wal_checkpoint(bench: Bench, repeat: int) -> dict[str, Figures]:
    """The first rows after a checkpoint."""
    return wal_of(bench, repeat, bench.coming(AFTER_CHECKPOINT), float("inf"))


# ---- searches beside inserts

def paced_writer(server: Server, contender: Contender, ids: np.ndarray, vectors: np.ndarray, rate: float, table: str,
                 ready, stop, answers) -> None:
    """A process of its own, for Python runs one thread at a time."""
    client = Client(server, contender.system, METRIC, contender.copy)
    client.one("SELECT 1")
    ready.wait(PATIENCE)
    begin = time.monotonic()
    done = at_rate(client, ids, vectors, rate, table, stop)
    answers.put((done, time.monotonic() - begin))


@contextlib.contextmanager
def writing(bench: Bench, contender: Contender, rate: float, count: int, table: str = TABLE) -> Iterator[dict[str, float]]:
    """Rows arrive inside; how many did, and how many a second, is known after the end."""
    context = multiprocessing.get_context("spawn")
    ready, stop, answers = context.Barrier(2), context.Event(), context.Queue()
    ids = bench.coming(count)
    process = context.Process(target=paced_writer, daemon=True,
                              args=(bench.server, contender, ids, bench.pool[ids], rate, table, ready, stop, answers))
    process.start()
    try:
        ready.wait(PATIENCE)
        arrived: dict[str, float] = {}
        yield arrived
        stop.set()
        done, seconds = answers.get(timeout=PATIENCE)
        arrived |= {"arrived": done, "rows_per_s": done / seconds}
        process.join(PATIENCE)
    finally:
        process.terminate()


SEARCH = r"""\set query random(0, :queries - 1)
SELECT id FROM items ORDER BY embedding <=> (SELECT embedding FROM queries WHERE id = :query) LIMIT 10;
"""


def searching(bench: Bench, contender: Contender) -> Figures:
    """CLIENTS that search as fast as they are answered: their backends' CPU a search, and latencies."""
    with bench.server.connect() as admin, tempfile.TemporaryDirectory(prefix="vx.") as name:
        folder = Path(name)
        (folder / "search.sql").write_text(SEARCH, encoding="ascii")
        command = [str(pgbench.find_pgbench(bench.server.bindir)), "-n", "-M", "prepared", "-c", str(CLIENTS),
                   "-j", str(min(CLIENTS, os.cpu_count() or 1)), "-T", str(bench.sizes.seconds), "-l",
                   f"--log-prefix={folder}/log", "-D", f"queries={len(bench.queries)}", "-f", str(folder / "search.sql")]
        options = {"hnsw.ef_search": bench.efs[contender.name], "enable_seqscan": "off", "enable_sort": "off",
                   "max_parallel_workers_per_gather": 0}
        cpu = traffic.BackendCpu(admin, CLIENTS)
        watch = traffic.Watch(cpu.poll, .25)
        watch.start()
        done = subprocess.run([*command, contender.copy], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                              env=bench.server.environment() | {"PGAPPNAME": traffic.CLIENT, "PGOPTIONS": " ".join(
                                  f"-c {option}={value}" for option, value in options.items())})
        watch.finish()
        if done.returncode != 0:
            raise SystemExit(f"pgbench failed on {contender.name}:\n{done.stdout}")
        log = pgbench.read_logs(folder, [1])
    each = cpu.per_transaction(log)
    if each is None:
        raise SystemExit(f"{contender.name}: no search was measured")
    return {"cpu_us": each, "searches_per_s": len(log.kind) / bench.sizes.seconds, **log.percentiles(1)}


def beside(bench: Bench, repeat: int) -> dict[str, Figures]:
    """Searches while rows arrive, against the mean of an idle index before and after, when all is merged.

    Rows that arrive in a table without index tell what of it is the machine's.
    """
    result: dict[str, Figures] = {}
    for contender in bench.in_turns(repeat):
        figures: Figures = {"ef_search": bench.efs[contender.name]}
        for rate, table in bench.sizes.beside:
            with on_copy(bench, contender) as client:
                plain_table(client)
                idle = [searching(bench, contender)]
                # More than can arrive while pgbench runs.
                with writing(bench, contender, rate, rate * (bench.sizes.seconds + 5), table) as arrived:
                    loaded = searching(bench, contender)
                merge(client)
                idle.append(searching(bench, contender))
            name = f"plain_{rate}" if table == PLAIN else f"{rate}"
            before = {key: (idle[0][key] + idle[1][key]) / 2 for key in loaded}
            figures |= {f"{key}_{name}": value for key, value in loaded.items()}
            figures |= {f"idle_{key}_{name}": value for key, value in before.items()}
            figures |= {f"{key}_multiple_{name}": loaded[key] / before[key] for key in ("cpu_us", "p50", "p99")}
            figures[f"rows_per_s_{name}"] = arrived["rows_per_s"]
        result[contender.name] = figures
    return result


# ---- what is found

def found(bench: Bench, repeat: int) -> dict[str, Figures]:
    """The part of the rows that another session finds by their own vectors as soon as they are committed."""
    result = {}
    ids = bench.coming(bench.sizes.found)
    for contender in bench.in_turns(repeat):
        with on_copy(bench, contender) as client:
            reader = Client(bench.server, contender.system, METRIC, contender.copy)
            hits = 0
            for number in ids:
                client.insert(np.array([number]), bench.pool[[number]])
                hits += int(number) in reader.ask(bench.pool[[number]])[0]
            reader.close()
        result[contender.name] = {"part": hits / len(ids), "rows": len(ids), "missing": len(ids) - hits}
    return result


def recall_of(client: Client, bench: Bench, live: np.ndarray, first: int = 0) -> float:
    """Of the queries to publish; live are the vectors of the rows from the id first on."""
    judge = Judge(METRIC, bench.queries, live)
    return judge.recall([[number - first for number in ids] for ids in client.ask(bench.queries)])


def fresh_recall(client: Client, bench: Bench, contender: Contender, live: np.ndarray) -> float:
    """The same of an index that is built of these rows."""
    load(client, live, FRESH)
    client.conn.execute(index_sql(contender, FRESH))
    sql, client.sql = client.sql, client.sql.replace(f"FROM {TABLE}", f"FROM {FRESH}")
    recall = recall_of(client, bench, live)
    client.sql = sql
    return recall


def snapshot(client: Client, bench: Bench) -> tuple[int, list[list[int]]]:
    """How many rows there are, and what is found, of the same rows."""
    with client.conn.transaction():
        client.conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        count = client.one(f"SELECT max(id) + 1 FROM {TABLE}")
        return count, client.ask(bench.queries)


def wait_for_rows(client: Client, count: float) -> None:
    """Until there are so many; an error when no more come."""
    have, moved = 0, time.monotonic()
    while have < count:
        before, have = have, client.one(f"SELECT max(id) + 1 FROM {TABLE}")
        if have > before:
            moved = time.monotonic()
        if time.monotonic() > moved + PATIENCE:
            raise RuntimeError(f"no more rows arrive after {have:,}")
        time.sleep(.05)


def during(bench: Bench, repeat: int) -> dict[str, Figures]:
    """Recall at moments while rows arrive, against an index built of the same rows."""
    result = {}
    for contender in bench.in_turns(repeat):
        count = len(bench.coming(bench.rows))
        with on_copy(bench, contender) as client:
            seen: list[tuple[int, list[list[int]]]] = []
            with writing(bench, contender, RATES[-1], count):
                for part in bench.sizes.moments:
                    wait_for_rows(client, bench.rows + part * count)
                    seen.append(snapshot(client, bench))
            merge(client)
            seen.append(snapshot(client, bench))
            # An index of pgvector takes too long to be built for each of the moments.
            compared = seen if contender.system == "vectorx" else seen[-1:]
            pairs = [(Judge(METRIC, bench.queries, bench.pool[:rows]).recall(ids),
                      fresh_recall(client, bench, contender, bench.pool[:rows])) for rows, ids in compared]
        worst = max(pairs, key=lambda p: p[1] - p[0])
        result[contender.name] = {"below_fresh": worst[1] - worst[0], "recall": worst[0], "fresh": worst[1],
                                  "moments": len(pairs)}
    return result


def replaced(bench: Bench, repeat: int) -> dict[str, Figures]:
    """Recall after all rows were deleted, others inserted, and the table vacuumed, several times."""
    result = {}
    rows, total = bench.rows, len(bench.pool)
    for contender in bench.in_turns(repeat):
        with on_copy(bench, contender) as client:
            first, step = 0, rows // bench.sizes.parts
            for _ in range(REPLACEMENTS * bench.sizes.parts):
                client.conn.execute(f"DELETE FROM {TABLE} WHERE id < {first + step}")
                ids = np.arange(first + rows, first + rows + step)
                client.insert(ids, bench.pool[ids % total])
                first += step
                client.conn.execute(f"VACUUM {TABLE}")
            merge(client)
            check(client)
            live = bench.pool[np.arange(first, first + rows) % total]
            recall = recall_of(client, bench, live, first)
            fresh = fresh_recall(client, bench, contender, live)
        result[contender.name] = {"below_fresh": fresh - recall, "recall": recall, "fresh": fresh}
    return result


def vacuum(bench: Bench, repeat: int) -> dict[str, Figures]:
    """VACUUM of dead rows against the build of a new index of those that are left."""
    result: dict[str, Figures] = {c.name: {} for c in bench.contenders}
    for contender in bench.in_turns(repeat):
        for part in DEAD:
            with on_copy(bench, contender) as client:
                dead = np.random.default_rng(part).permutation(bench.rows)[:bench.rows * part // 100]
                client.conn.execute(f"DELETE FROM {TABLE} WHERE id = ANY(%s)", (dead.tolist(),))
                client.conn.execute("CHECKPOINT")
                size = client.one(f"SELECT pg_relation_size('{INDEX}')")
                with whole(client) as work:
                    client.conn.execute(f"VACUUM (INDEX_CLEANUP on) {TABLE}")
                check(client)
                client.conn.execute(f"DROP INDEX {INDEX}")
                with whole(client) as build:
                    client.conn.execute(index_sql(contender))
            result[contender.name] |= {f"multiple_{part}": work.cpu / build.cpu, f"cpu_s_{part}": work.cpu,
                                       f"build_cpu_s_{part}": build.cpu, f"wal_times_index_{part}": work.wal / size,
                                       f"wal_mb_{part}": work.wal / 1e6}
    return result


def choose(bench: Bench) -> dict[str, Figures]:
    """The least hnsw.ef_search of each contender with RECALL by the queries for choosing; its recall by the others."""
    result = {}
    judges = [Judge(METRIC, queries, bench.pool[:bench.rows]) for queries in (bench.choosing, bench.queries)]
    for contender in bench.contenders:
        client = Client(bench.server, contender.system, METRIC, contender.template)
        try:
            for ef in EF_SEARCH:
                client.set_ef(ef)
                if judges[0].recall(client.ask(bench.choosing)) >= RECALL:
                    break
            else:
                raise SystemExit(f"{contender.name}: no ef_search up to {EF_SEARCH[-1]} has recall {RECALL}")
            bench.efs[contender.name] = ef
            result[contender.name] = {"ef_search": ef, "recall": judges[1].recall(client.ask(bench.queries))}
        finally:
            client.close()
    return result


ITEMS = {"single": single, "sustained": sustained, "copy": copying, "wal": wal_steady, "checkpoint": wal_checkpoint,
         "search": beside, "found": found, "during": during, "replaced": replaced, "vacuum": vacuum}
