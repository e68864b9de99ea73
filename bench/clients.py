"""One client of one system, and what can be read about its backend.

CPU time and memory come from /proc of the backend (Linux), so the client has
to be on the server's machine.
"""
from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Iterator

import numpy as np

import processes
import vxdb
from server import SYSTEMS, Server
from terminal import Progress

TABLE = "items"
INDEX = "items_embedding"
# One plan for all, and no second process whose CPU time would go unseen.
SESSION = ("max_parallel_workers_per_gather = 0", "max_parallel_maintenance_workers = 0",
           "plan_cache_mode = force_generic_plan", "enable_seqscan = off")
COPY_ROWS = 1_000


def nearest_sql(metric: str) -> str:
    operator = vxdb.operator(metric).replace("%", "%%")
    return f"SELECT id FROM {TABLE} ORDER BY embedding {operator} %b LIMIT 10"


@dataclass
class Cost:
    """Time that went into something: of the backend's processor, and of the clock."""

    cpu: float = 0.0
    wall: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.cpu + other.cpu, self.wall + other.wall)


class Client:
    """A connection with what the benchmark asks of it."""

    def __init__(self, server: Server, system: str, metric: str, database: str | None = None):
        self.system = system
        self.sql = nearest_sql(metric)
        self.conn = server.connect(database or system)
        self.pid = self.conn.info.backend_pid
        vxdb.register_vector(self.conn)
        for setting in SESSION:
            self.conn.execute(f"SET {setting}")
        self.cur = self.conn.cursor(binary=True)

    def close(self) -> None:
        self.conn.close()

    def set_ef(self, ef: int) -> None:
        self.conn.execute(f"SET hnsw.ef_search = {ef}")

    def ask(self, queries: vxdb.Rows, prepare: bool = True) -> list[list[int]]:
        return [[row[0] for row in self.cur.execute(self.sql, (q,), prepare=prepare).fetchall()] for q in queries]

    def insert(self, ids: np.ndarray, vectors: vxdb.Rows, table: str = TABLE) -> Cost:
        """One statement and one transaction for each row; what they cost, from encoded vectors on."""
        sql = f"INSERT INTO {table} (id, embedding) VALUES (%b, %b)"
        rows = [(int(i), vxdb.encode(vector)) for i, vector in zip(ids, vectors)]
        with self.measured() as spent:
            for row in rows:
                self.cur.execute(sql, row, prepare=True)
        return spent

    def one(self, sql: str):
        row = self.conn.execute(sql).fetchone()
        assert row is not None
        return row[0]

    def explain(self, query: np.ndarray | vxdb.SparseRow, options: str = "ANALYZE, BUFFERS, TIMING OFF") -> dict:
        """EXPLAIN's answer for a query; a plan without the index is an error."""
        sql = f"EXPLAIN ({options}, FORMAT JSON) {self.sql}"
        row = self.conn.execute(sql, (query,)).fetchone()
        assert row is not None
        node = row[0][0]["Plan"]["Plans"][0]
        if node.get("Index Name") != INDEX:
            raise SystemExit(f"{self.system}: the plan does not use the index but a {node['Node Type']}")
        return row[0][0] | {"Scan": node}

    # ---- the backend

    def cpu(self) -> float:
        """CPU seconds the backend has used."""
        return processes.cpu(self.pid)

    def memory(self, name: str) -> int:
        """Bytes, by the name /proc/PID/status has for it: VmHWM, VmRSS, RssAnon."""
        return processes.status(self.pid, name)

    def reset_peak(self) -> None:
        """Let VmHWM begin anew at what is resident now."""
        (processes.PROC / str(self.pid) / "clear_refs").write_text("5", encoding="ascii")

    def context_bytes(self) -> int:
        return int(self.one("SELECT sum(total_bytes) FROM pg_backend_memory_contexts"))

    @contextlib.contextmanager
    def measured(self) -> Iterator[Cost]:
        """What the backend and the clock spend inside; read after the end."""
        cost = Cost()
        cpu, wall = self.cpu(), time.perf_counter()
        yield cost
        cost.cpu, cost.wall = self.cpu() - cpu, time.perf_counter() - wall


@contextlib.contextmanager
def clients(server: Server, metric: str, databases: dict[str, str] | None = None) -> Iterator[list[Client]]:
    """A client of each system, in the databases named, or each in its own."""
    with contextlib.ExitStack() as stack:
        result = []
        for system in SYSTEMS:
            client = Client(server, system, metric, (databases or {}).get(system))
            stack.callback(client.close)
            result.append(client)
        yield result


def turns(systems: list[Client], turn: int) -> list[Client]:
    """Who goes first alternates."""
    return systems if turn % 2 == 0 else systems[::-1]


def load(client: Client, vectors: vxdb.Rows, table: str = TABLE) -> None:
    client.conn.execute(f"DROP TABLE IF EXISTS {table}")
    client.conn.execute(f"CREATE TABLE {table} (id int, embedding {vxdb.TYPE}({vectors.shape[1]}))")
    progress = Progress("load")
    for start in range(0, len(vectors), COPY_ROWS):
        batch = vectors[start:start + COPY_ROWS]
        vxdb.copy_rows(client.conn, table, np.arange(start, start + len(batch)), batch)
        progress.update(start + len(batch), len(vectors), client.system)
    progress.finish(len(vectors), f"rows, {client.system}")


def wal_position(client: Client) -> int:
    return int(client.one("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))


def warm(client: Client, queries: np.ndarray) -> None:
    """Bring table and index into shared buffers, and the plan into the cache."""
    client.conn.execute("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
    client.conn.execute("SELECT pg_prewarm(oid::regclass) FROM pg_class WHERE oid IN (%s::regclass, %s::regclass)"
                        " OR oid = (SELECT reltoastrelid FROM pg_class WHERE oid = %s::regclass)",
                        (TABLE, INDEX, TABLE))
    client.ask(queries[:20])


def pending(client: Client) -> int:
    """Rows that the index has and that are not linked yet."""
    if client.system != "vectorx":
        return 0
    # a build without pending rows has no such column
    return client.one(f"SELECT coalesce((to_jsonb(i)->>'pending_rows')::int, 0) FROM hnsw_info('{INDEX}') i")


def merge(client: Client) -> Cost:
    """Until nothing is pending in the index; what that costs."""
    with client.measured() as spent:
        if client.one("SELECT to_regprocedure('hnsw_merge(regclass)') IS NOT NULL"):
            client.conn.execute(f"SELECT hnsw_merge('{INDEX}')")
    return spent


def check(client: Client) -> None:
    """vectorx can verify its index; nothing else may be published."""
    if client.system == "vectorx":
        problems = client.conn.execute(f"SELECT * FROM hnsw_check('{INDEX}') LIMIT 5").fetchall()
        if problems:
            raise SystemExit(f"hnsw_check: {problems}")
