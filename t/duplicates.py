#!/usr/bin/env python3
"""The work of t/018_duplicates.pl: are the nearest found among near-duplicates?

    duplicates.py CASES

CASES is a JSON file, see t/018_duplicates.pl; what is printed is told in
recall.py.  Rows are groups round unit vectors at random, whose members differ
by Gaussian noise; queries are further members.  Or there are rows apart from them,
all drawn from one normal distribution, and each of those is to be found by itself.
"""
from __future__ import annotations

import numpy as np
import psycopg
from recall import K, Tap, as_type, run_cases, vxdb

from vxdb import Rows, copy_rows, distances, operator

QUERIES = 150
# What sums of 4-byte floats may be wrong by, relative to vectors of length 1.
TOLERANCE = 1e-7


def groups(spec: dict) -> tuple[Rows, Rows]:
    """Rows in random order, and queries."""
    rng = np.random.default_rng(5)
    number, size, dim = spec["groups"], spec["size"], spec["dim"]
    centres = rng.standard_normal((number, dim))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    of = np.concatenate([rng.permutation(np.repeat(np.arange(number), size)), rng.integers(0, number, QUERIES)])
    both = as_type((centres[of] + spec["spread"] * rng.standard_normal((len(of), dim))).astype(np.float32))
    return both[:-QUERIES], both[-QUERIES:]


def recall(conn: psycopg.Connection, metric: str, queries: Rows, truth: np.ndarray) -> float:
    """A row is right when it is no farther than the K-th nearest."""
    right = 0
    for query, dists in zip(queries, truth):
        found = {row[0] for row in conn.execute(
            f"SELECT id FROM items ORDER BY embedding {operator(metric)} %b LIMIT {K}", (query,), prepare=True)}
        limit = np.partition(dists, K - 1)[K - 1] + TOLERANCE
        right += sum(dists[i] <= limit for i in found)
    return right / (K * len(queries))


def beside_groups(spec: dict) -> tuple[Rows, np.ndarray]:
    """Rows in random order, and the numbers of those that are in no group."""
    rng = np.random.default_rng(5)
    size, apart, dim = spec["size"], spec["apart"], spec["dim"]
    centres = rng.standard_normal((spec["groups"] + apart, dim))
    if spec.get("normal"):
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    of = rng.permutation(np.concatenate([np.repeat(np.arange(apart, len(centres)), size), np.arange(apart)]))
    rows = centres[of] + np.where(of < apart, 0, spec["spread"])[:, None] * rng.standard_normal((len(of), dim))
    return rows.astype(np.float32), np.flatnonzero(of < apart)


def found_by_themselves(conn: psycopg.Connection, metric: str, rows: Rows, ids: np.ndarray) -> float:
    found = sum(conn.execute(
        f"SELECT %s IN (SELECT id FROM items ORDER BY embedding {operator(metric)} %b LIMIT {K})", (int(i), rows[i]),
        prepare=True).fetchone()[0] for i in ids)
    return found / len(ids)


def run(tap: Tap, conn: psycopg.Connection, spec: dict) -> None:
    rows, queries = beside_groups(spec) if "apart" in spec else groups(spec)
    index = f"CREATE INDEX items_embedding ON items USING hnsw (embedding {vxdb.TYPE}_{spec['metric']}_ops)"
    index += f" WITH (m = {spec.get('m', 16)})"
    truth = None if "apart" in spec else distances(spec["metric"], queries, rows)
    name = f"{vxdb.TYPE}, {spec['metric']}, {spec['dim']}-d, groups of {spec['size']}, spread {spec['spread']}"
    for how in ("built", "grown"):
        conn.execute("DROP TABLE IF EXISTS items")
        conn.execute(f"CREATE TABLE items (id int, embedding {vxdb.TYPE}({spec['dim']}))")
        if how == "grown":
            conn.execute(index)
        copy_rows(conn, "items", np.arange(len(rows)), rows)
        if how == "built":
            conn.execute(index)
        if "apart" in spec:
            got = found_by_themselves(conn, spec["metric"], rows, queries)
            tap.ok(got >= spec["found"], f"{name}, {how}: rows apart are found by themselves", f"{got:.4f}")
            continue
        got = recall(conn, spec["metric"], queries, truth)
        tap.ok(got >= spec["recall"], f"{name}, {how}: recall@{K} is at least {spec['recall']}", f"{got:.4f}")


if __name__ == "__main__":
    run_cases(__doc__, run)
