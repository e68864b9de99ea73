#!/usr/bin/env python3
"""What the cache of results costs and saves: CPU time of the backend (docs/caching.md).

    bench/cached.py BASE.npy QUERIES.npy [--dim 384] [--rows 50000] [--rounds 40]

On the server that the PG* variables name, with the extension in its database.  Ten rows a query, by
cosine; the ways take turns, and each turn's time is the median of the rounds.
"""
import argparse
import statistics
from pathlib import Path

import numpy as np
import vxdb

SEARCH = "SELECT id FROM cached_items ORDER BY embedding <=> %s LIMIT 10"
FETCH = "SELECT id FROM cached_items WHERE id = ANY(%s::int[])"
HOT, EACH = 100, 200


def cpu(pid: int) -> int:
    """Nanoseconds that a process has run."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def load(conn, base: np.ndarray) -> None:
    conn.execute("DROP TABLE IF EXISTS cached_items")
    conn.execute(f"CREATE TABLE cached_items (id int PRIMARY KEY, embedding vector({base.shape[1]}))")
    vxdb.copy_rows(conn, "cached_items", np.arange(len(base)), base)
    conn.execute("CREATE INDEX cached_items_v ON cached_items USING hnsw (embedding vector_cosine_ops)")
    conn.execute("VACUUM ANALYZE cached_items")


def effort(conn, base: np.ndarray, queries: np.ndarray) -> int:
    """The least hnsw.ef_search that has a recall of .95."""
    unit = base / np.linalg.norm(base, axis=1, keepdims=True)
    true = [set(np.argpartition(-(unit @ q), 10)[:10].tolist()) for q in queries[:HOT]]
    for ef in (10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 150, 200):
        conn.execute(f"SET hnsw.ef_search = {ef}")
        found = [{row[0] for row in conn.execute(SEARCH, (vxdb.encode(q),))} for q in queries[:HOT]]
        if sum(len(f & t) for f, t in zip(found, true)) >= 9.5 * len(true):
            break
    return ef


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("queries")
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=40)
    args = parser.parse_args()
    base = np.load(args.base, mmap_mode="r")[:args.rows, :args.dim].astype(np.float32)
    queries = np.load(args.queries, mmap_mode="r")[:, :args.dim].astype(np.float32)
    conn = vxdb.connect(prepare_threshold=0)
    vxdb.register_vector(conn)
    pid = conn.execute("SELECT pg_backend_pid()").fetchone()[0]
    load(conn, base)
    conn.execute("SET enable_seqscan = off")
    ef = effort(conn, base, queries)
    hot = [vxdb.encode(q) for q in queries[:HOT]]
    cold: list = []
    rng = np.random.default_rng(1)
    ids = [[row[0] for row in conn.execute(SEARCH, (q,))] for q in hot]

    def turn(cache: str, sql: str, of: list) -> float:
        conn.execute(f"SET vectorx.cache = {cache}")
        # a miss is a query that has never been asked
        for q in hot if of is cold else of:
            conn.execute(sql, (q,), prepare=True).fetchall()
        before = cpu(pid)
        for i in range(EACH):
            conn.execute(sql, (of[i % len(of)],), prepare=True).fetchall()
        return (cpu(pid) - before) / EACH / 1000

    ways = {"ten rows by their keys": ("off", FETCH, ids), "search": ("off", SEARCH, hot), "hit": ("on", SEARCH, hot),
            "search, other queries": ("off", SEARCH, cold), "miss": ("on", SEARCH, cold)}
    times = {way: [] for way in ways}

    def change() -> None:
        others = queries[HOT:HOT + EACH]
        cold[:] = [vxdb.encode(q) for q in others + 1e-4 * rng.standard_normal(others.shape, np.float32)]

    # until the cache is full
    for _ in range(60):
        change()
        turn("on", SEARCH, cold)
    for _ in range(args.rounds):
        change()
        for way, arguments in ways.items():
            times[way].append(turn(*arguments))
    print(f"{len(base):,} rows of {base.shape[1]} dimensions, hnsw.ef_search = {ef}")
    for way, t in times.items():
        print(f"{way:24s} {statistics.median(t):7.1f} us")

    def ratio(a: str, b: str) -> float:
        return statistics.median(x / y for x, y in zip(times[a], times[b]))

    print(f"hit / ten rows {ratio('hit', 'ten rows by their keys'):.2f}, hit / search {ratio('hit', 'search'):.2f}, "
          f"miss / search {ratio('miss', 'search, other queries'):.3f}")


if __name__ == "__main__":
    main()
