#!/usr/bin/env python3
"""What it costs to read a vector's text: CPU time per number of COPY FROM, vectorx and pgvector.

    .venv/bin/python bench/textinput.py --data FOLDER
    .venv/bin/python bench/textinput.py --types sparsevec --rounds 20

For each type and set, pgvector writes the rows as text, once, and each round both systems read that file twice, in turns: into a
column of the type, and into one of type text, with a condition that no row meets, so that none is stored.  The first less the
second is the type's input function; what COPY spends on finding lines and columns is in both.  Of the rounds the least counts, of the
column of text the least of both systems, for there they do the same.  A number of a sparsevec is an element with its index.

Prints a table, and exits with 1 if a mark is missed.
"""
from __future__ import annotations

import argparse
import sys

import compare
import datasets
import loading
import report
import server
import vxdb
from sparserows import SparseRows

# How many times less CPU than pgvector is asked for.
MARKS = {"halfvec": 4.0, "sparsevec": 2.0}
DENSE_SETS = ("minilm384", "minilm1536")
NUMBERS = 8_000_000


def numbers_of(rows: vxdb.Rows) -> int:
    return len(rows.values) if isinstance(rows, SparseRows) else rows.size


def ns_per_number(runs: dict, numbers: int) -> dict[str, float]:
    """By system, of what loading.inputs measured."""
    copy_alone = min(of_system["cpu_s"] for of_system in runs["text"].values())
    return {system: (of_system["cpu_s"] - copy_alone) / numbers * 1e9 for system, of_system in runs["vector"].items()}


def measure(here: server.Server, type_name: str, rows: vxdb.Rows, rounds: int) -> dict:
    vxdb.use_type(type_name)
    file = loading.make_files(here, "l2", rows, "input")["text"]
    runs = loading.inputs(here, "l2", file, rows.shape[1], rounds)
    return {"ns": ns_per_number(runs, numbers_of(rows)), "bytes": file.stat().st_size / numbers_of(rows),
            "spread": max(of_system["spread"] for kind in runs.values() for of_system in kind.values())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="the folder of the sets")
    parser.add_argument("--types", default="vector,halfvec,sparsevec", help="with commas (default: all three)")
    parser.add_argument("--sets", default=",".join(DENSE_SETS), help=f"of vector and halfvec (default: {', '.join(DENSE_SETS)})")
    parser.add_argument("--rounds", type=int, default=10, help="default: 10")
    args = parser.parse_args()
    server.stop_on_signal()
    known = compare.known_sets(compare.data_folder(args.data))
    table, missed = [], []
    try:
        with server.start() as here:
            loading.make_databases(here)
            for type_name in args.types.split(","):
                for name in [compare.SPARSE] if type_name == "sparsevec" else args.sets.split(","):
                    one = known[name]
                    rows = datasets.load(one.base, None if one.sparse else NUMBERS // one.dim, one.dim)
                    rows = compare.as_type(type_name, rows)
                    result = measure(here, type_name, rows, args.rounds)
                    ours, theirs = (result["ns"][system] for system in server.SYSTEMS)
                    mark = MARKS.get(type_name)
                    if mark and theirs < mark * ours:
                        missed.append(f"{type_name} of {name}")
                    table.append([f"{type_name}, {name}", f"{numbers_of(rows):,}", f"{result['bytes']:.1f}", f"{ours:.1f}", f"{theirs:.1f}",
                                  f"{theirs / ours:.2f}", f">= {mark:g}" if mark else "-", f"{result['spread']:.2f}"])
    except server.Unavailable as e:
        raise SystemExit(f"not run: {e}") from None
    except datasets.BadFile as e:
        raise SystemExit(str(e)) from None
    print("\n" + "\n".join(report.table(["type, set", "numbers", "bytes each", "ns each, vectorx", "pgvector", "ratio", "mark", "spread"],
                                        table)))
    if missed:
        print("missed: " + ", ".join(missed))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
