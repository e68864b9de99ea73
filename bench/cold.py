#!/usr/bin/env python3
"""Searches of an index that does not fit shared_buffers, beside pgvector's.

The operating system's cache of the table's and the index's files is emptied before each query
("disk") or not at all ("system cache"), or all is in shared buffers ("buffers").  For each
effective_io_concurrency it prints, a query, medians over queries of

    ms          time
    cpu         CPU of the backend, microseconds
    index, heap pages that were not in shared buffers

The settings take turns, query by query, within one session; a query comes again when all others
have been asked.

    .venv/bin/python bench/server.py --set shared_buffers=32MB .venv/bin/python bench/cold.py
"""
from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import numpy as np
import psycopg
import server
import vxdb
from processes import cpu

SETS = {"glove100": ("glove100", 100), "minilm384": ("minilm1536", 384)}


def forget(files: list[str]) -> None:
    """Take files, which have been written, out of the operating system's cache."""
    for file in files:
        handle = os.open(file, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def load(conn: psycopg.Connection, extension: str, rows: np.ndarray) -> None:
    conn.execute(f"DROP TABLE IF EXISTS cold; CREATE EXTENSION IF NOT EXISTS {extension}")
    vxdb.register_vector(conn)
    conn.execute(f"CREATE TABLE cold (id int, embedding vector({rows.shape[1]}))")
    vxdb.copy_rows(conn, "cold", np.arange(len(rows)), rows)
    conn.execute("CREATE INDEX cold_v ON cold USING hnsw (embedding vector_cosine_ops)")
    conn.execute("VACUUM ANALYZE cold")
    conn.execute("CHECKPOINT")
    os.sync()


class Session:
    """A session that measures queries of the table."""

    def __init__(self, conn: psycopg.Connection, args: argparse.Namespace):
        self.conn, self.args = conn, args
        self.pid = conn.info.backend_pid
        folder = Path(conn.execute("SHOW data_directory").fetchone()[0])
        names = conn.execute("SELECT pg_relation_filepath(oid) FROM pg_class WHERE relname IN ('cold', 'cold_v')"
                             " OR oid = (SELECT reltoastrelid FROM pg_class WHERE relname = 'cold')").fetchall()
        self.files = [str(file) for (name,) in names for file in folder.glob(f"{name}*")]
        conn.execute("SET enable_seqscan = off; SET stats_fetch_consistency = none; SET plan_cache_mode = force_custom_plan")
        conn.execute(f"SET hnsw.ef_search = {args.ef}")
        conn.execute(f"PREPARE near AS SELECT id FROM cold ORDER BY embedding <=> $1 LIMIT {args.limit}")

    def reads(self) -> tuple[int, int]:
        self.conn.execute("SELECT pg_stat_force_next_flush()")
        return self.conn.execute("SELECT idx_blks_read, heap_blks_read + coalesce(toast_blks_read, 0)"
                                 " FROM pg_statio_user_tables WHERE relname = 'cold'").fetchone()

    def ask(self, vector: np.ndarray, concurrency: int, disk: bool) -> tuple[float, float, int, int]:
        query = f"EXECUTE near('{'[' + ','.join(f'{x:.6g}' for x in vector) + ']'}')"
        self.conn.execute(f"SET effective_io_concurrency = {concurrency}")
        before = self.reads()
        if disk:
            forget(self.files)
        cpu_before, start = cpu(self.pid), time.perf_counter()
        self.conn.execute(query).fetchall()
        spent, used = time.perf_counter() - start, cpu(self.pid) - cpu_before
        after = self.reads()
        return spent * 1e3, used * 1e6, after[0] - before[0], after[1] - before[1]


def measure(system: str, session: Session, queries: np.ndarray, where: str) -> None:
    found: dict[int, list] = {n: [] for n in session.args.concurrency}
    settings = session.args.concurrency
    # each query once in a round, so that the buffers hold what others have left
    for turn in range(-1, len(settings)):
        for number, vector in enumerate(queries):
            n = settings[(number + turn) % len(settings)]
            measured = session.ask(vector, n, where == "disk")
            if turn >= 0:
                found[n].append(measured)
    for n, rows in found.items():
        ms, used, index, heap = (statistics.median(column) for column in zip(*rows))
        print(f"| {where} | {system} | {n} | {ms:.2f} | {used:.0f} | {index:.0f} | {heap:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("VECTORX_DATA", ""))
    parser.add_argument("--set", choices=SETS, default="minilm384")
    parser.add_argument("--rows", type=int, default=20000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--limit", type=int, default=10)
    parser.add_argument("--ef", type=int, default=40)
    parser.add_argument("--systems", nargs="*", choices=server.SYSTEMS, default=list(server.SYSTEMS))
    parser.add_argument("--where", nargs="*", default=["disk", "system cache"])
    parser.add_argument("--concurrency", nargs="*", type=int, default=[0, 1, 4, 16])
    args = parser.parse_args()
    name, dim = SETS[args.set]
    base = np.asarray(np.load(Path(args.data) / f"{name}.base.npy", mmap_mode="r")[:args.rows, :dim], np.float32)
    queries = np.asarray(np.load(Path(args.data) / f"{name}.queries.npy")[-args.queries:, :dim], np.float32)
    for system in args.systems:
        with vxdb.connect(dbname=system) as conn:
            load(conn, server.SYSTEMS[system], base)
        with vxdb.connect(dbname=system) as conn:
            size, buffers = conn.execute("SELECT pg_size_pretty(pg_relation_size('cold_v')), current_setting('shared_buffers')").fetchone()
            print(f"{system}: an index of {size}, shared_buffers {buffers}", flush=True)
            session = Session(conn, args)
            for where in args.where:
                measure(system, session, queries, where)


if __name__ == "__main__":
    main()
