"""What the tests of Python's clients share: the rows and answers, and how results are told.

A test prints "ok NAME" or "not ok NAME - why" for each thing it tries, and its exit
status is 1 if one failed.
"""

import csv
import math
import os
import sys
import traceback
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DIMENSIONS, BITS, LIMIT, FILTERED, CATEGORY = 8, 64, 10, 5, 1

OPERATORS = {"l2": "<->", "ip": "<#>", "cosine": "<=>", "l1": "<+>", "hamming": "<~>", "jaccard": "<%>"}
# columns of the tests' tables, with their types and metrics
COLUMNS = {
    "embedding": ("vector", ("l2", "ip", "cosine", "l1")),
    "half": ("halfvec", ("l2", "ip", "cosine", "l1")),
    "sparse": ("sparsevec", ("l2", "ip", "cosine", "l1")),
    "bits": ("bit", ("hamming", "jaccard")),
}
# (column, type, metric) of every index
INDEXES = [(column, kind, metric) for column, (kind, metrics) in COLUMNS.items() for metric in metrics]
CREATE_TABLE = (
    "CREATE TABLE items (id bigint PRIMARY KEY, category int, embedding vector(8), half halfvec(8), "
    "sparse sparsevec(8), bits bit(64))"
)


@dataclass
class Row:
    """One row, or a query: its vector as a list, as a dict from the position (from 0), its bits as text."""

    embedding: list
    sparse: dict
    bits: str
    id: int = 0
    category: int = 0


def _rows(name):
    with open(Path(os.environ["VX_CLIENTS_DATA"], name), encoding="ascii", newline="") as file:
        return list(csv.reader(file, delimiter="\t"))


def _row(vector, _sparse, bits, *number):
    elements = [float(x) for x in vector.strip("[]").split(",")]
    return Row(elements, {i: x for i, x in enumerate(elements) if x}, bits, *number)


ITEMS = [_row(*fields[2:], int(fields[0]), int(fields[1])) for fields in _rows("items.tsv")]
QUERIES = [_row(*fields) for fields in _rows("queries.tsv")]
ANSWERS = {
    (metric, int(number), category != "-"): ([int(i) for i in ids.split(",")], [float(d) for d in distances.split(",")])
    for metric, number, category, ids, distances in _rows("answers.tsv")
}


class Tried:
    """Results of one client; done() ends the program."""

    def __init__(self, client):
        self.client = client
        self.failed = False

    @contextmanager
    def __call__(self, what):
        """What is done within was tried; an exception is its failure."""
        try:
            yield
            print(f"ok {self.client}: {what}", flush=True)
        except Exception as error:
            self.failed = True
            traceback.print_exc(limit=-2, chain=False)
            print(f"not ok {self.client}: {what} - {type(error).__name__}: {str(error)[:300]}".replace("\n", " "), flush=True)

    def done(self):
        sys.exit(self.failed)


def same(got, wanted):
    """Fails if they differ."""
    if got != wanted:
        raise AssertionError(f"got {got}, not {wanted}")


def answered(metric, number, got, filtered=False):
    """Fails if "got", the ids or the (id, distance) of a query's rows, is not the exact answer."""
    ids, distances = ANSWERS[metric, number, filtered]
    got = [row if isinstance(row, (tuple, list)) else (row,) for row in got]
    same([row[0] for row in got], ids)
    for row, distance in zip(got, distances):
        if len(row) > 1 and not math.isclose(row[1], distance, rel_tol=1e-4, abs_tol=1e-4):
            raise AssertionError(f"row {row[0]} at {row[1]}, not {distance}")


def scans(plan, index):
    """Fails if a plan, EXPLAIN's lines, is no scan of this index."""
    if not any(f"Index Scan using {index} " in line for line in plan):
        raise AssertionError("no scan of " + index + ": " + " | ".join(plan))


def create_index(column, kind, metric, method="hnsw"):
    """The statement, for clients that have no own words for it."""
    return f"CREATE INDEX {column}_{metric} ON items USING {method} ({column} {kind}_{metric}_ops)"
