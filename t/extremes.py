#!/usr/bin/env python3
"""The work of t/017_extremes.pl: tables of vectors with extreme elements.

    extremes.py CASES SEED

Each case is a table of its own type, dimensions, metric, options of the index, and
kinds of vectors; the index is made before, amid or after the rows.  Then rows are deleted, the
table vacuumed, the index rebuilt.  After each step hnsw_check() has nothing to say,
and an index scan with ef_search beyond the number of rows returns what a
sequential scan returns, in its order (ties aside).  Vectors too long to be
indexed, by the rule of the README, are refused by INSERT and CREATE INDEX,
with numeric_value_out_of_range; no other statement fails.

Connects as the PG* environment variables say.  Prints tests as t/recall.py does.
"""
from __future__ import annotations

import platform
import random
import sys
from typing import Callable, Sequence

import numpy as np
import psycopg

from recall import Tap

from vxdb import METRICS, connect, operator

np.seterr(all="ignore")

FLT_MAX = float(np.finfo(np.float32).max)
DIMS = [1, 2, 3, 8, 12, 13, 16, 24, 33, 100, 384, 1500, 2100]
# Of bit strings; and of sparse vectors, of which the elements above are all over so many.
LENGTHS = [1, 2, 7, 8, 31, 32, 33, 203, 1000, 64000]
SPARSE_DIMS = [65536, 65537, 1_000_000_000]
MOST_ELEMENTS = 16000
# Of eight tables.
TYPES = ["vector", "sparsevec", "vector", "halfvec", "bit", "sparsevec", "vector", "halfvec"]
TOO_LONG = "22003"          # numeric_value_out_of_range
# elements that differ by this much are the same in an index (README)
LEAST = 1e-43


# ---- kinds of vectors: n of dim elements

Maker = Callable[[np.random.Generator, int, int], np.ndarray]

def gauss(rng: np.random.Generator, n: int, dim: int, size: float) -> np.ndarray:
    return np.clip(rng.standard_normal((n, dim)) * size, -FLT_MAX, FLT_MAX)


