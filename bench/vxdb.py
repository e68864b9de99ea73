"""What the demo and the recall test share: vectors in and out of a server.

Vectors travel in the type's binary format: two 16-bit integers, the number of
dimensions and 0, then the elements as floats of 4 bytes, or 2, all big-endian.
"""
from __future__ import annotations

import struct
from pathlib import Path
from typing import Iterable

import numpy as np
import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

OPERATORS = {"l2": "<->", "ip": "<#>", "cosine": "<=>", "l1": "<+>"}
# Type of the columns and of queries, and its elements; use_type changes both for all that follows.
ELEMENTS = {"vector": ">f4", "halfvec": ">f2"}
TYPE = "vector"
WORDS_DIR = Path(__file__).resolve().parent / "data"


def use_type(name: str) -> None:
    global TYPE
    assert name in ELEMENTS
    TYPE = name


def connect(**kwargs) -> psycopg.Connection:
    """Connect as the PG* environment variables say, in autocommit mode."""
    return psycopg.connect(autocommit=True, **kwargs)


class Encoded(bytes):
    """A vector in its binary format."""


def encode(vector: np.ndarray) -> Encoded:
    return Encoded(struct.pack(">HH", len(vector), 0) + vector.astype(ELEMENTS[TYPE]).tobytes())


def register_vector(conn: psycopg.Connection) -> None:
    """Let float32 arrays, or encoded ones, be passed as parameters of the type TYPE."""
    row = conn.execute("SELECT %s::regtype::oid::int8", (TYPE,)).fetchone()
    assert row is not None

    class VectorDumper(Dumper):
        format = Format.BINARY
        oid = row[0]

        def dump(self, obj):
            return obj if isinstance(obj, Encoded) else encode(obj)

    conn.adapters.register_dumper(np.ndarray, VectorDumper)
    conn.adapters.register_dumper(Encoded, VectorDumper)


def copy_rows(conn: psycopg.Connection, table: str, ids: np.ndarray, vectors: np.ndarray) -> None:
    """COPY (id int, vector) rows into table(id, embedding)."""
    dim = vectors.shape[1]
    rows = np.empty(len(ids), dtype=[
        ("fields", ">i2"), ("id_len", ">i4"), ("id", ">i4"),
        ("vec_len", ">i4"), ("dim", ">i2"), ("unused", ">i2"), ("vec", ELEMENTS[TYPE], (dim,))])
    rows["fields"], rows["id_len"], rows["id"] = 2, 4, ids
    rows["vec_len"], rows["dim"], rows["unused"], rows["vec"] = 4 + rows["vec"].itemsize * dim, dim, 0, vectors
    with conn.cursor() as cur, cur.copy(
            f"COPY {table} (id, embedding) FROM STDIN (FORMAT binary)") as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0))
        data = memoryview(rows.tobytes())
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


def distances(metric: str, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """All distances in double precision, as the SQL operators define them."""
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
