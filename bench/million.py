#!/usr/bin/env python3
"""One million synthetic vectors: build, size, recall and speed of the index.

They are of 128 dimensions, from 1,000 Gaussian clusters that differ in size and
in spread; queries are from the same clusters and not in the table.  The index
is built with default options by the leader and one worker, with as much
maintenance_work_mem as hnsw_build_memory says.  Recall is against exact search.
Writes results/million.json and RESULTS.md into the folder of --output.

    bench/million.py                  a few minutes; 24 GiB of memory are plenty
    bench/million.py --peer           pgvector as well, with the same memory: much longer
    bench/million.py --rows 100000 --output FOLDER
"""
from __future__ import annotations

import argparse
import datetime
import json
import os
from pathlib import Path

import numpy as np

import builds
import compare
import report
import searches
import server
from clients import Client, load
from exact import Judge
from server import SYSTEMS

DIM = 128
CLUSTERS = 1_000
QUERIES = 500
METRIC = "l2"
# Of the distance between centres; the middle one of all clusters.
SPREAD = 0.5
BATCH_ROWS = 100_000
MEGABYTE = 1 << 20


def clustered(rows: int, dim: int, clusters: int, seed: int) -> np.ndarray:
    """Vectors drawn from a mixture of Gaussians of different weights and widths; the first n do not depend on rows."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(clusters))
    centres = rng.standard_normal((clusters, dim), np.float32)
    spread = (SPREAD * rng.lognormal(0, 0.5, clusters)).astype(np.float32)
    result = np.empty((rows, dim), np.float32)
    for start in range(0, rows, BATCH_ROWS):
        # Whole batches are drawn, so that a smaller table is the beginning of a larger one.
        of = rng.choice(clusters, BATCH_ROWS, p=weights)
        batch = centres[of] + spread[of, None] * rng.standard_normal((BATCH_ROWS, dim), np.float32)
        result[start:start + BATCH_ROWS] = batch[:rows - start]
    return result


def run(args: argparse.Namespace) -> dict:
    compare.step("million", f"{args.rows:,} vectors, exact neighbours of {args.queries} queries")
    vectors = clustered(args.queries + args.rows, DIM, CLUSTERS, args.seed)
    judge = Judge(METRIC, vectors[:args.queries], vectors[args.queries:])
    efs = sorted({int(ef) for ef in args.ef.split(",")})
    result: dict = {
        "kind": report.MILLION,
        "set": {"name": report.MILLION, "rows": args.rows, "rows_available": args.rows, "dim": DIM, "metric": METRIC,
                "queries": f"{args.queries} queries from the same {CLUSTERS:,} clusters, seed {args.seed}"},
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "load": f"{os.getloadavg()[0]:.1f}",
        "command": compare.command("bench/million.py"),
        "build": {},
        "search": {},
    }
    names = [system for system in SYSTEMS if args.peer or system == "vectorx"]
    with server.start({"shared_buffers": args.shared_buffers}) as here:
        # A margin for what it says within a few per cent.
        megabytes = builds.build_memory(here, args.rows, DIM) * 1.05 // MEGABYTE + 1
        here.configure({"maintenance_work_mem": f"{megabytes:.0f}MB"})
        here.control("reload")
        result["settings"] = compare.shown_settings(here) | {"m": 16, "ef_construction": 64, "runs": args.repeat}
        for system in names:
            client = Client(here, system, METRIC)
            try:
                if system == "vectorx":
                    result["machine"] = compare.machine(client)
                    result["versions"] = compare.versions([client])
                else:
                    result["versions"] |= compare.versions([client])
                compare.step("million", f"build, {system}")
                load(client, judge.rows)
                client.conn.execute("VACUUM items")
                result["build"][system] = builds.build_and_ask(here, system, judge, args.workers)
                compare.step("million", f"search, {system}")
                result["search"] |= searches.search([client], judge, efs, efs, args.repeat)
            finally:
                client.close()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="default: 1000000")
    parser.add_argument("--queries", type=int, default=QUERIES, help=f"default: {QUERIES}")
    parser.add_argument("--seed", type=int, default=1, help="of the vectors (default: 1)")
    parser.add_argument("--ef", default="40,100,200", help="values of ef_search, with commas")
    parser.add_argument("--workers", type=int, default=1, help="beside the leader (default: 1)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each search (default: 3)")
    parser.add_argument("--shared-buffers", default="4GB", help="of the server (default: 4GB)")
    parser.add_argument("--peer", action="store_true", help="measure pgvector as well")
    parser.add_argument("--output", default=str(compare.BENCH), help="folder for results (default: bench)")
    args = parser.parse_args()
    server.stop_on_signal()
    try:
        result = run(args)
    except server.Unavailable as e:
        raise SystemExit(f"not run: {e}") from None
    print("\n" + "\n".join(report.set_section(result)), flush=True)
    path = Path(args.output) / "results" / "million.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    compare.write_report(Path(args.output))


if __name__ == "__main__":
    main()
