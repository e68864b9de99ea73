#!/usr/bin/env python3
"""Measure one data set and one set of index options on a running server.

Loads the base vectors, builds an hnsw index, and prints for each ef_search
recall@10 against exact neighbours, the backend's CPU time per query (planning
and execution of a prepared statement with a binary parameter) and the buffers
its index scan touches.  Run it on the machine the server is on, which it reads
CPU times from (Linux).

Defaults were chosen with it on the first 500 queries of a set; choose on those
only, and leave the others (--skip 500) to figures that are published.

    bench/measure.py --base vectors.npy --queries queries.npy --metric cosine \\
        --dim 384 --rows 40000 --with "sketch_bits = 2"

The server is the one that PGHOST, PGPORT, PGUSER and PGDATABASE name; the
table is dropped and made again.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import psycopg

import vxdb

OPERATORS = {"l2": "<->", "ip": "<#>", "cosine": "<=>", "l1": "<+>"}


def backend_cpu(conn: psycopg.Connection) -> float:
    """CPU seconds the backend has used."""
    return int(Path(f"/proc/{conn.info.backend_pid}/schedstat").read_text().split()[0]) / 1e9


def scan_buffers(conn: psycopg.Connection, sql: str, query: np.ndarray) -> int:
    row = conn.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {sql}", (query,)).fetchone()
    node = row[0][0]["Plan"]["Plans"][0]
    if node["Node Type"] != "Index Scan":
        raise SystemExit(f"the plan is no index scan but {node['Node Type']}")
    return node["Shared Hit Blocks"] + node["Shared Read Blocks"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help=".npy of base vectors")
    parser.add_argument("--queries", required=True, help=".npy of query vectors")
    parser.add_argument("--metric", choices=OPERATORS, default="cosine")
    parser.add_argument("--dim", type=int, help="use the first DIM columns")
    parser.add_argument("--rows", type=int, help="use the first ROWS base vectors")
    parser.add_argument("--skip", type=int, default=0, help="queries to skip (hold back)")
    parser.add_argument("--count", type=int, default=500, help="queries to run")
    parser.add_argument("--ef", default="20,40,60,80,100,150,200,400")
    parser.add_argument("--with", dest="options", default="", help="index options")
    parser.add_argument("--repeat", type=int, default=3, help="runs per ef_search; the fastest counts")
    args = parser.parse_args()

    base = np.load(args.base)[:args.rows, :args.dim].astype(np.float32)
    queries = np.load(args.queries)[args.skip:args.skip + args.count, :args.dim].astype(np.float32)
    exact = [np.argpartition(vxdb.distances(args.metric, q[None], base)[0], 10)[:10] for q in queries]

    conn = vxdb.connect()
    conn.execute("CREATE EXTENSION IF NOT EXISTS vectorx")
    vxdb.register_vector(conn)
    conn.execute("DROP TABLE IF EXISTS measure")
    conn.execute(f"CREATE TABLE measure (id int, embedding vector({base.shape[1]}))")
    vxdb.copy_rows(conn, "measure", np.arange(len(base)), base)
    options = f" WITH ({args.options})" if args.options else ""
    cpu = backend_cpu(conn)
    conn.execute(f"CREATE INDEX measure_idx ON measure USING hnsw (embedding vector_{args.metric}_ops){options}")
    cpu = backend_cpu(conn) - cpu
    conn.execute("VACUUM ANALYZE measure")
    info = conn.execute("SELECT sketch, own_vector, bytes_per_node, pg_relation_size('measure_idx') "
                        "FROM hnsw_info('measure_idx')").fetchone()
    print(f"{len(base)} rows of {base.shape[1]} dimensions, {args.metric}; sketch {info[0]}, own vector "
          f"{info[1]}, {info[2]} bytes a node")
    print(f"build {cpu:.1f} CPU s, index {info[3] / 1e6:.0f} MB, queries {args.skip} to {args.skip + len(queries) - 1}")

    sql = f"SELECT id FROM measure ORDER BY embedding {OPERATORS[args.metric]} %b LIMIT 10"
    conn.execute("SET enable_seqscan = off")
    print("ef_search  recall@10  CPU us/query  buffers/query")
    for ef in map(int, args.ef.split(",")):
        conn.execute(f"SET hnsw.ef_search = {ef}")
        best = float("inf")
        for _ in range(args.repeat):
            cpu = backend_cpu(conn)
            found = [[r[0] for r in conn.execute(sql, (q,), prepare=True)] for q in queries]
            best = min(best, backend_cpu(conn) - cpu)
        buffers = np.mean([scan_buffers(conn, sql, q) for q in queries[:50]])
        print(f"{ef:9d}  {vxdb.recall(found, exact):9.4f}  {best / len(queries) * 1e6:12.0f}  {buffers:13.0f}")


if __name__ == "__main__":
    main()
