#!/usr/bin/env python3
"""Sparse vectors of text: TF-IDF of passages of the HTML in Debian's documentation packages.

    mkdir /tmp/docs
    packages=$(.venv/bin/python bench/sparse.py --packages)
    (cd /tmp/docs && apt-get download $packages)
    .venv/bin/python bench/sparse.py /tmp/docs

writes tfidf30k.base.npz and tfidf30k.queries.npz (sparserows.py has the format) into bench/data, or the folder of --data, where
bench/compare.py finds the set tfidf30k.  The packages are read as they are; nothing is installed.

A page's text without its navigation is cut into passages of 220 words, and what is left at its end is one if it has half of that.
A paragraph that has been there before, in whichever package, counts as nothing.  Words of more than a tenth of all passages are
left out; the 30,000 most frequent others are the dimensions.  An element is (1 + ln of how often the word is in the passage) times
ln of (passages / passages with the word); vectors have length 1.  Passages with fewer than 50 different words of these are left
out, and such with the same vector as another.  They are put in random order (--seed), of which the last 1,000 are the queries.
"""
from __future__ import annotations

import argparse
import collections
import re
import subprocess
import tarfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Iterable, Iterator

import numpy as np

from sparserows import SparseRows

NAME = "tfidf30k"
PACKAGES = ("linux-doc-6.1", "python3.11-doc", "postgresql-doc-15", "libreoffice-help-en-us", "git-doc", "gimp-help-en",
            "erlang-doc", "sqlite3-doc", "python-django-doc", "python-sqlalchemy-doc", "r-doc-html", "debian-reference-en",
            "python-sympy-doc", "libgtk-3-doc")
PASSAGE_WORDS = 220
STOP_SHARE = 0.1
DIM = 30_000
LEAST_TERMS = 50
QUERIES = 1_000

WORD = re.compile(r"[a-z][a-z0-9_]*[a-z0-9]")
BLOCKS = frozenset("p li td th dd dt div h1 h2 h3 h4 h5 h6 pre tr br title section table body".split())
LEFT_OUT = frozenset("script style nav header footer".split())


class Blocks(HTMLParser):
    """The texts of a page: those between tags that begin or end a block."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[list[str]] = [[]]
        self.within = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in LEFT_OUT:
            self.within += 1
        elif tag in BLOCKS:
            self.texts.append([])

    def handle_endtag(self, tag: str) -> None:
        if tag in LEFT_OUT:
            self.within = max(0, self.within - 1)
        elif tag in BLOCKS:
            self.texts.append([])

    def handle_data(self, data: str) -> None:
        if not self.within:
            self.texts[-1].append(data)


def pages(package: Path) -> Iterator[str]:
    """The HTML files of a .deb, in the order of their names."""
    found = {}
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as unpack:
        with tarfile.open(fileobj=unpack.stdout, mode="r|") as files:
            for member in files:
                if member.isfile() and member.name.endswith((".html", ".htm")):
                    content = files.extractfile(member)
                    assert content is not None
                    found[member.name] = content.read().decode("utf-8", "replace")
    if unpack.returncode != 0:
        raise SystemExit(f"{package.name} cannot be read")
    for _, text in sorted(found.items()):
        yield text


def passages(page: str, seen: set[tuple[str, ...]]) -> Iterator[list[str]]:
    """The words of each passage of a page; "seen" are the blocks that have been there."""
    parser = Blocks()
    parser.feed(page)
    parser.close()
    words: list[str] = []
    for text in parser.texts:
        block = tuple(WORD.findall("".join(text).lower()))
        if block and block not in seen:
            seen.add(block)
            words += block
    for start in range(0, len(words), PASSAGE_WORDS):
        passage = words[start:start + PASSAGE_WORDS]
        if len(passage) >= PASSAGE_WORDS // 2:
            yield passage


def vocabulary(texts: Iterable[Iterable[str]], dim: int) -> list[str]:
    """The most frequent words that are not in too many of the texts; equally frequent ones by the alphabet."""
    counted: collections.Counter[str] = collections.Counter()
    number = 0
    for words in texts:
        counted.update(set(words))
        number += 1
    kept = [(-count, word) for word, count in counted.items() if count <= STOP_SHARE * number]
    return [word for _, word in sorted(kept)[:dim]]


def tfidf(texts: list[list[str]], words: list[str], least: int) -> SparseRows:
    """A row for each text with at least so many different words, of those with the same words only the first."""
    index = {word: i for i, word in enumerate(words)}
    counts = [sorted(collections.Counter(index[w] for w in text if w in index).items()) for text in texts]
    of_word = np.zeros(len(words))
    for of_text in counts:
        of_word[[i for i, _ in of_text]] += 1
    weight = np.log(len(texts) / np.maximum(of_word, 1))
    indptr, indices, values = [0], [], []
    seen = set()
    for of_text in counts:
        if len(of_text) < least or tuple(of_text) in seen:
            continue
        seen.add(tuple(of_text))
        where = np.array([i for i, _ in of_text], np.int32)
        value = (1 + np.log([float(n) for _, n in of_text])) * weight[where]
        indices.append(where)
        values.append((value / np.linalg.norm(value)).astype(np.float32))
        indptr.append(indptr[-1] + len(where))
    return SparseRows(np.array(indptr, np.int64), np.concatenate(indices), np.concatenate(values), len(words))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="where the .deb files are")
    parser.add_argument("--packages", action="store_true", help="print the names of the packages")
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parent / "data", help="where to put the set")
    parser.add_argument("--seed", type=int, default=1, help="of the order (default: 1)")
    args = parser.parse_args()
    if args.packages or args.folder is None:
        print(" ".join(PACKAGES))
        return
    texts: list[list[str]] = []
    seen: set[tuple[str, ...]] = set()
    used = []
    for name in PACKAGES:
        files = sorted(args.folder.glob(f"{name}_*.deb"))
        if len(files) != 1:
            raise SystemExit(f"{args.folder}: {len(files)} files {name}_*.deb, where there has to be one")
        before = len(texts)
        for page in pages(files[0]):
            texts += passages(page, seen)
        used.append(f"{name} {files[0].name.split('_')[1].replace('%3a', ':')}")
        print(f"{used[-1]}: {len(texts) - before:,} passages", flush=True)
    rows = tfidf(texts, vocabulary(texts, DIM), LEAST_TERMS)
    rows = rows[np.random.default_rng(args.seed).permutation(len(rows))]
    for part, chosen in (("base", rows[:len(rows) - QUERIES]), ("queries", rows[len(rows) - QUERIES:])):
        chosen.save(args.data / f"{NAME}.{part}.npz", packages=", ".join(used), seed=str(args.seed))
    least, quarter, median, more, most = np.percentile(rows.counts, [0, 25, 50, 75, 100])
    print(f"{len(rows):,} of {len(texts):,} passages, {rows.dim:,} dimensions, {QUERIES:,} of them queries; not zero: {least:.0f} to"
          f" {most:.0f}, quartiles {quarter:.0f}, {median:.0f}, {more:.0f}")


if __name__ == "__main__":
    main()
