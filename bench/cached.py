#!/usr/bin/env python3
"""What the cache of results costs and saves: CPU time of the backend (docs/caching.md).

    bench/cached.py BASE.npy QUERIES.npy [--dim 384] [--rows 50000] [--rounds 40]
    bench/cached.py BASE.npy QUERIES.npy --hot [--inserts 1000] [--clients 2] [--seconds 6]

On the server that the PG* variables name, with the extension in its database.  Ten rows a query, by
cosine; the ways take turns, and each turn's time is the median of the rounds.  With --hot clients draw
queries by a Zipf distribution, with and without the cache in turns, while another inserts rows.
"""
import argparse
import multiprocessing as mp
import statistics
import time
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


def near(vectors: np.ndarray, n: int, seed: int) -> np.ndarray:
    """n vectors beside some of these."""
    rng = np.random.default_rng(seed)
    of = vectors[rng.integers(len(vectors), size=n)]
    scale = .02 * np.linalg.norm(of, axis=1, keepdims=True) / np.sqrt(of.shape[1])
    return (of + scale * rng.standard_normal(of.shape)).astype(np.float32)


def client(args: argparse.Namespace, seed: int, keys: np.ndarray, ef: int, gate, results) -> None:
    """Asks as fast as it can between two of the gate's openings; tells how many, and the backend's CPU."""
    rng = np.random.default_rng(seed)
    weights = np.arange(1, len(keys) + 1) ** -float(args.zipf)
    drawn = rng.choice(len(keys), size=400_000, p=weights / weights.sum())
    encoded = [vxdb.encode(key) for key in keys]
    at = 0
    with vxdb.connect(prepare_threshold=0) as conn:
        vxdb.register_vector(conn)
        pid = conn.execute("SELECT pg_backend_pid()").fetchone()[0]
        conn.execute("SET enable_seqscan = off")
        conn.execute(f"SET hnsw.ef_search = {ef}")
        for turn in range(2 * args.rounds):
            conn.execute(f"SET vectorx.cache = {'on' if turn % 2 else 'off'}")
            gate.wait()
            end, before, first = time.monotonic() + args.seconds, cpu(pid), at
            while time.monotonic() < end:
                for _ in range(20):
                    conn.execute(SEARCH, (encoded[drawn[at % len(drawn)]],), prepare=True).fetchall()
                    at += 1
            results.put((turn, at - first, (cpu(pid) - before) / 1000))
            gate.wait()


def insert(args: argparse.Namespace, base: np.ndarray, stop) -> None:
    """One row a statement, so many a second."""
    rows = near(base, 50_000, 5)
    with vxdb.connect(prepare_threshold=0) as conn:
        vxdb.register_vector(conn)
        conn.execute("SET synchronous_commit = off")
        began, n = time.monotonic(), 0
        while not stop.is_set():
            while n < (time.monotonic() - began) * args.inserts:
                conn.execute("INSERT INTO cached_items VALUES (%s, %s)", (10_000_000 + n, vxdb.encode(rows[n % len(rows)])),
                             prepare=True)
                n += 1
            time.sleep(.002)


def hot(args: argparse.Namespace, conn, base: np.ndarray, queries: np.ndarray, ef: int) -> None:
    keys = near(queries, args.keys, 3)
    gate, results, stop = mp.Barrier(args.clients + 1), mp.Queue(), mp.Event()
    workers = [mp.Process(target=client, args=(args, 10 + i, keys, ef, gate, results)) for i in range(args.clients)]
    writer = mp.Process(target=insert, args=(args, base, stop))
    for process in [*workers, writer]:
        process.start()
    found, spent, ratios = [0, 0], [0.0, 0.0], []

    def counts() -> tuple[int, int, int]:
        return conn.execute("SELECT coalesce(sum(hits), 0), coalesce(sum(misses), 0), coalesce(sum(merges), 0) "
                            "FROM vectorx_cache").fetchone()

    for turn in range(2 * args.rounds):
        before = counts()
        gate.wait()
        got = [results.get() for _ in workers]
        assert {g[0] for g in got} == {turn}
        hits, misses, merges = (int(b - a) for a, b in zip(before, counts()))
        n, micros = sum(g[1] for g in got), sum(g[2] for g in got)
        # the first ones fill the cache
        if turn >= 2:
            found[turn % 2] += n
            spent[turn % 2] += micros
            if turn % 2:
                ratios.append((hits / max(hits + misses, 1), merges / max(hits, 1)))
        gate.wait()
    stop.set()
    for process in [*workers, writer]:
        process.join()
    rounds = args.rounds - 1
    print(f"{args.clients} clients, {args.keys:,} queries by Zipf {args.zipf}, {args.inserts} inserts/s, hnsw.ef_search = {ef}, "
          f"{conn.execute('SELECT count(*) FROM cached_items').fetchone()[0]:,} rows at the end")
    for i, cache in enumerate(("off", "on")):
        print(f"cache {cache:3s} {found[i] / rounds / args.seconds:8.0f} searches/s, {spent[i] / found[i]:6.1f} us of the backend each")
    print(f"searches/s {found[1] / found[0]:.2f}, CPU {spent[1] / found[1] / (spent[0] / found[0]):.2f}; "
          f"hits {statistics.mean(r[0] for r in ratios):.3f}, of them with rows to look at {statistics.mean(r[1] for r in ratios):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("queries")
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--hot", action="store_true")
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--inserts", type=int, default=1000, help="rows a second")
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--zipf", type=float, default=1.0)
    args = parser.parse_args()
    base = np.load(args.base, mmap_mode="r")[:args.rows, :args.dim].astype(np.float32)
    queries = np.load(args.queries, mmap_mode="r")[:, :args.dim].astype(np.float32)
    conn = vxdb.connect(prepare_threshold=0)
    vxdb.register_vector(conn)
    pid = conn.execute("SELECT pg_backend_pid()").fetchone()[0]
    load(conn, base)
    conn.execute("SET enable_seqscan = off")
    ef = effort(conn, base, queries)
    if args.hot:
        hot(args, conn, base, queries, ef)
        return
    often = [vxdb.encode(q) for q in queries[:HOT]]
    cold: list = []
    rng = np.random.default_rng(1)
    ids = [[row[0] for row in conn.execute(SEARCH, (q,))] for q in often]

    def turn(cache: str, sql: str, of: list) -> float:
        conn.execute(f"SET vectorx.cache = {cache}")
        # a miss is a query that has never been asked
        for q in often if of is cold else of:
            conn.execute(sql, (q,), prepare=True).fetchall()
        before = cpu(pid)
        for i in range(EACH):
            conn.execute(sql, (of[i % len(of)],), prepare=True).fetchall()
        return (cpu(pid) - before) / EACH / 1000

    ways = {"ten rows by their keys": ("off", FETCH, ids), "search": ("off", SEARCH, often), "hit": ("on", SEARCH, often),
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
