#!/usr/bin/env python3
"""Traffic of many clients against vectorx and pgvector, on one server.

Loads the same rows into a database of each, and runs a pgbench script
(search_only, write_only, market_traffic) for the same time on one after the
other, with each number of clients.  Reported are

  - searches and writes a second, and percentiles of the latency of each kind of
    statement, from pgbench's log of every transaction;
  - CPU time of the clients' backends per transaction;
  - recall@10 during the run: a connection of its own asks queries that no client
    asks, by the index and exactly, in one snapshot.  Its CPU time is not in the
    backends'.

Autovacuum is on in the database whose turn it is, and only there; after its turn
the table is vacuumed, so that nobody works off the other's debts.

    bench/traffic.py --set glove100 --clients 1,2,4,8 --seconds 300 --recall 0.95 --output bench

prints its tables, and with --output keeps all figures in results/traffic/ of that
folder and puts a section into its RESULTS.md.

It uses a throw-away server (bench/server.py); --running uses the one that PGHOST,
PGPORT and PGUSER name, with its databases vectorx and pgvector, in which the
tables are made again.  Distances are cosine.  Run it on the machine of the
server (Linux), whose processes' CPU times it reads.
"""
from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator

import numpy as np
import psycopg

import compare
import datasets
import pgbench
import server
import traffic_report
import vxdb
from terminal import processor, today

SYSTEMS = tuple(server.SYSTEMS)
SAMPLE_EVERY = 10.0
SAMPLE_QUERIES = 10
POLL_EVERY = 0.5
EF_SEARCH = (10, 15, 20, 30, 40, 60, 80, 100, 120, 150, 200, 250, 300, 400)
# The first queries are to choose with, the others to publish.
CHOOSING = 500
CLIENT = "traffic"
WORDS = "words100"
# Tables are vacuumed, WAL is written and checkpoints are made as they would be.
SETTINGS = {"autovacuum": "on", "checkpoint_timeout": "5min"}

# Ids and distances of the rows found for a query.
Answer = list[tuple[int, float]]
NEAREST = "SELECT id, embedding <=> %b FROM items ORDER BY embedding <=> %b LIMIT 10"


@dataclass
class Data:
    """A data set, divided: what is stored, what clients ask, what is held for recall."""

    name: str
    base: np.ndarray
    rows: int
    choosing: np.ndarray
    hot: np.ndarray
    held: np.ndarray


def divide(name: str, base: np.ndarray, queries: np.ndarray, rows: int | None, held: int) -> Data:
    """Divide vectors and queries; a small set has no queries of its own for choosing."""
    if rows is None:
        rows = len(base) * 3 // 5
    publish = queries[CHOOSING:] if len(queries) > CHOOSING + held else queries
    if len(publish) <= held:
        raise SystemExit(f"{len(queries)} queries are too few to hold {held} back")
    if not 0 < rows <= len(base):
        raise SystemExit(f"{rows} rows of {len(base)} vectors")
    choosing = queries[:CHOOSING] if publish is not queries else queries[:-held]
    return Data(name, base, rows, choosing, publish[:-held], publish[-held:])


def load(conn: psycopg.Connection, data: Data, options: str) -> None:
    """Make the scripts' tables: items with its index, reserve, queries, and the sequences.

    The rows are the first vectors of the set, and the reserve has all of them,
    to be taken in a circle that begins behind the rows.
    """
    vxdb.register_vector(conn)
    dim, total = data.base.shape[1], len(data.base)
    conn.execute("DROP TABLE IF EXISTS items, reserve, queries")
    conn.execute("DROP SEQUENCE IF EXISTS reserve_next, items_oldest")
    for table, key, vectors in (("items", "serial", data.base[:data.rows]), ("reserve", "int", data.base),
                                ("queries", "int", data.hot)):
        conn.execute(f"CREATE TABLE {table} (id {key} PRIMARY KEY, embedding vector({dim}))")
        first = 1 if table == "queries" else 0
        vxdb.copy_rows(conn, table, np.arange(len(vectors)) + first, vectors)
    conn.execute(f"SELECT setval('items_id_seq', {data.rows - 1})")
    conn.execute("CREATE SEQUENCE items_oldest MINVALUE 0")
    conn.execute(f"CREATE SEQUENCE reserve_next MINVALUE 0 MAXVALUE {total - 1} START {data.rows % total} CYCLE")
    conn.execute(f"CREATE INDEX items_embedding ON items USING hnsw (embedding vector_cosine_ops){options}")
    for table in ("items", "reserve", "queries"):
        conn.execute(f"VACUUM (ANALYZE) {table}")