def of_size(*sizes: float) -> Maker:
    def make(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
        return gauss(rng, n, dim, 1) * rng.choice(sizes, (n, 1))
    return make


def one_huge(*sizes: float) -> Maker:
    """One element stands out."""
    def make(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
        x = gauss(rng, n, dim, 1) * (rng.random((n, 1)) < 0.5)
        x[np.arange(n), rng.integers(0, dim, n)] = rng.choice(sizes, n) * rng.choice([-1, 1], n)
        return x
    return make


def far_cluster(size: float) -> Maker:
    def make(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
        return gauss(rng, 1, dim, size) + gauss(rng, n, dim, size * 1e-4)
    return make


def all_equal(*sizes: float) -> Maker:
    """All elements of a vector are the same."""
    def make(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
        return np.ones((1, dim)) * rng.choice(sizes, (n, 1)) * rng.choice([-1, 1], (n, 1))
    return make


def zeros(_rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    return np.zeros((n, dim))


def bits(*shares: float) -> Maker:
    """Each bit is set with a probability."""
    def make(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
        return (rng.random((n, dim)) < rng.choice(shares, (n, 1))).astype(np.float64)
    return make


def one_bit(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    x = np.zeros((n, dim))
    x[np.arange(n), rng.integers(0, dim, n)] = 1
    return x


BIT_KINDS: dict[str, Maker] = {
    "no bit": zeros,
    "all bits": bits(1),
    "one bit": one_bit,
    "few bits": bits(0.01, 0.1),
    "any bits": bits(0.5),
    "most bits": bits(0.9, 0.99),
}
KINDS: dict[str, Maker] = {
    "denormal": of_size(1e-45, 1e-41, 1e-39),
    "tiny": of_size(1e-38, 1e-36, 1e-30),
    "square underflows": of_size(1e-24, 1e-22, 1e-20),
    "one": of_size(1),
    "large": of_size(1e12, 1e15),
    "square overflows": of_size(1e17, 1e18, 3e18, 9e18),
    "beyond": of_size(1e20, 1e30, 1e37),
    "greatest": of_size(1e38, 3e38),
    "one huge": one_huge(1e4, 1e18, 1.5e19, 2.0 ** 126, 2.0 ** 127, 3e38, FLT_MAX),
    "one large": one_huge(1e4, 1e10, 1e18, 1.5e19),
    "far": far_cluster(1e4),
    "very far": far_cluster(3e17),
    "all equal": all_equal(1e-30, 1, 2, 3, 1e10, 1e17, 2e34),
    "zero": zeros,
    "half denormal": of_size(6e-8, 1e-6, 1e-5),
    "half greatest": of_size(2e4, 6e4),
}
HALF_MAX = 65504


def kinds_of(column: str) -> dict[str, Maker]:
    return BIT_KINDS if column == "bit" else KINDS


def make_vectors(rng: np.random.Generator, kinds: list[str], n: int, dim: int, column: str) -> np.ndarray:
    parts = [kinds_of(column)[k](rng, n // len(kinds) + 1, dim) for k in kinds]
    x = np.concatenate(parts)[rng.permutation(sum(len(p) for p in parts))[:n]]
    x[rng.random(n) < 0.1] = x[0]
    if column == "halfvec":
        return np.clip(x, -HALF_MAX, HALF_MAX).astype(np.float16).astype(np.float32)
    return np.clip(x, -FLT_MAX, FLT_MAX).astype(np.float32)


def length(metric: str, x: np.ndarray) -> np.ndarray:
    """What must be within the range of a float, in double precision."""
    x = x.astype(np.float64)
    return np.abs(x).sum(axis=1) if metric == "l1" else (x * x).sum(axis=1)


def is_near(metric: str, x: np.ndarray) -> np.ndarray:
    """So near the limit that rounding decides."""
    return np.abs(length(metric, x) / FLT_MAX - 1) < 1e-3


class Case:
    def __init__(self, tap: Tap, conn: psycopg.Connection, number: int, seed: int):
        self.tap, self.conn = tap, conn
        self.rng = np.random.default_rng([seed, number])
        r = self.random = random.Random(seed * 1_000_003 + number)
        self.type = TYPES[number % len(TYPES)]
        self.metric = r.choice(METRICS[self.type])
        self.dim = r.choice(LENGTHS if self.type == "bit" else DIMS)
        if self.type == "sparsevec" and number % 16 == 13:
            self.dim = MOST_ELEMENTS
        self.own = r.choice(["auto", "fp32", "fp16", "int8"])
        sketches = ["auto", "auto", "0", "exact"] + (["1", "2", "4"] if self.metric != "l1" else [])
        self.sketch = r.choice(sketches) if self.dim <= 24 else "auto"
        if self.type in ("bit", "sparsevec"):    # have no choice
            self.own = self.sketch = "auto"
        self.indices = np.arange(self.dim)
        self.column_dim = self.dim
        if self.type == "sparsevec" and r.random() < 0.7:
            self.column_dim = r.choice(SPARSE_DIMS)
            self.indices = np.sort(self.rng.choice(min(self.column_dim, 10_000_000), self.dim, replace=False))
            self.indices[-1] = self.column_dim - 1
        self.kinds = r.sample(list(kinds_of(self.type)), r.choice([1, 1, 2, 3]))
        self.simd = r.choice(["auto", "generic", "neon" if platform.machine() == "aarch64" else "avx2"])
        n = r.randint(20, 120 if self.dim <= 100 else 40 if self.dim <= 2100 else 20)
        self.rows = make_vectors(self.rng, self.kinds, n, self.dim, self.type)
        self.rows = self.rows[~is_near(self.metric, self.rows)]
        self.long = length(self.metric, self.rows) > FLT_MAX
        self.when = r.choice(["before", "amid", "after"])
        self.problems: list[str] = []
        self.name = (f"{number}: {self.type}({self.column_dim}), {self.metric} {self.dim} dimensions, {self.own}, {self.sketch}, "
                     f"{self.when}, {self.simd}, {' + '.join(self.kinds)}")

    def literal(self, v: np.ndarray) -> str:
        if self.type == "bit":
            return "".join(map(str, v.astype(int)))
        if self.type == "sparsevec":
            elements = ",".join(f"{self.indices[i] + 1}:{float(v[i])!r}" for i in np.flatnonzero(v))
            return f"{{{elements}}}/{self.column_dim}"
        return "[" + ",".join(repr(float(x)) for x in v) + "]"

    def run(self) -> None:
        self.conn.execute("DROP TABLE IF EXISTS x")
        self.conn.execute(f"SET vectorx.simd = {self.simd}")
        self.conn.execute(f"CREATE TABLE x (id int, v {self.type}({self.column_dim}))")
        with_index = {"before": 0, "amid": len(self.rows) // 2, "after": len(self.rows)}[self.when]
        self.insert(range(with_index), refused=False)
        self.create_index(range(with_index))
        self.insert(range(with_index, len(self.rows)), refused=True)
        self.compare("as made")
        gone = [i for i in range(len(self.rows)) if self.random.random() < 0.5]
        self.conn.execute("DELETE FROM x WHERE id = ANY (%s)", (gone,))
        self.conn.execute("VACUUM x")
        self.compare("after VACUUM")
        self.insert(gone[: len(gone) // 2], refused=True)
        self.compare("with rows again")
        self.conn.execute("REINDEX INDEX x_v")
        self.compare("after REINDEX")
        self.tap.ok(not self.problems, self.name, "; ".join(self.problems[:5]))

    def insert(self, ids: Sequence[int], refused: bool) -> None:
        """Insert rows; refused: those that are too long must be."""
        for i in ids:
            try:
                self.conn.execute(f"INSERT INTO x VALUES ({i}, '{self.literal(self.rows[i])}')")
                if refused and self.long[i]:
                    self.problems.append(f"row {i} was taken")
            except psycopg.Error as e:
                if not (refused and self.long[i] and e.sqlstate == TOO_LONG):
                    self.problems.append(f"row {i}: {e.sqlstate} {e}")

    def create_index(self, ids: Sequence[int]) -> None:
        options = []
        if self.own != "auto":
            options.append(f"own_vector = {self.own}")
        if self.sketch != "auto":
            options.append(f"sketch_bits = {self.sketch}")
        create = f"CREATE INDEX x_v ON x USING hnsw (v {self.type}_{self.metric}_ops)"
        if options:
            create += f" WITH ({', '.join(options)})"
        long = [i for i in ids if self.long[i]]
        if long:
            try:
                self.conn.execute(create)
                self.problems.append("an index over a vector that is too long")
                self.conn.execute("DROP INDEX x_v")
            except psycopg.Error as e:
                if e.sqlstate != TOO_LONG:
                    self.problems.append(f"{create}: {e.sqlstate} {e}")
            self.conn.execute("DELETE FROM x WHERE id = ANY (%s)", (long,))
        self.conn.execute(create)

    def queries(self) -> list[np.ndarray]:
        found = [self.rows[self.random.randrange(len(self.rows))]]
        for kind in self.random.sample(list(kinds_of(self.type)), 2) + [self.random.choice(self.kinds)]:
            found.append(make_vectors(self.rng, [kind], 1, self.dim, self.type)[0])
        return found

    def compare(self, when: str) -> None:
        for row in self.conn.execute("SELECT * FROM hnsw_check('x_v') LIMIT 3"):
            self.problems.append(f"{when}: hnsw_check: {row}")
        for number, q in enumerate(self.queries()):
            for limit in (1000, 5) if number == 0 else (1000,):
                try:
                    self.compare_one(when, q, limit)
                except psycopg.Error as e:
                    self.problems.append(f"{when}: {e.sqlstate} {e}")

    def search(self, q: np.ndarray, limit: int, index: bool) -> tuple[np.ndarray, np.ndarray]:
        distance = f"v {operator(self.metric)} '{self.literal(q)}'"
        where = "" if index or self.metric != "cosine" else "WHERE -(v <#> v) <> 0"
        self.conn.execute(f"SET enable_seqscan = {'off' if index else 'on'}")
        self.conn.execute(f"SET enable_indexscan = {'on' if index else 'off'}")
        sql = f"SELECT id, {distance} FROM x {where} ORDER BY {distance} LIMIT {limit}"
        if index and limit == 5:
            plan = self.conn.execute(f"EXPLAIN (COSTS off) {sql}").fetchall()
            if not any("Index Scan using x_v" in line for line, in plan):
                self.problems.append(f"no index scan: {plan}")
        rows = self.conn.execute(sql).fetchall()
        return np.array([r[0] for r in rows], dtype=int), np.array([r[1] for r in rows], dtype=float)

    def tolerance(self, q: np.ndarray, d: np.ndarray) -> np.ndarray:
        size = np.abs(np.where(np.isfinite(d), d, 0))
        if self.type == "bit":
            return np.full(len(d), 1e-12)
        q = np.abs(q.astype(np.float64))
        if self.metric == "ip":
            return 1e-6 * size + LEAST * (self.dim + q.sum())
        if self.metric == "l1":
            # quantised elements may all err in one direction (src/hnsw/README)
            steps = {"fp32": 0, "fp16": 2.0 ** -11, "int8": 1 / 254, "auto": 1 / 254}[self.own] if self.type != "sparsevec" else 0
            return 1e-5 * size + LEAST * self.dim + self.dim * steps * float(np.abs(self.rows).max())
        if self.metric == "cosine":
            return np.full(len(d), 1e-6)
        return 1e-6 * size + np.sqrt(LEAST * self.dim)

    def compare_one(self, when: str, q: np.ndarray, limit: int) -> None:
        ids, found = self.search(q, limit, True)
        true_ids, truth = self.search(q, limit, False)
        what = f"{when}, LIMIT {limit}, query {self.literal(q)[:60]}"
        if len(ids) != len(true_ids):
            self.problems.append(f"{what}: {len(ids)} rows instead of {len(true_ids)}")
            return
        if len(set(ids)) != len(ids) or (limit == 1000 and set(ids) != set(true_ids)):
            self.problems.append(f"{what}: other rows")
            return
        with np.errstate(all="ignore"):
            same = (found == truth) | (np.isnan(found) & np.isnan(truth)) | \
                (np.abs(found - truth) <= self.tolerance(q, truth))
        if not same.all():
            at = int(np.argmin(same))
            self.problems.append(f"{what}: row {at} is at {found[at]!r} instead of {truth[at]!r}")


def main() -> None:
    cases, seed = int(sys.argv[1]), int(sys.argv[2])
    tap = Tap()
    with connect() as conn:
        conn.execute("CREATE EXTENSION IF NOT EXISTS vectorx")
        conn.execute("SET hnsw.ef_search = 1000")
        for number in range(cases):
            # what is not on sweeps the index at once, which is less than a search for so many nodes
            conn.execute(f"SET hnsw.iterative_scan = {('off', 'strict_order')[number % 2]}")
            Case(tap, conn, number, seed).run()
    print(f"done\t{tap.tests}")


if __name__ == "__main__":
    main()
