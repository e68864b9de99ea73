"""Rows as pgvector-python's drivers and models take them."""

from pgvector import HalfVector, SparseVector, Vector
from shared import DIMENSIONS

# of a model's column, by metric
METHODS = {
    "l2": "l2_distance", "ip": "max_inner_product", "cosine": "cosine_distance", "l1": "l1_distance",
    "hamming": "hamming_distance", "jaccard": "jaccard_distance",
}


def model_values(row):
    """By column; a model's vectors are lists, its bits text."""
    return {
        "embedding": row.embedding,
        "half": HalfVector(row.embedding),
        "sparse": SparseVector(row.sparse, DIMENSIONS),
        "bits": row.bits,
    }


def values(row, bits=str):
    """The same for a driver; bits: its type for them, text where it has none."""
    return {**model_values(row), "embedding": Vector(row.embedding), "bits": bits(row.bits)}


def record(row, bits=str):
    """A row of the table "items"."""
    return (row.id, row.category, *values(row, bits).values())
