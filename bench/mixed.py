#!/usr/bin/env python3
"""Writes beside searches: what an insert costs until it is merged, and what searches pay for it.

In one throw-away server (server.py), on the same rows: vectorx as it is by default, vectorx with
the index option pending_limit = 0 ("direct": each row is linked into the graph at once), and pgvector.

    bench/mixed.py                           all items, half an hour or so
    bench/mixed.py --set glove100 --only wal,checkpoint
    bench/mixed.py --setting hnsw.write_profile=throughput --systems vectorx,direct
    bench/mixed.py --quick                   two minutes, for the suite: fails on rows that are not found and on recall
    bench/mixed.py --output FOLDER           keeps all figures in results/mixed/SET.json of it

Items (--only), in the order of the table:

    single      single-row INSERTs, CPU of the backend, against a table without index
    sustained   as many single rows as the index holds, with all merging: CPU of the whole server
    copy        COPY of as many rows as the index holds, against loading first and building then
    wal         WAL at 500 rows a second from one checkpoint to the next, 30 s later
    checkpoint  WAL of 1,000 rows after a checkpoint
    search      2 clients that search, alone and while 500 and 1,000 rows a second arrive
    found       rows that another session finds as soon as they are committed
    during      recall while rows arrive, against an index built of the same rows
    replaced    recall after three replacements of all rows
    vacuum      VACUUM of 30 % and 5 % dead rows, against building anew

Runs are interleaved, and the median of --repeat counts.  Half of the queries choose hnsw.ef_search for recall .95,
the other half is published.  Distances are cosine.  Linux only: CPU times are read from /proc.
"""
from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

import compare
import datasets
import mixed_items
import mixed_report
import server
import vxdb
from mixed_items import Bench, Contender, Sizes
from terminal import processor, today

WORDS = "words100"
CONTENDERS = {"vectorx": "vectorx", "direct": "vectorx", "pgvector": "pgvector"}
# Once is enough: they compare what was counted, or take pgvector minutes.
ONCE = ("found", "during", "replaced")
QUICK = Sizes(rows=2_000, single=250, found=300, seconds=1, cycle=2, moments=(.5,), parts=1,
              beside=((mixed_items.STEADY_RATE, mixed_items.TABLE),))
# Of pending rows, so that some are merged.
QUICK_LIMIT = 500
QUICK_RECALL = 0.02
# Queries of a set that has none of its own.
QUERIES = 1_000


def different(vectors: np.ndarray) -> np.ndarray:
    """Without repetitions, in the order given: an equal vector becomes no node of its own."""
    _, first = np.unique(vectors, axis=0, return_index=True)
    return vectors[np.sort(first)]


