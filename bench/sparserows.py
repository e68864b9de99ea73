"""Rows with few elements that are not zero, by NumPy alone: in memory, in files, their distances.

Files are NumPy's .npz with four arrays, rows one after the other (CSR):

    indptr      rows + 1 integers: where each row begins, and where the last one ends
    indices     int32, from 0, ascending in each row
    values      float32, none zero
    shape       the number of rows and of dimensions
"""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

import numpy as np

ARRAYS = ("indptr", "indices", "values", "shape")


@dataclass
class SparseRow:
    """One of them."""

    indices: np.ndarray
    values: np.ndarray
    dim: int


class SparseRows:
    """Behaves as an array of two axes where the benchmarks ask that: length, shape, rows by number, slice or list."""

    def __init__(self, indptr: np.ndarray, indices: np.ndarray, values: np.ndarray, dim: int):
        self.indptr, self.indices, self.values, self.dim = indptr, indices, values, dim

    @classmethod
    def from_dense(cls, rows: np.ndarray) -> SparseRows:
        number, column = np.nonzero(rows)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(number, minlength=len(rows)))])
        return cls(indptr, column.astype(np.int32), rows[number, column].astype(np.float32), rows.shape[1])

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), self.dim

    @property
    def counts(self) -> np.ndarray:
        """How many elements each row has."""
        return np.diff(self.indptr)

    def row(self, number: int) -> SparseRow:
        part = slice(self.indptr[number], self.indptr[number + 1])
        return SparseRow(self.indices[part], self.values[part], self.dim)

    def __iter__(self) -> Iterator[SparseRow]:
        return (self.row(i) for i in range(len(self)))

    def __getitem__(self, which):
        if isinstance(which, (int, np.integer)):
            return self.row(int(which))
        if isinstance(which, slice) and which.step in (None, 1):
            start, stop, _ = which.indices(len(self))
            ends = self.indptr[start:max(start, stop) + 1]
            part = slice(ends[0], ends[-1])
            return SparseRows(ends - ends[0], self.indices[part], self.values[part], self.dim)
        chosen = np.arange(len(self))[which]
        counts = self.counts[chosen]
        indptr = np.concatenate([[0], np.cumsum(counts)])
        elements = np.repeat(self.indptr[chosen] - indptr[:-1], counts) + np.arange(indptr[-1])
        return SparseRows(indptr, self.indices[elements], self.values[elements], self.dim)

    def dense(self) -> np.ndarray:
        result = np.zeros(self.shape, np.float32)
        result[np.repeat(np.arange(len(self)), self.counts), self.indices] = self.values
        return result

    def save(self, path: Path, **about: str) -> None:
        np.savez_compressed(path, indptr=self.indptr, indices=self.indices, values=self.values,
                            shape=np.array(self.shape), **{name: np.array(text) for name, text in about.items()})

    def sums(self, of_elements: np.ndarray) -> np.ndarray:
        """What the elements of each row add up to."""
        ends = np.concatenate([[0.0], np.cumsum(of_elements, dtype=np.float64)])[self.indptr]
        return np.diff(ends)


def read(path: Path) -> SparseRows:
    """A whole file; ValueError says what is wrong with it."""
    with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
        if missing := [name for name in ARRAYS if name not in file]:
            raise ValueError(f"no array {', '.join(missing)}")
        indptr, indices, values, (rows, dim) = (file[name] for name in ARRAYS)
    if len(indptr) != rows + 1 or indptr[0] != 0 or (np.diff(indptr) < 0).any() or len(indices) != indptr[-1] \
            or len(values) != indptr[-1]:
        raise ValueError("lengths that do not go together")
    inner = np.ones(len(indices), bool)
    inner[indptr[:-1][np.diff(indptr) > 0]] = False
    if (indices < 0).any() or (indices >= dim).any() or (np.diff(indices, prepend=-1)[inner] <= 0).any():
        raise ValueError("indices that are not ascending within the dimensions")
    if not np.isfinite(values).all() or (values == 0).any():
        raise ValueError("elements that are zero or not finite")
    return SparseRows(indptr.astype(np.int64), indices.astype(np.int32), values.astype(np.float32), int(dim))


def distances(metric: str, queries: SparseRows, rows: SparseRows) -> np.ndarray:
    """All distances in double precision, as the SQL operators define them."""
    result = np.empty((len(queries), len(rows)))
    query = np.zeros(rows.dim)
    values = rows.values.astype(np.float64)
    squares = rows.sums(values * values)
    size = rows.sums(np.abs(values))
    for number, sparse in enumerate(queries):
        query[sparse.indices] = sparse.values
        here = query[rows.indices]
        if metric == "l1":
            # What the two have apart, and how their difference is smaller where both have something.
            result[number] = np.abs(query[sparse.indices]).sum() + size \
                + rows.sums(np.abs(here - values) - np.abs(here) - np.abs(values))
        else:
            result[number] = rows.sums(here * values)
        query[sparse.indices] = 0
    if metric == "l1":
        return np.maximum(result, 0.0)
    if metric == "ip":
        return -result
    of_queries = queries.sums(queries.values.astype(np.float64) ** 2)
    if metric == "cosine":
        return 1.0 - result / np.sqrt(of_queries[:, None] * squares[None, :])
    if metric == "l2":
        return np.sqrt(np.maximum(of_queries[:, None] + squares[None, :] - 2.0 * result, 0.0))
    raise ValueError(metric)