def near(conn: psycopg.Connection, query: np.ndarray) -> Answer:
    # Not prepared: a prepared plan would outlive a change of settings.
    return conn.execute(NEAREST, (query, query), prepare=False).fetchall()


def recall_at_10(found: Answer, exact: Answer) -> float:
    """The part of the exact neighbours found, where one as near as the last of them counts as one."""
    if not exact:
        return 1.0
    limit = exact[-1][1] + 1e-9
    return min(len(exact), sum(distance <= limit for _, distance in found)) / len(exact)


def sample_recall(conn: psycopg.Connection, queries: np.ndarray) -> float:
    """Recall@10 in one snapshot, so that both answers are about the same rows."""
    found: list[Answer] = []
    exact: list[Answer] = []
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        for index, answers in (("on", found), ("off", exact)):
            conn.execute(f"SET LOCAL enable_indexscan = {index}")
            answers += [near(conn, q) for q in queries]
    return float(np.mean([recall_at_10(f, e) for f, e in zip(found, exact)]))


def choose_ef(conn: psycopg.Connection, queries: np.ndarray, target: float) -> int:
    """The smallest hnsw.ef_search with this recall on the queries that are for choosing."""
    conn.execute("SET enable_indexscan = off")
    exact = [near(conn, q) for q in queries]
    conn.execute("SET enable_indexscan = on")
    for ef in EF_SEARCH:
        conn.execute(f"SET hnsw.ef_search = {ef}")
        if np.mean([recall_at_10(near(conn, q), e) for q, e in zip(queries, exact)]) >= target:
            return ef
    raise SystemExit(f"no ef_search up to {EF_SEARCH[-1]} has recall {target}")


def scan_node(plan: dict) -> str:
    """What reads the table items in a plan."""
    if plan.get("Relation Name") == "items":
        return plan["Node Type"]
    return next((n for n in map(scan_node, plan.get("Plans", [])) if n), "")


def check_plan(conn: psycopg.Connection) -> None:
    """The scripts' search has to use the index; both kinds of plan are looked at."""
    sql = (pgbench.BENCH / "search_only.sql").read_text(encoding="utf-8").strip().splitlines()[-1]
    conn.execute("PREPARE search(int) AS " + sql.replace(":query", "$1"))
    for mode in ("force_custom_plan", "force_generic_plan"):
        conn.execute(f"SET plan_cache_mode = {mode}")
        node = scan_node(conn.execute("EXPLAIN (FORMAT JSON) EXECUTE search(1)").fetchone()[0][0]["Plan"])
        if node != "Index Scan":
            raise SystemExit(f"{conn.info.dbname}: the search is no index scan but {node}")
    conn.execute("RESET plan_cache_mode")
    conn.execute("DEALLOCATE search")


def check_index(conn: psycopg.Connection, system: str) -> None:
    """vectorx can verify its index; nothing is published of one that is not sound."""
    if system == "vectorx":
        problems = conn.execute("SELECT * FROM hnsw_check('items_embedding') LIMIT 5").fetchall()
        if problems:
            raise SystemExit(f"hnsw_check: {problems}")


def cpu_seconds(pids: list[int]) -> float:
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) for pid in pids) / 1e9


class Watch(threading.Thread):
    """Something that is done again and again until the run is over; its error is the run's."""

    def __init__(self, step: Callable[[], None], every: float):
        super().__init__(daemon=True)
        self.step, self.every = step, every
        self.over = threading.Event()
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self.over.wait(self.every):
                self.step()
        except Exception as e:  # handed to the main thread
            self.error = e

    def finish(self) -> None:
        self.over.set()
        self.join()
        if self.error:
            raise self.error


