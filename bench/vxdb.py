"""What the demo and the recall test share: vectors in and out of a server.

They travel in the type's binary format, all of it big-endian:

    vector, halfvec     two 16-bit integers, the number of dimensions and 0, then the elements as
                        floats of 4 bytes, or 2
    bit                 the number of bits as a 32-bit integer, then the bits
    sparsevec           three 32-bit integers, the number of dimensions, of elements, and 0; then
                        the indices, from 0, and the elements as floats of 4 bytes

Rows are arrays of floats, of booleans for bit, SparseRows for sparsevec.
"""
from __future__ import annotations

import struct
from pathlib import Path
from typing import Iterable

import numpy as np
import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

import sparserows
from sparserows import SparseRow, SparseRows

OPERATORS = {"l2": "<->", "ip": "<#>", "cosine": "<=>", "l1": "<+>"}
BIT_OPERATORS = {"hamming": "<~>", "jaccard": "<%>"}
# Distances of each type.
METRICS = {"vector": tuple(OPERATORS), "halfvec": tuple(OPERATORS), "bit": tuple(BIT_OPERATORS), "sparsevec": tuple(OPERATORS)}
# Elements of the types that have them all.
ELEMENTS = {"vector": ">f4", "halfvec": ">f2"}
# Type of the columns and of queries; use_type changes it for all that follows.
TYPE = "vector"
WORDS_DIR = Path(__file__).resolve().parent / "data"

Rows = np.ndarray | SparseRows


def use_type(name: str) -> None:
    global TYPE
    assert name in METRICS
    TYPE = name


def operator(metric: str) -> str:
    return (OPERATORS | BIT_OPERATORS)[metric]


def connect(**kwargs) -> psycopg.Connection:
    """Connect as the PG* environment variables say, in autocommit mode."""
    return psycopg.connect(autocommit=True, **kwargs)


class Encoded(bytes):
    """A vector in its binary format."""


def encode(vector: np.ndarray | SparseRow) -> Encoded:
    if isinstance(vector, SparseRow):
        return Encoded(struct.pack(">iii", vector.dim, len(vector.indices), 0) + vector.indices.astype(">i4").tobytes()
                       + vector.values.astype(">f4").tobytes())
    if TYPE == "bit":
        return Encoded(struct.pack(">i", len(vector)) + np.packbits(vector).tobytes())
    return Encoded(struct.pack(">HH", len(vector), 0) + vector.astype(ELEMENTS[TYPE]).tobytes())


def register_vector(conn: psycopg.Connection) -> None:
    """Let vectors, or encoded ones, be passed as parameters of the type TYPE."""
    row = conn.execute("SELECT %s::regtype::oid::int8", (TYPE,)).fetchone()
    assert row is not None

    class VectorDumper(Dumper):
        format = Format.BINARY
        oid = row[0]

        def dump(self, obj):
            return obj if isinstance(obj, Encoded) else encode(obj)

    conn.adapters.register_dumper(np.ndarray, VectorDumper)
    conn.adapters.register_dumper(SparseRow, VectorDumper)
    conn.adapters.register_dumper(Encoded, VectorDumper)


def sparse_messages(ids: np.ndarray, vectors: SparseRows) -> bytes:
    """(id int, sparsevec) rows as COPY's binary format has them."""
    messages = []
    for number, vector in zip(ids, vectors):
        value = encode(vector)
        messages += [struct.pack(">hiii", 2, 4, number, len(value)), value]
    return b"".join(messages)


def messages(ids: np.ndarray, vectors: np.ndarray) -> bytes:
    """(id int, vector) rows as COPY's binary format has them; these are all of one length."""
    dim = vectors.shape[1]
    if TYPE == "bit":
        value = np.dtype([("dim", ">i4"), ("vec", "u1", ((dim + 7) // 8,))])
        vectors = np.packbits(vectors, axis=1)
    else:
        value = np.dtype([("dim", ">i2"), ("unused", ">i2"), ("vec", ELEMENTS[TYPE], (dim,))])
    rows = np.zeros(len(ids), dtype=[("fields", ">i2"), ("id_len", ">i4"), ("id", ">i4"), ("value_len", ">i4"), ("value", value)])
    rows["fields"], rows["id_len"], rows["id"] = 2, 4, ids
    rows["value_len"], rows["value"]["dim"], rows["value"]["vec"] = value.itemsize, dim, vectors
    return rows.tobytes()


def copy_rows(conn: psycopg.Connection, table: str, ids: np.ndarray, vectors: Rows) -> None:
    """COPY (id int, vector) rows into table(id, embedding)."""
    data = memoryview(sparse_messages(ids, vectors) if isinstance(vectors, SparseRows) else messages(ids, vectors))
    with conn.cursor() as cur, cur.copy(
            f"COPY {table} (id, embedding) FROM STDIN (FORMAT binary)") as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0))
        for start in range(0, len(data), 1 << 20):
            copy.write(bytes(data[start:start + (1 << 20)]))
        copy.write(struct.pack(">h", -1))


def load_words() -> tuple[list[str], np.ndarray]:
    """The shipped words and their vectors (float32)."""
    words = (WORDS_DIR / "words.txt").read_text(encoding="utf-8").split("\n")[:-1]
    vectors = np.load(WORDS_DIR / "words100.npy").astype(np.float32)
    if len(words) != len(vectors):
        raise SystemExit(f"{WORDS_DIR}: {len(words)} words, {len(vectors)} vectors")
    return words, vectors


def bit_distances(metric: str, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    q, r = queries.astype(np.float32), rows.astype(np.float32)
    # Whole numbers, exact in floats.
    both = (q @ r.T).astype(np.float64)
    ones = q.sum(1, dtype=np.float64)[:, None] + r.sum(1, dtype=np.float64)[None, :]
    if metric == "hamming":
        return ones - 2.0 * both
    # 1 where none is set in both, none in either included.
    return 1.0 - both / np.maximum(ones - both, 1.0)


def distances(metric: str, queries: Rows, rows: Rows) -> np.ndarray:
    """All distances in double precision, as the SQL operators define them."""
    if metric in BIT_OPERATORS:
        return bit_distances(metric, queries, rows)
    if isinstance(rows, SparseRows):
        return sparserows.distances(metric, queries, rows)
    q, r = queries.astype(np.float64), rows.astype(np.float64)
    if metric == "ip":
        return -(q @ r.T)
    if metric == "cosine":
        q /= np.linalg.norm(q, axis=1, keepdims=True)
        r /= np.linalg.norm(r, axis=1, keepdims=True)
        return 1.0 - q @ r.T
    if metric == "l2":
        square = (q * q).sum(1)[:, None] + (r * r).sum(1)[None, :] - 2.0 * (q @ r.T)
        return np.sqrt(np.maximum(square, 0.0))
    if metric == "l1":
        q32, r32 = queries.astype(np.float32), rows.astype(np.float32)
        return np.stack([np.abs(r32 - one).sum(1, dtype=np.float64) for one in q32])
    raise ValueError(metric)


def recall(found: Iterable[Iterable[int]], exact: Iterable[Iterable[int]]) -> float:
    """The part of the exact neighbours that was found."""
    hits = total = 0
    for f, e in zip(found, exact):
        e = set(e)
        hits += len(e.intersection(f))
        total += len(e)
    return hits / total if total else 0.0
