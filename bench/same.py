#!/usr/bin/env python3
"""vectorx and pgvector side by side: the same statements to both, which have to give the same.

    .venv/bin/python bench/same.py [CASES [SEED]]

Literals, casts, operators, functions and aggregates of every type of both extensions, on the peer server (server.py): a corpus
of what is likely to differ, and CASES random pairs of values for each type (400).  Compared are SQLSTATE and result: text as it
is, a number but for rounding.  What is meant to differ is in EXPECTED, with the reason.
"""
from __future__ import annotations

import itertools
import math
import random
import re
import sys
from typing import Iterable, Sequence

import psycopg

import server

TYPES = ("vector", "halfvec", "sparsevec")

DENSE = ["[1,2,3]", "[1]", "[-0,0,1.5]", "[0,0,0]", "[1e-7,65504,-3]", "[3e38,-3e38,1]", "[1e-45,1,0]", " [ 1 , 2 ,3 ] ", "[65519,1,1]", "[65520,1,1]",
         "[1e39]", "[4e38,1]", "[1e-400]", "[]", "[ ]", "[", "", "[1,]", "[,1]", "[1 2]", "[a]", "[NaN]", "[1,inf]", "[-Infinity]", "[1]x", "{1,2}", "1", "[[1]]",
         "[0x1p3]", "[+1]", "[1.]", "[.5]", "[--1]", "[1e]", "[2.98e-8]", "[2.99e-8]", "[6e-8,1]", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]"]
SPARSE = ["{1:1,2:2,3:3}/3", "{}/3", "{1:1}/1", "{3:1.5}/3", "{3:1,1:2}/3", "{1:3e38,2:-3e38}/3", "{1:1e-45}/3", "{1:65520}/3", " { 1 : 1 , 2:2 } / 3 ",
          "{1:0,2:-0}/3", "{4:0}/3", "{2:1,2:0}/3", "{1:1e-50}/3", "{1:1,1:1}/3", "{0:1}/3", "{-1:1}/3", "{4:1}/3", "{1:1}/0", "{}/-1", "{1:1}/1000000000",
          "{1:1}/1000000001", "{99999999999:1}/3", "{1:1}", "{1:1}/", "{1:1,}/3", "{1}/3", "{:1}/3", "{1:}/3", "{1:a}/3", "{a:1}/3", "{1:nan}/3", "{1:inf}/3", "{1:4e38}/3",
          "{1:1}/3x", "{1:1}/3.5", "{1:1}}/3", "{1:0x1p3}/3", "", "{", "[1,2,3]", "{1:1;2:2}/3"]
BITS = ["101", "111", "000", "", "1", "10101010101", "2"]
ARRAYS = ["'{1,2,3}'::int[]", "'{1,0,-2147483648}'::int[]", "'{1.5,0,3}'::real[]", "'{0.1,1e300,1}'::float8[]", "'{1e-60,1,2}'::float8[]", "'{0.1,1,65520}'::numeric[]", "'{1e50}'::numeric[]",
          "'{1e-60}'::numeric[]", "'{}'::int[]", "'{1,NULL}'::real[]", "'{{1},{2}}'::float8[]", "'{NaN}'::real[]", "'{-Infinity}'::float8[]", "'[3:5]={1,2,3}'::int[]", "'{a}'::text[]", "'{1}'::bigint[]"]
UNARY = {
    "vector": ["vector_dims({0})", "vector_norm({0})", "l2_norm({0})", "l2_normalize({0})", "binary_quantize({0})", "subvector({0}, 1, 2)", "subvector({0}, 0, 2)", "subvector({0}, -1, 1)", "subvector({0}, 9, 1)", "vector_send({0})"],
    "halfvec": ["vector_dims({0})", "l2_norm({0})", "l2_normalize({0})", "binary_quantize({0})", "subvector({0}, 1, 2)", "subvector({0}, 3, 99)", "subvector({0}, 2, -1)", "halfvec_send({0})"],
    "sparsevec": ["l2_norm({0})", "l2_normalize({0})", "sparsevec_send({0})", "vector_dims({0})", "binary_quantize({0})"],
}
BINARY = ["{0} <-> {1}", "{0} <#> {1}", "{0} <=> {1}", "{0} <+> {1}", "{0} < {1}", "{0} <= {1}", "{0} = {1}", "{0} <> {1}", "{0} >= {1}", "{0} > {1}", "{0} + {1}", "{0} - {1}", "{0} * {1}", "{0} || {1}",
          "l2_distance({0}, {1})", "inner_product({0}, {1})", "cosine_distance({0}, {1})", "l1_distance({0}, {1})", "{2}_cmp({0}, {1})", "{2}_l2_squared_distance({0}, {1})",
          "{2}_negative_inner_product({0}, {1})", "{2}_spherical_distance({0}, {1})"]
MODIFIERS = ["({0})", "(3)", "(2)", "(1)", "(0)", "(-1)", "(16000)", "(16001)", "(1000000000)", "(1000000001)", "(1,2)", "('a')", "()"]

# What differs for a reason: a pattern of the statement, and why.
EXPECTED = [
    (r"^(?=.*(cosine_distance|<=>)).*(3e38|1e-45)", "NaN, always, for a squared norm that as a float is infinite or zero (src/types/README.md)"),
]


def literals(kind: str) -> list[str]:
    return SPARSE if kind == "sparsevec" else DENSE


def value(kind: str, text: str) -> str:
    return f"'{text}'::{kind}"


