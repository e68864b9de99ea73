#!/usr/bin/env python3
"""The Python part of scripts/demo, which says what it does.

Connects as PGHOST, PGPORT and PGUSER say; leaves the table "words" with its
index behind.
"""
from __future__ import annotations

import os
import threading
import time

import numpy as np
import psycopg
from psycopg.types.numeric import Int4

from terminal import BUILD_PROGRESS, Progress, build_progress, processor
from vxdb import connect, load_words, recall, register_vector

SEED = 1
HELD_OUT = 1000
WARM_UP = 10
TURN = 50
EF_SEARCH = (10, 20, 40, 80, 160)
SHOWN = ("coffee", "guitar", "doctor", "berlin", "hurricane")
ANALOGIES = (("king", "man", "woman"), ("paris", "france", "italy"))

NEAREST = "SELECT id FROM words ORDER BY embedding <=> %b LIMIT 10"
SCANS = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'words_embedding'"


def one(conn: psycopg.Connection, query: str, params=None):
    row = conn.execute(query, params).fetchone()
    return row[0] if row else None


def load(conn: psycopg.Connection, words: list[str], vectors: np.ndarray,
         stored: np.ndarray) -> None:
    conn.execute("CREATE TABLE words (id int PRIMARY KEY, word text,"
                 f" embedding vector({vectors.shape[1]}))")
    progress = Progress("load")
    with conn.cursor() as cur, cur.copy("COPY words FROM STDIN (FORMAT binary)") as copy:
        for n, i in enumerate(stored):
            copy.write_row((Int4(int(i)), words[i], vectors[i]))
            if n % 500 == 0:
                progress.update(n, len(stored), "rows")
    progress.finish(len(stored), "rows")
    conn.execute("ANALYZE words")


def build(conn: psycopg.Connection, rows: int) -> None:
    """CREATE INDEX, watched from a second connection."""
    failure: list[Exception] = []

    def create() -> None:
        try:
            conn.execute("CREATE INDEX words_embedding ON words"
                         " USING hnsw (embedding vector_cosine_ops)")
        except Exception as e:  # handed to the main thread
            failure.append(e)

    progress = Progress("index")
    builder = threading.Thread(target=create)
    with connect() as watcher:
        builder.start()
        while builder.is_alive():
            row = watcher.execute(BUILD_PROGRESS, (conn.info.backend_pid,)).fetchone()
            if row is not None:
                progress.update(*build_progress(row, rows))
            builder.join(0.05)
    if failure:
        raise failure[0]
    size = one(conn, "SELECT pg_size_pretty(pg_relation_size('words_embedding'))")
    progress.finish(rows, f"rows, {size}")


def show_neighbours(conn: psycopg.Connection) -> None:
    print("\n  SELECT word FROM words ORDER BY embedding <=> (its embedding) LIMIT ...\n")
    for word in SHOWN:
        vector = "(SELECT embedding FROM words WHERE word = %s)"
        query = (f"SELECT word, embedding <=> {vector} FROM words"
                 f" ORDER BY embedding <=> {vector} LIMIT 7")
        rows = conn.execute(query, (word, word)).fetchall()
        print(f"  {word:<24}" + ", ".join(w for w, _ in rows if w != word))
    for a, minus, plus in ANALOGIES:
        target = "(" + " ".join(
            f"{sign} (SELECT embedding FROM words WHERE word = %s)".lstrip()
            for sign in ("", "-", "+")) + ")"
        rows = conn.execute(f"SELECT word FROM words ORDER BY embedding <=> {target} LIMIT 8",
                            (a, minus, plus)).fetchall()
        print(f"  {f'{a} - {minus} + {plus}':<24}"
              + ", ".join([w for (w,) in rows if w not in (a, minus, plus)][:5]))


class Method:
    """One way to answer the queries: a client with its settings.

    Prepared, binary; a connection of its own, for a prepared plan outlives a
    change of settings.
    """

    def __init__(self, *settings: str):
        self.found: list[list[int]] = []
        self.seconds = 0.0
        self.scans = 0
        self.conn = connect()
        register_vector(self.conn)
        for setting in ("max_parallel_workers_per_gather = 0",) + settings:
            self.conn.execute(f"SET {setting}")
        self.cur = self.conn.cursor(binary=True)

    def ask(self, queries: np.ndarray) -> list[list[int]]:
        return [[r[0] for r in self.cur.execute(NEAREST, (q,), prepare=True).fetchall()]
                for q in queries]

    def scans_so_far(self) -> int:
        self.conn.execute("SELECT pg_stat_force_next_flush()")
        return one(self.conn, SCANS)

    def measure(self, queries: np.ndarray) -> None:
        before = self.scans_so_far()
        start = time.perf_counter()
        self.found += self.ask(queries)
        self.seconds += time.perf_counter() - start
        self.scans += self.scans_so_far() - before

    @property
    def speed(self) -> float:
        return len(self.found) / self.seconds


def compare(queries: np.ndarray) -> None:
    """The methods take turns, so that a busy moment of the machine is everyone's."""
    exact = Method("enable_indexscan = off")
    methods = [Method(f"hnsw.ef_search = {ef}") for ef in EF_SEARCH]
    progress = Progress("search")
    for method in [exact] + methods:
        method.ask(queries[:WARM_UP])
    for start in range(0, len(queries), TURN):
        for method in [exact] + methods:
            method.measure(queries[start:start + TURN])
        progress.update(start + TURN, len(queries), "queries")
    progress.finish(len(queries), "queries")

    if exact.scans:
        raise SystemExit("the exact scan used the index")
    print(f"\n  {len(queries):,} words that are not in the table, 10 nearest of each, one client\n")
    print("  method          ef_search  recall@10  queries/s  times exact")
    print(f"  exact scan              -      1.000 {exact.speed:>10,.0f}          1.0")
    for ef, method in zip(EF_SEARCH, methods):
        if method.scans < len(queries):
            raise SystemExit(f"only {method.scans} of {len(queries)} queries used the index")
        print(f"  hnsw index     {ef:>10}      {recall(method.found, exact.found):.3f}"
              f" {method.speed:>10,.0f} {method.speed / exact.speed:>12,.1f}")


def main() -> None:
    words, vectors = load_words()
    rng = np.random.default_rng(SEED)
    keep = {w for w in SHOWN} | {w for a in ANALOGIES for w in a}
    may_go = np.array([i for i, w in enumerate(words) if w not in keep])
    held = np.sort(rng.choice(may_go, HELD_OUT, replace=False))
    stored = np.setdiff1d(np.arange(len(words)), held)

    with connect() as conn:
        conn.execute("CREATE EXTENSION vectorx")
        register_vector(conn)
        version = one(conn, "SELECT extversion FROM pg_extension WHERE extname = 'vectorx'")
        server = one(conn, "SHOW server_version").split()[0]
        print(f"vectorx {version}, PostgreSQL {server}, {processor()}, {os.cpu_count()} processors\n")
        load(conn, words, vectors, stored)
        build(conn, len(stored))
        show_neighbours(conn)
    print()
    compare(vectors[held])


if __name__ == "__main__":
    main()