class BackendCpu:
    """CPU time of the clients' backends, from when all are there to when the first is gone."""

    def __init__(self, conn: psycopg.Connection, clients: int):
        self.conn, self.clients = conn, clients
        self.pids: list[int] = []
        self.first = self.last = (0.0, 0.0)

    def poll(self) -> None:
        if not self.pids:
            rows = self.conn.execute("SELECT pid FROM pg_stat_activity WHERE application_name = %s", (CLIENT,))
            pids = [r[0] for r in rows]
            if len(pids) == self.clients:
                with contextlib.suppress(OSError):
                    self.first = self.last = (time.time(), cpu_seconds(pids))
                    self.pids = pids
        else:
            with contextlib.suppress(OSError):
                self.last = (time.time(), cpu_seconds(self.pids))

    def per_transaction(self, log: pgbench.Log) -> float | None:
        """Microseconds, over the transactions that ended meanwhile; None if there are none."""
        done = log.between(self.first[0], self.last[0])
        return (self.last[1] - self.first[1]) / done * 1e6 if done else None


class RunningServer:
    """The server that PGHOST, PGPORT and PGUSER name, with the methods of server.Server used here."""

    bindir = None

    def connect(self, database: str) -> psycopg.Connection:
        return vxdb.connect(dbname=database)

    def environment(self) -> dict[str, str]:
        return dict(os.environ)


Host = server.Server | RunningServer


@dataclass
class Plan:
    """What is run: the same for both systems but for ef_search."""

    seconds: int
    mix: dict[str, int]
    skew: float
    ef_search: dict[str, int]
    seed: int
    rate: float | None


def run(host: Host, system: str, script: str, clients: int, plan: Plan, data: Data) -> dict:
    """One script against one system; returns its figures."""
    with contextlib.ExitStack() as stack:
        admin = stack.enter_context(host.connect(system))
        sampler = stack.enter_context(host.connect(system))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vx.")))
        vxdb.register_vector(sampler)
        sampler.execute(f"SET hnsw.ef_search = {plan.ef_search[system]}")
        sampler.execute("SET max_parallel_workers_per_gather = 0")
        check_plan(sampler)
        admin.execute("CHECKPOINT")
        admin.execute("ALTER TABLE items SET (autovacuum_enabled = on)")
        vacuums = "SELECT autovacuum_count FROM pg_stat_user_tables WHERE relname = 'items'"
        vacuums_before = admin.execute(vacuums).fetchone()[0]

        recalls: list[float] = []
        batches = itertools.cycle([data.held[i:i + SAMPLE_QUERIES] for i in range(0, len(data.held), SAMPLE_QUERIES)])
        cpu = BackendCpu(admin, clients)
        sampler_cpu = cpu_seconds([sampler.info.backend_pid])
        # At least one sample in a short run.
        watches = [Watch(cpu.poll, POLL_EVERY),
                   Watch(lambda: recalls.append(sample_recall(sampler, next(batches))),
                         min(SAMPLE_EVERY, plan.seconds / 2))]
        variables = {"skew": plan.skew, "queries": len(data.hot)}
        command, kinds = pgbench.command(pgbench.find_pgbench(host.bindir), folder, script, plan.mix, clients,
                                         plan.seconds, variables, plan.seed, plan.rate)
        for watch in watches:
            watch.start()
        done = subprocess.run(command + [system], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env=host.environment() | {"PGAPPNAME": CLIENT,
                                         "PGOPTIONS": f"-c hnsw.ef_search={plan.ef_search[system]}"}, check=False)
        for watch in watches:
            watch.finish()
        if done.returncode != 0:
            raise SystemExit(f"pgbench failed on {system}:\n{done.stdout}")
        sampler_cpu = cpu_seconds([sampler.info.backend_pid]) - sampler_cpu
        autovacuums = admin.execute(vacuums).fetchone()[0] - vacuums_before
        admin.execute("ALTER TABLE items SET (autovacuum_enabled = off)")
        start = time.monotonic()
        admin.execute("VACUUM (ANALYZE) items")
        vacuum_seconds = time.monotonic() - start
        check_index(admin, system)
        rows, equal = admin.execute(
            "SELECT count(*), count(*) - count(DISTINCT embedding) FROM items").fetchone()
        log = pgbench.read_logs(folder, kinds)

    searches = int((log.kind == 1).sum())
    span = float(log.end.max() - (log.end - log.micros / 1e6).min())
    return {
        "system": system, "script": script, "clients": clients, "seconds": round(span, 2),
        "ef_search": plan.ef_search[system],
        "searches_per_second": round(searches / span, 1),
        "writes_per_second": round((len(log.kind) - searches) / span, 1),
        "cpu_us_per_transaction": cpu.per_transaction(log),
        "latency_ms": {pgbench.KINDS[k - 1]: {"count": int((log.kind == k).sum())} | log.percentiles(k)
                       for k in kinds},
        "failed": log.failed, "recall": recalls, "sampler_cpu_seconds": sampler_cpu,
        "autovacuums": autovacuums, "vacuum_seconds": round(vacuum_seconds, 2), "rows": rows, "equal_vectors": equal,
    }


