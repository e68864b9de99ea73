#!/usr/bin/env python3
"""What the cache of results costs and saves: CPU time of the backend (docs/caching.md).

    bench/cached.py BASE.npy QUERIES.npy [--dim 384] [--rows 50000] [--rounds 40]
    bench/cached.py BASE.npy QUERIES.npy --hot [--inserts 1000] [--clients 2] [--seconds 6]

On the server that the PG* variables name, with the extension in its database.  Ten rows a query, by
cosine; the ways take turns, and each turn's time is the median of the rounds.  With --hot clients draw
queries by a Zipf distribution (pgbench), with and without the cache in turns, while another inserts rows.
"""
import argparse
import os
import re
import statistics
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pgbench
import processes
import vxdb

SEARCH = "SELECT id FROM cached_items ORDER BY embedding <=> %s LIMIT 10"
FETCH = "SELECT id FROM cached_items WHERE id = ANY(%s::int[])"
HOT, EACH = 100, 200


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


ASK = """\\set query random_zipfian(1, :keys, :zipf)
SELECT id FROM cached_items ORDER BY embedding <=> (SELECT embedding FROM cached_queries WHERE id = :query) LIMIT 10;
"""
WRITE = """INSERT INTO cached_items SELECT 10000000 + n, embedding
FROM (SELECT nextval('cached_next') AS n OFFSET 0) s JOIN cached_reserve r ON r.id = n % :reserve;
"""
RESERVE = 50_000


def start(folder: Path, name: str, script: str, clients: int, variables: dict, settings: str, *more: str) -> subprocess.Popen:
    """pgbench with one script; its output tells how many transactions there were."""
    path = folder / f"{name}.sql"
    path.write_text(script, encoding="ascii")
    return subprocess.Popen(
        [str(pgbench.find_pgbench()), "-n", "-M", "prepared", "-c", str(clients), "-j", str(clients), "-f", str(path), *more]
        + [a for key, value in variables.items() for a in ("-D", f"{key}={value}")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=dict(os.environ) | {"PGAPPNAME": name, "PGOPTIONS": settings})


def finish(process: subprocess.Popen) -> int:
    """Transactions."""
    text = process.communicate()[0]
    done = re.search(r"transactions actually processed: (\d+)", text)
    if process.returncode != 0 or done is None:
        raise SystemExit(f"pgbench failed:\n{text}")
    return int(done.group(1))


def hot(args: argparse.Namespace, conn, base: np.ndarray, queries: np.ndarray, ef: int) -> None:
    postmaster = processes.stat(conn.info.backend_pid).parent
    for table, vectors in (("cached_queries", near(queries, args.keys, 3)), ("cached_reserve", near(base, RESERVE, 5))):
        conn.execute(f"DROP TABLE IF EXISTS {table}")
        conn.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, embedding vector({base.shape[1]}))")
        vxdb.copy_rows(conn, table, np.arange(len(vectors)) + (table == "cached_queries"), vectors)
        conn.execute(f"VACUUM ANALYZE {table}")
    conn.execute("DROP SEQUENCE IF EXISTS cached_next")
    conn.execute("CREATE SEQUENCE cached_next MINVALUE 0")

    def counts() -> np.ndarray:
        return np.array(conn.execute("SELECT coalesce(sum(hits), 0), coalesce(sum(misses), 0), coalesce(sum(merges), 0) "
                                     "FROM vectorx_cache").fetchone(), float)

    found, spent, told = np.zeros(2), np.zeros(2), np.zeros(3)
    with tempfile.TemporaryDirectory(prefix="vx.") as name:
        folder = Path(name)
        turns = 2 * (args.rounds + 1)
        writer = start(folder, "writer", WRITE, 1, {"reserve": RESERVE}, "-c synchronous_commit=off",
                       "-R", str(args.inserts), "-T", str(int(turns * (args.seconds + 2)))) if args.inserts else None
        for turn in range(turns):
            cached = turn % 2
            settings = f"-c vectorx.cache={'on' if cached else 'off'} -c hnsw.ef_search={ef} -c enable_seqscan=off"
            others = [row[0] for row in conn.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'writer' "
                                                     "OR pid = pg_backend_pid()")]
            before, cpu_before = counts(), processes.server_cpu(postmaster, others)
            n = finish(start(folder, "asker", ASK, args.clients, {"keys": args.keys, "zipf": args.zipf}, settings,
                             "-T", str(args.seconds)))
            # the first ones fill the cache
            if turn >= 2:
                found[cached] += n
                spent[cached] += processes.server_cpu(postmaster, others) - cpu_before
                told += cached * (counts() - before)
        rows = conn.execute("SELECT count(*) FROM cached_items").fetchone()[0]
        if writer:
            writer.terminate()
            writer.wait()
    hits, misses, merges = told
    print(f"{args.clients} clients, {args.keys:,} queries by Zipf {args.zipf}, {args.inserts} inserts/s, hnsw.ef_search = {ef}, "
          f"{rows:,} rows at the end ({(rows - len(base)) / turns / args.seconds:.0f} a second came)")
    each = spent / found * 1e6
    for i, cache in enumerate(("off", "on")):
        print(f"cache {cache:3s} {found[i] / args.rounds / args.seconds:8.0f} searches/s, {each[i]:6.1f} us of the server each")
    print(f"searches/s {found[1] / found[0]:.2f}, CPU {each[1] / each[0]:.2f}; hits {hits / max(hits + misses, 1):.3f}, "
          f"of them with rows to look at {merges / max(hits, 1):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("queries")
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--hot", action="store_true")
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--inserts", type=int, default=1000, help="rows a second")
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--zipf", type=float, default=1.001, help="its exponent, more than 1")
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
        before = processes.cpu(pid)
        for i in range(EACH):
            conn.execute(sql, (of[i % len(of)],), prepare=True).fetchall()
        return (processes.cpu(pid) - before) / EACH * 1e6

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