def read_vectors(args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """What is stored, and the queries."""
    if args.set == WORDS:
        vectors = vxdb.load_words()[1]
        vectors = different(vectors[np.random.default_rng(1).permutation(len(vectors))])
        return vectors[QUERIES:], vectors[:QUERIES]
    known = compare.known_sets(compare.data_folder(args.data))
    if args.set not in known or known[args.set].sparse:
        raise SystemExit(f"no set {args.set}; known are {WORDS}, {', '.join(s for s in known if not known[s].sparse)}")
    one = known[args.set]
    return different(datasets.load(one.base, dim=one.dim)), datasets.load(one.queries, dim=one.dim)


def contenders(here: server.Server, args: argparse.Namespace) -> tuple[list[Contender], list[str]]:
    """Who is measured, and notes about who is not."""
    if not mixed_items.has_pending(here):
        options, notes = {}, ["direct only: this build knows no pending_limit, each row is linked into the graph at once"]
        names = [n for n in args.systems if n != "vectorx"]
    else:
        options, notes = {"direct": "pending_limit = 0"}, []
        if args.pending_limit is not None:
            options["vectorx"] = f"pending_limit = {args.pending_limit}"
        names = args.systems
    return [Contender(name, CONTENDERS[name], options.get(name, "")) for name in names], notes


def measure(bench: Bench, args: argparse.Namespace) -> dict[str, list[mixed_report.Item]]:
    """The figures of every run of every item."""
    every: dict[str, list[mixed_report.Item]] = {"choosing": [mixed_items.choose(bench)]}
    everybody = bench.contenders
    for item in args.only:
        runs = every.setdefault(item, [])
        begin = time.monotonic()
        for repeat in range(1 if item in ONCE else args.repeat):
            # pgvector's do not change; its time is better spent on the others.
            bench.contenders = [c for c in everybody if c.system == "vectorx" or repeat < args.peer_repeat]
            runs.append(mixed_items.ITEMS[item](bench, repeat))
        bench.contenders = everybody
        print(f"{item}: {time.monotonic() - begin:.0f} s", flush=True)
    return every


def verdicts(items: dict[str, mixed_report.Item], limit: float) -> list[tuple[bool, str]]:
    """What has to hold at any speed of the machine."""
    result = []
    for name in (mixed_report.OURS, mixed_report.DIRECT):
        if name in items.get("found", {}):
            found = items["found"][name]
            result.append((found["missing"] == 0, f"{name}: committed rows are found by their vectors: "
                                                  f"{found['missing']:.0f} of {found['rows']:.0f} are not"))
        for item, text in (("during", "while rows arrive"), ("replaced", "after replacements")):
            if name in items.get(item, {}):
                one = items[item][name]
                result.append((one["below_fresh"] <= limit,
                               f"{name}: recall {text}: {one['recall']:.4f}, of a fresh index {one['fresh']:.4f}"))
    return result


def describe(args: argparse.Namespace, bench: Bench) -> dict:
    versions = {}
    for contender in bench.contenders:
        with bench.server.connect(contender.template) as conn:
            versions[contender.system] = conn.execute(
                "SELECT extversion FROM pg_extension WHERE extname = %s",
                (server.SYSTEMS[contender.system],)).fetchone()[0]  # type: ignore[index]
            versions["PostgreSQL"] = conn.execute("SHOW server_version").fetchone()[0]  # type: ignore[index]
    versions["vectorx"] = versions.get("vectorx", "") + compare.commit()
    return {"data": args.set, "rows": bench.rows, "dimensions": bench.pool.shape[1], "pool": len(bench.pool),
            "options": {c.name: c.options for c in bench.contenders}, "settings": compare.shown_settings(bench.server),
            "versions": versions, "processor": processor(), "processors": os.cpu_count(), "repeat": args.repeat,
            "date": today(),
            "command": compare.command("bench/mixed.py")}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", help=f"{WORDS}, or a dense set that bench/compare.py knows (default: minilm384; --quick: {WORDS})")
    parser.add_argument("--data", help="folder of the known sets, as of bench/compare.py")
    parser.add_argument("--rows", type=int, help="rows in the index (default: 18000; --quick: 2000); the set has to have twice as many")
    parser.add_argument("--only", help="items, with commas (default: all)")
    parser.add_argument("--systems", default=",".join(CONTENDERS), help=f"of {','.join(CONTENDERS)} (default: all)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of vectorx (default: 3; --quick: 1)")
    parser.add_argument("--peer-repeat", type=int, default=1, help="of them with pgvector (default: 1)")
    parser.add_argument("--seconds", type=int, help="of each run of the searches (default: 15)")
    parser.add_argument("--pending-limit", type=int, help="of vectorx (default: its own)")
    parser.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE", help="a setting of the server")
    parser.add_argument("--quick", action="store_true", help="small and short; prints \"ok\" or \"not ok\" for what has to hold")
    parser.add_argument("--output", type=Path, help="folder to keep the figures in (default: print only)")
    args = parser.parse_args()
    args.set = args.set or (WORDS if args.quick else "minilm384")
    args.only = args.only.split(",") if args.only else list(mixed_items.ITEMS)
    args.systems = args.systems.split(",")
    if args.quick:
        args.repeat = 1
        args.pending_limit = QUICK_LIMIT if args.pending_limit is None else args.pending_limit
    if not set(args.only) <= set(mixed_items.ITEMS) or not set(args.systems) <= set(CONTENDERS):
        parser.error(f"items are {', '.join(mixed_items.ITEMS)}; systems are {', '.join(CONTENDERS)}")
    if args.repeat < 1 or args.peer_repeat < 1 or any("=" not in s for s in args.setting):
        parser.error("--repeat and --peer-repeat are at least 1, --setting is NAME=VALUE")
    return args


def run(args: argparse.Namespace) -> dict:
    vectors, queries = read_vectors(args)
    sizes = QUICK if args.quick else Sizes()
    sizes.rows, sizes.seconds = args.rows or sizes.rows, args.seconds or sizes.seconds
    if len(vectors) < 2 * sizes.rows:
        raise SystemExit(f"{args.set} has {len(vectors):,} different vectors, fewer than twice {sizes.rows:,}: choose with --rows")
    half = len(queries) // 2
    with server.start(dict(s.split("=", 1) for s in args.setting)) as here:
        who, notes = contenders(here, args)
        bench = Bench(here, who, vectors, queries[:half], queries[half:], sizes)
        for note in notes:
            print(note, flush=True)
        mixed_items.make_templates(bench)
        runs = measure(bench, args)
        return {"settings": describe(args, bench) | {"notes": notes}, "runs": runs,
                "items": {item: mixed_report.medians(each) for item, each in runs.items()}}


def main() -> None:
    args = arguments()
    server.stop_on_signal()
    try:
        result = run(args)
    except server.Unavailable as e:
        print(f"not run: mixed load: {e}")
        return
    except datasets.BadFile as e:
        raise SystemExit(str(e)) from None
    names = [n for n in CONTENDERS if n in result["settings"]["options"]]
    s = result["settings"]
    print(f"\n{s['data']}: {s['rows']:,} rows of {s['dimensions']} dimensions, cosine; ef_search at recall .95: "
          + ", ".join(f"{name} {c['ef_search']:.0f} (recall of the others {c['recall']:.4f})" for name, c in result["items"]["choosing"].items()))
    print("\n" + "\n".join(mixed_report.lines(result["items"], names)), flush=True)
    if args.output:
        path = args.output / "results" / "mixed" / f"{args.set}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if args.quick:
        all_good = True
        for good, text in verdicts(result["items"], QUICK_RECALL):
            print(f"{'ok' if good else 'not ok'} - {text}")
            all_good &= good
        sys.exit(0 if all_good else 1)


if __name__ == "__main__":
    main()
