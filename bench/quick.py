#!/usr/bin/env python3
"""A small comparison with pgvector for every test run: a few minutes, two sets.

Prints how the systems compare; fails only when vectorx's recall falls below
pgvector's at the same ef_search (from 0.998 on nothing is asked), for times on
a busy machine prove nothing.
Each check is a line "ok" or "not ok"; what cannot run says "not run".

The word vectors of bench/data are always compared; the larger set when the
folder VECTORX_DATA, or ../shared/data beside the repository, has it.
"""
from __future__ import annotations

import sys

import numpy as np

import datasets
import inserts
import searches
import server
import vxdb
from builds import build
from clients import Client, check, clients, load
from compare import data_folder, known_sets
from exact import Judge
from report import SAME_EF, cost_ratio, ratio, table

QUERIES = 200
INSERTED = 500
REPEATS = 2
EF_SEARCH = (10, 20, *SAME_EF)
SEED = 1
# Four wrong neighbours of 2,000; what differs beyond is chance, for building is random.
AS_GOOD_AS_EXACT = 0.998


def sets() -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Name, base vectors and queries of what is there."""
    _, words = vxdb.load_words()
    words = words[np.random.default_rng(SEED).permutation(len(words))[:10_000 + QUERIES]]
    result = [("words, 100 dimensions", words[QUERIES:], words[:QUERIES])]
    large = known_sets(data_folder(None))["minilm384"]
    if large.base.exists() and large.queries.exists():
        result.append(("minilm, 384 dimensions", datasets.load(large.base, 8_000, 384),
                       datasets.load(large.queries, QUERIES, 384)))
    else:
        print("not run: quick benchmark with 384 dimensions: there is no minilm1536 in VECTORX_DATA or ../shared/data")
    return result


def with_worker(here: server.Server, client: Client, judge: Judge) -> dict:
    """vectorx's index built by the leader and a worker: recall at each of SAME_EF."""
    result = build(here, client, judge.metric, len(judge.rows), workers=1)
    check(client)
    recall = {}
    for ef in SAME_EF:
        client.set_ef(ef)
        recall[ef] = judge.recall(client.ask(judge.queries))
    return result | {"recall": recall}


def measure(base: np.ndarray, queries: np.ndarray) -> dict:
    judge = Judge("cosine", queries, base)
    run: dict = {"build": {}}
    with server.start({"shared_buffers": "256MB", "full_page_writes": "off"}) as here:
        with clients(here, judge.metric) as systems:
            for client in systems:
                load(client, base)
                run["build"][client.system] = build(here, client, judge.metric, len(base))
                check(client)
            run["search"] = searches.search(systems, judge, sorted(EF_SEARCH), list(EF_SEARCH), REPEATS)
            run["with_worker"] = with_worker(here, systems[0], judge)
        inserts.make_templates(here, judge, INSERTED)
        run["insert"] = inserts.one_client(here, judge, INSERTED, 1)
    return run


def ratios(run: dict) -> list[str]:
    figures = [
        ("search CPU at recall .95, times less", cost_ratio(run, 0.95, "cpu_us")),
        ("search CPU at recall .99, times less", cost_ratio(run, 0.99, "cpu_us")),
        ("pages at recall .95, times less", cost_ratio(run, 0.95, "pages")),
        ("build CPU, times less", ratio(run, "build", "cpu_s", "less")),
        ("rows inserted per CPU second, times", ratio(run, "insert", "rows_per_cpu_s", "more")),
        ("index size, times pgvector's", ratio(run, "build", "index_bytes", "size")),
        ("WAL per inserted row, times pgvector's", ratio(run, "insert", "wal_bytes", "size")),
    ]
    return table(["vectorx against pgvector", "ratio"],
                 [(name, f"{r[1]}{r[0]:.1f}" if r else "not reached") for name, r in figures])


def at_least(what: str, ours: float, theirs: float) -> bool:
    good = ours >= min(theirs, AS_GOOD_AS_EXACT)
    print(f"{'ok' if good else 'not ok'} - {what}: recall@10 {ours:.4f}, pgvector {theirs:.4f}")
    return good


def main() -> None:
    server.stop_on_signal()
    good = True
    try:
        for name, base, queries in sets():
            print(f"\n{name}: {len(base):,} rows, {len(queries)} queries, cosine", flush=True)
            run = measure(base, queries)
            print("\n" + "\n".join(ratios(run)))
            for ours, theirs in zip(run["search"]["vectorx"], run["search"]["pgvector"]):
                if ours["ef"] in SAME_EF:
                    good &= at_least(f"{name}, built, ef_search {ours['ef']}", ours["recall"], theirs["recall"])
                    good &= at_least(f"{name}, built with {run['with_worker']['workers']} workers, ef_search {ours['ef']}",
                                     run["with_worker"]["recall"][ours["ef"]], theirs["recall"])
            ours, theirs = run["insert"]["vectorx"], run["insert"]["pgvector"]
            good &= at_least(f"{name}, after inserts, ef_search {ours['recall_ef']}", ours["recall_after"],
                             theirs["recall_after"])
    except server.Unavailable as e:
        print(f"not run: quick benchmark: {e}")
        return
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