@contextlib.contextmanager
def any_server(running: bool) -> Iterator[Host]:
    """A running server, or one of our own for as long as this lasts."""
    if running:
        yield RunningServer()
        return
    with server.start(SETTINGS) as own:
        yield own


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """What read_data needs, beside the name of a set."""
    parser.add_argument("--data", help="folder of the known sets, as of bench/compare.py")
    parser.add_argument("--base", help="a file of base vectors, of kind .npy, .fbin, .fvecs or .hdf5")
    parser.add_argument("--queries", help="a file of query vectors (default: those of the .hdf5)")
    parser.add_argument("--dim", type=int, help="use their first DIM columns")
    parser.add_argument("--vectors", type=int, help="use the first VECTORS base vectors")
    parser.add_argument("--rows", type=int, help="rows in the table (default: three fifths of the vectors)")
    parser.add_argument("--held", type=int, default=100, help="queries held back to sample recall with")
    parser.add_argument("--seed", type=int, default=1)


def read_data(name: str, args: argparse.Namespace) -> Data:
    """The files of --base and --queries, or the set of this name."""
    if args.base:
        name, dim = Path(args.base).name.split(".")[0], args.dim
        files = (args.base, args.queries or args.base)
    elif name == WORDS:
        vectors = vxdb.load_words()[1]
        order = np.random.default_rng(args.seed).permutation(len(vectors))
        return divide(name, vectors[np.sort(order[1000:])][:args.vectors], vectors[order[:1000]], args.rows, args.held)
    else:
        known = compare.known_sets(compare.data_folder(args.data))
        if name not in known:
            raise SystemExit(f"no set {name}; known are {WORDS}, {', '.join(known)}")
        files, dim = (known[name].base, known[name].queries), known[name].dim
    return divide(name, datasets.load(files[0], args.vectors, dim), datasets.load(files[1], dim=dim, part="test"),
                  args.rows, args.held)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default=WORDS,
                        help="sets that bench/compare.py knows, with commas (default: the word vectors of bench/data)")
    add_data_arguments(parser)
    parser.add_argument("--script", default="market_traffic",
                        help=f"of {', '.join(pgbench.SCRIPTS)}; several with commas (default: market_traffic)")
    parser.add_argument("--clients", type=numbers, default=[1, 2, 4, 8], help="numbers of them (default: 1,2,4,8)")
    parser.add_argument("--seconds", type=int, default=300, help="length of each run (default: 300)")
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--mix", type=numbers, default=[90, 4, 2, 4],
                        help="parts of searches, inserts, updates, deletes (default: 90,4,2,4)")
    parser.add_argument("--skew", type=float, default=1.1, help="Zipf exponent of the queries (default: 1.1)")
    parser.add_argument("--rate", type=float, help="transactions a second of all clients (default: as fast as they can)")
    parser.add_argument("--ef", default="40", help="ef_search: one number, or vectorx=40,pgvector=60 (default: 40)")
    parser.add_argument("--recall", type=float, help="choose each system's ef_search for this recall instead")
    parser.add_argument("--with", dest="options", default="", help="index options, of both")
    parser.add_argument("--running", action="store_true", help="use the server that PGHOST names")
    parser.add_argument("--load", action="store_true", help="load the tables, run nothing (with --running)")
    parser.add_argument("--output", type=Path, help="folder to write to (default: print only)")
    parser.add_argument("--report", action="store_true", help="measure nothing: write the section of --output anew")
    args = parser.parse_args()
    args.scripts = args.script.split(",")
    args.systems = args.systems.split(",")
    if not set(args.scripts) <= set(pgbench.SCRIPTS) or not set(args.systems) <= set(SYSTEMS):
        parser.error(f"scripts are {', '.join(pgbench.SCRIPTS)}; systems are {', '.join(SYSTEMS)}")
    if len(args.mix) != len(pgbench.KINDS) or args.skew <= 1.0 or args.held < 1:
        parser.error("--mix has four parts, --skew is more than 1, --held at least 1")
    if args.load and not args.running or args.report and not args.output:
        parser.error("--load goes with --running, --report with --output")
    return args


