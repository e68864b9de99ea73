"""The rows, queries and exact answers that all clients' tests share.

    python data.py FOLDER

writes three files of lines whose fields are separated by tabs:

    items.tsv     id, category, vector, the same as sparsevec, bits
    queries.tsv   vector, the same as sparsevec, bits
    answers.tsv   metric, number of the query (from 0), category or "-", ids, distances

Elements are multiples of 1/64 and have the same value as float, half and decimal text, so
that one answer is right for vector, halfvec and sparsevec.  Within an answer, and to the
row behind its last, distances differ by more than any of them rounds to: there is one order.
"""

import sys
from pathlib import Path

import numpy as np

ROWS, DIMENSIONS, BITS, QUERIES, CATEGORIES = 300, 8, 64, 3, 3
# rows of an answer, and of one with a category
LIMIT, FILTERED = 10, 5
CATEGORY = 1


def distances(metric, rows, query):
    """Distances of all rows by the definition."""
    if metric == "l2":
        return np.sqrt(((rows - query) ** 2).sum(axis=1))
    if metric == "ip":
        return -(rows @ query)
    if metric == "cosine":
        return 1 - rows @ query / np.linalg.norm(rows, axis=1) / np.linalg.norm(query)
    if metric == "l1":
        return np.abs(rows - query).sum(axis=1)
    if metric == "hamming":
        return (rows != query).sum(axis=1).astype(float)
    if metric == "jaccard":
        return 1 - (rows & query).sum(axis=1) / (rows | query).sum(axis=1)
    raise ValueError(metric)


def draw(seed):
    """Rows, queries: vectors and bits of each."""
    random = np.random.default_rng(seed)
    vectors = random.integers(-256, 257, (ROWS + QUERIES, DIMENSIONS)) / 64
    vectors[random.random(vectors.shape) < 0.25] = 0
    bits = random.random((ROWS + QUERIES, BITS)) < 0.5
    # Random bits are all equally far apart: each query has some rows that are near.
    for query in range(QUERIES):
        for i in range(18):
            row = bits[ROWS + query].copy()
            row[random.choice(BITS, i + 1, replace=False)] ^= True
            bits[query * 18 + i] = row
    return vectors[:ROWS], vectors[ROWS:], bits[:ROWS], bits[ROWS:]


def answers(vectors, queries, bits, bit_queries, categories):
    """The lines of answers.tsv; None where two distances are too near each other."""
    lines = []
    for metric in ("l2", "ip", "cosine", "l1", "hamming", "jaccard"):
        of_bits = metric in ("hamming", "jaccard")
        for number in range(QUERIES):
            query = bit_queries[number] if of_bits else queries[number]
            every = distances(metric, bits if of_bits else vectors, query)
            for category, limit in ((None, LIMIT), (CATEGORY, FILTERED)):
                ids = np.flatnonzero(categories == category) if category is not None else np.arange(ROWS)
                order = ids[np.argsort(every[ids], kind="stable")]
                if np.diff(every[order[: limit + 1]]).min() < 0.002:
                    return None
                lines.append(
                    (
                        metric,
                        number,
                        "-" if category is None else category,
                        ",".join(str(i + 1) for i in order[:limit]),
                        ",".join(f"{every[i]:.6f}" for i in order[:limit]),
                    )
                )
    return lines


def forms(vector, bits):
    """A row's fields: vector, sparsevec, bits."""
    return (
        "[" + ",".join(f"{x:.10g}" for x in vector) + "]",
        "{" + ",".join(f"{i + 1}:{x:.10g}" for i, x in enumerate(vector) if x) + f"}}/{len(vector)}",
        "".join("01"[int(b)] for b in bits),
    )


def main(folder):
    categories = np.arange(ROWS) // 2 % CATEGORIES
    for seed in range(1000):
        vectors, queries, bits, bit_queries = draw(seed)
        lines = answers(vectors, queries, bits, bit_queries, categories)
        if lines is not None:
            break
    else:
        sys.exit("data.py: no seed gives answers without ties")
    items = [(i + 1, categories[i], *forms(vectors[i], bits[i])) for i in range(ROWS)]
    asked = [forms(queries[i], bit_queries[i]) for i in range(QUERIES)]
    for name, rows in (("items", items), ("queries", asked), ("answers", lines)):
        text = "".join("\t".join(str(field) for field in row) + "\n" for row in rows)
        Path(folder, f"{name}.tsv").write_text(text, encoding="ascii")


if __name__ == "__main__":
    main(sys.argv[1])