def corpus() -> Iterable[str]:
    """Expressions that anyone may write."""
    for kind in TYPES:
        yield from (value(kind, text) for text in literals(kind))
        sound = [value(kind, t) for t in literals(kind)[:9]]
        yield from (f.format(v) for f in UNARY[kind] for v in sound)
        yield from (f.format(a, b, kind) for f in BINARY for a, b in itertools.product(sound, repeat=2))
        yield from (value(kind + m.format(3), literals(kind)[0]) for m in MODIFIERS)
        yield from (f"{a}::{kind}{m}" for a in ARRAYS for m in ("", "(3)"))
        yield from (f"{v}::{other}{m}" for v in sound for other in (*TYPES, "real[]", "float8[]", "int[]", "text", "bit") for m in ("", "(3)") if m == "" or other in TYPES)
        for aggregate in ("avg", "sum", "min", "max", "count"):
            for rows in ([], sound[:1], [sound[0], sound[2], "NULL"], [sound[5], sound[5]], [sound[0], sound[1]], [sound[4], sound[4]]):
                of = ", ".join(f"({r})" for r in rows) or f"(NULL::{kind})"
                yield f"(SELECT {aggregate}(v::{kind}) FROM (VALUES {of}) AS t (v) {'WHERE false' if not rows else ''})"
        yield f"(SELECT string_agg(v::text, ' ' ORDER BY v) FROM (VALUES {', '.join(f'({v})' for v in sound)}) AS t (v))"
    for a, b in itertools.product(BITS, repeat=2):
        for f in ("B'{0}' <~> B'{1}'", "B'{0}' <%> B'{1}'", "hamming_distance(B'{0}', B'{1}')", "jaccard_distance(B'{0}', B'{1}')", "B'{0}'::varbit <~> B'{1}'::varbit"):
            yield f.format(a, b)


def random_pairs(r: random.Random, kind: str, cases: int) -> Iterable[str]:
    """Expressions of random values, whose sums are far from the ends of what numbers can be.  Of few digits: pgvector rounds
    a longer text to a float first and to a half then, vectorx once."""
    for _ in range(cases):
        dim = r.choice([1, 2, 3, 7, 8, 16, 17, 33, 100])
        values = []
        for _ in range(2):
            numbers = [round(r.choice([0, r.randint(-3, 3), r.gauss(0, 1), r.uniform(-3, 3)]), 3) for _ in range(dim)]
            text = "{" + ",".join(f"{i}:{x}" for i, x in enumerate(numbers, 1) if x) + f"}}/{dim}" if kind == "sparsevec" else str(numbers)
            values.append(value(kind, text))
        yield r.choice(BINARY).format(*values, kind)
        yield r.choice(UNARY[kind]).format(values[0])
        yield f"{values[0]}::{r.choice(TYPES)}"


def answer(conn: psycopg.Connection, expression: str) -> tuple[str, object]:
    """SQLSTATE and value; as text but for numbers."""
    try:
        row = conn.execute(f"SELECT {expression}").fetchone()
    except psycopg.Error as e:
        return e.sqlstate or "?", None
    assert row is not None
    return "00000", row[0] if isinstance(row[0], (float, int, bool, bytes)) or row[0] is None else str(row[0])


NUMBER = re.compile(r"[-+]?[0-9.]+(?:e[-+]?[0-9]+)?")


def close(x: float, y: float, terms: float = 0.05) -> bool:
    """terms: what has been added up may have been as large."""
    return x == y or (math.isnan(x) and math.isnan(y)) or abs(x - y) <= 2e-6 * max(abs(x), abs(y), terms)


def same(a: tuple[str, object], b: tuple[str, object], expression: str) -> bool:
    """Equal but for the rounding of numbers."""
    if a == b:
        return True
    if a[0] != b[0] or type(a[1]) is not type(b[1]):
        return False
    if isinstance(a[1], float) and isinstance(b[1], float):
        return close(a[1], b[1], 50 if re.search("inner_product|<#>", expression) else 0.05)
    if not isinstance(a[1], str) or not isinstance(b[1], str) or NUMBER.sub("#", a[1]) != NUMBER.sub("#", b[1]):
        return False
    return all(close(float(x), float(y)) for x, y in zip(NUMBER.findall(a[1]), NUMBER.findall(b[1])))


def compare(here: server.Server, expressions: Sequence[str]) -> int:
    """Print what differs; how many do."""
    differ = 0
    with here.connect("vectorx") as mine, here.connect("pgvector") as theirs:
        mine.execute("CREATE EXTENSION IF NOT EXISTS vectorx")
        theirs.execute("CREATE EXTENSION IF NOT EXISTS vector")
        for expression in expressions:
            a, b = answer(mine, expression), answer(theirs, expression)
            if not same(a, b, expression) and not any(re.search(pattern, expression) for pattern, _ in EXPECTED):
                differ += 1
                print(f"not ok {expression[:200]}: vectorx {str(a)[:150]}, pgvector {str(b)[:150]}")
    return differ


def main() -> None:
    server.stop_on_signal()
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    r = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    try:
        with server.start() as here:
            parts = [("of the corpus", list(corpus()))] + [(f"of random values of {kind}", list(random_pairs(r, kind, cases))) for kind in TYPES]
            failed = 0
            for name, expressions in parts:
                differ = compare(here, expressions)
                print(f"{'not ok' if differ else 'ok'} {len(expressions)} expressions {name} give what they give with pgvector ({differ} do not)", flush=True)
                failed += differ > 0
    except server.Unavailable as e:
        print(f"not run: vectorx and pgvector side by side: {e}")
        return
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