def ef_for(args: argparse.Namespace, host: Host, data: Data) -> dict[str, int]:
    """ef_search of each system: as given, or chosen for a recall."""
    if args.recall is None:
        if args.ef.isdigit():
            return {system: int(args.ef) for system in args.systems}
        given = dict(pair.split("=") for pair in args.ef.split(","))
        return {system: int(given[system]) for system in args.systems}
    chosen = {}
    for system in args.systems:
        with host.connect(system) as conn:
            vxdb.register_vector(conn)
            chosen[system] = choose_ef(conn, data.choosing, args.recall)
    return chosen


def describe(args: argparse.Namespace, host: Host, data: Data, plan: Plan) -> dict:
    """What the figures are of."""
    versions = {}
    for system in args.systems:
        with host.connect(system) as conn:
            versions[system] = conn.execute("SELECT extversion FROM pg_extension WHERE extname = %s",
                                            (server.SYSTEMS[system],)).fetchone()[0]
            if system == "pgvector" and not args.running:
                versions[system] += f" ({server.peer_build()})"
            versions["PostgreSQL"] = conn.execute("SHOW server_version").fetchone()[0].split()[0]
    return {"data": data.name, "rows": data.rows, "reserve": len(data.base) - data.rows,
            "dimensions": data.base.shape[1], "queries": len(data.hot), "held": len(data.held), "skew": plan.skew,
            "mix": plan.mix, "seconds": plan.seconds, "ef_search": plan.ef_search, "options": args.options,
            "seed": plan.seed, "rate": plan.rate, "versions": versions, "processor": processor(), "processors": os.cpu_count(),
            "date": today(), "command": compare.command("bench/traffic.py")}


def run_set(args: argparse.Namespace, data: Data, host: Host) -> dict | None:
    """Load a set into both databases and run every script; returns all figures, None if only loading was asked for."""
    for system in args.systems:
        with host.connect(system) as conn:
            print(f"load {data.name}, {system}: {data.rows:,} rows of {data.base.shape[1]} dimensions", flush=True)
            load(conn, data, f" WITH ({args.options})" if args.options else "")
    if args.load:
        return None
    for system in args.systems:
        with host.connect(system) as conn:
            conn.execute("ALTER TABLE items SET (autovacuum_enabled = off)")
    plan = Plan(args.seconds, dict(zip(pgbench.KINDS, args.mix)), args.skew, ef_for(args, host, data), args.seed,
                args.rate)
    runs: list[dict] = []
    settings = describe(args, host, data, plan)
    for script in args.scripts:
        for turn, clients in enumerate(args.clients):
            # Who goes first changes, so that neither always has the machine the other has warmed.
            for system in args.systems[::-1 if turn % 2 else 1]:
                done = run(host, system, script, clients, plan, data)
                runs.append(done)
                print(f"{script}, {clients} clients, {system}: {done['searches_per_second']:,.0f} searches/s, "
                      f"{done['writes_per_second']:,.0f} writes/s", flush=True)
    # As read: by clients, then system.
    runs.sort(key=lambda r: (args.scripts.index(r["script"]), r["clients"], args.systems.index(r["system"])))
    return {"settings": settings, "runs": runs}


def main() -> None:
    args = parse_args()
    server.stop_on_signal()
    if not args.report:
        try:
            for name in args.set.split(","):
                data = read_data(name, args)
                with any_server(args.running) as host:
                    result = run_set(args, data, host)
                if result:
                    print("\n" + "\n".join(traffic_report.set_section(result)), flush=True)
                    if args.output:
                        traffic_report.keep(args.output, result)
        except server.Unavailable as e:
            raise SystemExit(f"not run: {e}") from None
        except datasets.BadFile as e:
            raise SystemExit(str(e)) from None
    if args.output:
        traffic_report.write(args.output)


if __name__ == "__main__":
    main()
