"""Recall against exact neighbours, computed with NumPy over all live rows."""
from __future__ import annotations

import numpy as np

import vxdb

BATCH_ROWS = 5_000
# What 4-byte floats, in which the systems compute distances, cannot tell apart.
EPSILON = 1e-7


def thresholds(metric: str, queries: vxdb.Rows, rows: vxdb.Rows, k: int) -> np.ndarray:
    """The distance of each query's k-th nearest row."""
    nearest = np.full((len(queries), k), np.inf)
    for start in range(0, len(rows), BATCH_ROWS):
        batch = vxdb.distances(metric, queries, rows[start:start + BATCH_ROWS])
        both = np.concatenate([nearest, batch], axis=1)
        nearest = np.partition(both, k - 1, axis=1)[:, :k]
    return nearest.max(axis=1)


class Judge:
    """Knows the exact answers to some queries over some rows; a row's id is its number.

    A row found counts when it is no farther than the k-th exact neighbour, so
    of rows at equal distance any is right.
    """

    def __init__(self, metric: str, queries: vxdb.Rows, rows: vxdb.Rows, k: int = 10):
        if len(rows) < k:
            raise SystemExit(f"{len(rows)} rows are fewer than the {k} neighbours asked for")
        self.metric, self.queries, self.rows, self.k = metric, queries, rows, k
        self.thresholds = thresholds(metric, queries, rows, k)

    def recall(self, found: list[list[int]]) -> float:
        """recall@k of the ids found for the first len(found) queries."""
        hits = 0
        for number, (ids, limit) in enumerate(zip(found, self.thresholds)):
            distinct = sorted(set(ids))
            distance = vxdb.distances(self.metric, self.queries[number:number + 1], self.rows[distinct])[0]
            hits += min(self.k, int((distance <= limit + EPSILON * max(1.0, abs(limit))).sum()))
        return hits / (self.k * len(found))
