#!/usr/bin/env python3
"""A part of t/011_fuzz.pl: random texts, binary messages and arrays as sparsevec, and bit strings.

    fuzz_sparsevec.py CASES SEED

As fuzz.py, whose numbers and reports these are: CASES of each kind, for each of which a model tells what the
server has to answer.  What is accepted must come back the same from its text, its binary form and its vector.
"""
from __future__ import annotations

import math
import re
import struct
import sys
from collections.abc import Sequence

import fuzz
import numpy as np
import psycopg
from fuzz import (
    DATA,
    LIMIT,
    NULLS,
    OK,
    RANGE,
    SETUP,
    SPACE,
    SYNTAX,
    TEXTS,
    TRAILING,
    TRUNCATED,
    Generator,
    Report,
    batches,
    compare_values,
    connect,
    of_type,
    read_number,
)
from psycopg import pq

MAX_NNZ = 16000
MAX_SPARSE_DIM = 1_000_000_000
INTEGER = re.compile(rb"[+-]?[0-9]+")
ARRAYS = ("real", "double precision", "integer", "numeric")


# ---- the model

def encode(dim: int, elements: Sequence[tuple[int, float]]) -> bytes:
    """The binary form; indices from 1."""
    n = len(elements)
    return struct.pack(f">iii{n}i{n}f", dim, n, 0, *(i - 1 for i, _ in elements), *(x for _, x in elements))


def is_nothing(number: bytes) -> bool:
    """Is a number, which as a float is zero, zero itself?"""
    hexadecimal = re.match(rb"[+-]?0[xX](?=[0-9a-fA-F.])", number)
    digits = re.split(rb"[pP]", number[hexadecimal.end():])[0] if hexadecimal else re.split(rb"[eE]", number)[0]
    return not re.search(rb"[1-9a-fA-F]", digits)


def read_elements(text: bytes, at: int, elements: list[tuple[int, float]]) -> tuple[str, int]:
    """SQLSTATE, and where the text goes on behind the brace."""
    def skip(at: int) -> int:
        while at < len(text) and text[at] in SPACE:
            at += 1
        return at

    read = 0
    while True:
        if read == MAX_NNZ:
            return LIMIT, at
        read += 1
        m = INTEGER.match(text, skip(at))
        if not m:
            return SYNTAX, at
        at = skip(m.end())
        if text[at:at + 1] != b":":
            return SYNTAX, at
        at = skip(at + 1)
        end, x, overflow = read_number(text, at)
        if end == at:
            return SYNTAX, at
        if overflow:
            return RANGE, at
        if not math.isfinite(x):
            return DATA, at
        if x != 0:
            elements.append((int(m.group()), x))
        elif not is_nothing(text[at:end]):
            return RANGE, at
        at = skip(end)
        if text[at:at + 1] == b"}":
            return OK, at + 1
        if text[at:at + 1] != b",":
            return SYNTAX, at
        at += 1


def read_text(text: bytes, typmod: int) -> tuple[str, bytes]:
    """SQLSTATE and, if that is OK, the value in binary form."""
    elements: list[tuple[int, float]] = []
    text = text.strip(SPACE)
    if text[:1] != b"{":
        return SYNTAX, b""
    at = len(text) - len(text[1:].lstrip(SPACE))
    if text[at:at + 1] == b"}":
        at += 1
    else:
        state, at = read_elements(text, at, elements)
        if state != OK:
            return state, b""
    rest = re.fullmatch(rb"[ \t-\r]*/[ \t-\r]*([+-]?[0-9]+)", text[at:])
    if not rest:
        return SYNTAX, b""
    dim = int(rest.group(1))
    if dim > MAX_SPARSE_DIM:
        return LIMIT, b""
    indices = [i for i, _ in elements]
    if dim < 1 or typmod not in (-1, dim) or len(set(indices)) < len(indices) or not all(1 <= i <= dim for i in indices):
        return DATA, b""
    return OK, encode(dim, sorted(elements))


def read_message(message: bytes, typmod: int) -> str:
    if len(message) < 12:
        return TRUNCATED
    dim, nnz, unused = struct.unpack_from(">iii", message)
    if dim < 1:
        return DATA
    if dim > MAX_SPARSE_DIM:
        return LIMIT
    if nnz < 0:
        return DATA
    if nnz > MAX_NNZ or nnz > dim:
        return LIMIT
    if typmod not in (-1, dim) or unused != 0:
        return DATA
    if len(message) < 12 + 8 * nnz:
        return TRUNCATED
    indices = np.frombuffer(message, ">i4", nnz, 12).astype(np.int64)
    values = np.frombuffer(message, ">f4", nnz, 12 + 4 * nnz)
    if (indices < 0).any() or (indices >= dim).any() or (np.diff(indices) <= 0).any():
        return DATA
    if not np.isfinite(values).all() or (values == 0).any():
        return DATA
    return OK if len(message) == 12 + 8 * nnz else TRAILING


def array_state(values: list[float | str | None], ndim: int, typmod: int) -> tuple[str, bytes]:
    if ndim > 1:
        return DATA, b""
    if None in values:
        return NULLS, b""
    if not values or typmod not in (-1, len(values)):
        return DATA, b""
    if RANGE in values:
        return RANGE, b""
    if not all(math.isfinite(v) for v in values):                               # type: ignore[arg-type]
        return DATA, b""
    elements = [(i, v) for i, v in enumerate(values, 1) if v != 0]
    if len(elements) > MAX_NNZ:
        return LIMIT, b""
    return OK, encode(len(values), elements)                                    # type: ignore[arg-type]


# ---- the generators

class SparseGenerator(Generator):
    def sparse_dim(self) -> int:
        r = self.r
        return r.choice([1, 2, 3, 5, 10, 30, 1000, 30000, MAX_SPARSE_DIM, r.randint(1, MAX_SPARSE_DIM)])

    def index(self, dim: int) -> str:
        r = self.r
        if self.chance(0.97):
            return str(r.randint(1, dim))
        return r.choice(["0", "-1", str(dim), str(dim + 1), "+1", "01", "0002", "2147483647", "2147483648", "-2147483649",
                         "99999999999", "-9" * 30, "9" * 400, "0x1", "1.0", "1e0", "", "a", "- 1", "--1", "\u0661"])

    def sparse_text(self) -> str:
        r = self.r
        dim = self.sparse_dim()
        if self.chance(0.002):
            # about the greatest number of elements
            n = r.choice([MAX_NNZ - 1, MAX_NNZ, MAX_NNZ, MAX_NNZ + 1, 20000])
            indices = list(range(1, n + 1))
            if self.chance(0.4):
                r.shuffle(indices)
            text = "{" + ",".join(f"{i}:{r.choice(['1', '2.5', '1', '0'])}" for i in indices) + "}/30000"
            return text if self.chance(0.7) else r.choice([text[:-7], text + "x", text.replace("7:", "8:", 1)])
        if self.chance(0.003):
            return r.choice(["{" * 50000, "{" + " " * 30000 + "1:1" + "\n" * 30000 + "}/1", "{1:" + "1" * 5000 + "}/1", "{1:0." + "0" * 90000 + "}/3",
                             "{" + "1" * 60000 + ":1}/3", "{1:1}/" + "0" * 50000 + "3", "," * 50000, "{1:1}/" + "9" * 50000,
                             "{1:0x" + "0" * 5000 + "1p-3}/1"])
        n = min(self.dim() - r.randrange(2), dim)
        indices = [self.index(dim) for _ in range(n)]
        if self.chance(0.6):
            indices = sorted(set(indices), key=lambda i: int(i) if re.fullmatch(r"[+-]?[0-9]{1,20}", i, re.ASCII) else 0)
        parts = [self.white() + i + self.white() + (":" if self.chance(0.995) else r.choice(["", "::", ";", "=", "\uff1a"])) + self.white()
                 + self.number() + self.white() for i in indices]
        if parts and self.chance(0.08):
            parts[r.randrange(len(parts))] = r.choice([f"{r.randint(1, dim)}:{self.odd()}", self.odd()])
        if parts and self.chance(0.04):
            parts.append(parts[r.randrange(len(parts))])
        size = str(dim) if self.chance(0.94) else \
            r.choice(["0", "-1", "", "+" + str(dim), "0" + str(dim), str(dim - 1), "1000000001", "2147483648", "9" * 30, "-" + "9" * 30, "3x", "3.5", "0x3", "\u0663"])
        comma = "," if self.chance(0.98) else r.choice([";", " ", ",,", "\uff0c", "},{"])
        slash = "/" if self.chance(0.98) else r.choice(["", "//", " ", "\\", "}/", "/{"])
        left = "{" if self.chance(0.98) else r.choice(["", "[", "(", "{{", "x{"])
        right = "}" if self.chance(0.98) else r.choice(["", "]", "}}", ",}", "}x"])
        text = self.white() + left + comma.join(parts) + (self.white() if not parts else "") + right + self.white() + slash + self.white() + size + self.white()
        return self.mutate(text) if self.chance(0.15) else text

    def sparse_typmod(self) -> int:
        return -1 if self.chance(0.85) else self.r.choice([1, 2, 3, 5, 30000, MAX_SPARSE_DIM])

    def sparse_message(self) -> bytes:
        r = self.r
        dim = self.sparse_dim()
        n = min(dim, self.dim() - r.randrange(2) if self.chance(0.998) else r.choice([MAX_NNZ, MAX_NNZ + 1, 20000]))
        indices = sorted(r.sample(range(dim), n)) if self.chance(0.95) else [r.randrange(dim) for _ in range(n)]
        values = [self.any_float() or 1.0 for _ in range(n)] if n < 1000 else [1.5] * n
        words = list(struct.pack(f">{n}i{n}f", *indices, *values))
        if n and self.chance(0.12):
            odd = r.choice([0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0xFFFFFFFF, 0x7F7FFFFF, 0x80000000, 0, 1, dim, dim - 1])
            at = 4 * r.randrange(2 * n)
            words[at:at + 4] = struct.pack(">I", odd)
        nnz, unused = n, 0
        if self.chance(0.1):
            dim = r.choice([0, -1, 1, 3, n - 1, n, MAX_SPARSE_DIM, MAX_SPARSE_DIM + 1, 2**31 - 1, -2**31])
        if self.chance(0.08):
            nnz = r.choice([0, -1, n - 1, n + 1, MAX_NNZ, MAX_NNZ + 1, 2**31 - 1, -2**31])
        if self.chance(0.05):
            unused = r.choice([1, -1, 2**31 - 1, -2**31])
        message = struct.pack(">iii", dim, nnz, unused) + bytes(words)
        if self.chance(0.07):
            message = message[:r.randrange(len(message))]
        if self.chance(0.05):
            message += r.randbytes(r.choice([1, 4, 8, 100]))
        return message


# ---- the server's side

AGAIN = """
CREATE FUNCTION fuzz.again(v sparsevec) RETURNS bool LANGUAGE sql AS $$
	SELECT v IS NOT DISTINCT FROM v AND sparsevec_send(v::text::sparsevec) = sparsevec_send(v) AND sparsevec(v, -1, true) = v
		AND (get_byte(sparsevec_send(v), 0) > 0 OR get_byte(sparsevec_send(v), 1) > 0 OR get_byte(sparsevec_send(v), 2) >= 62
			OR sparsevec_send(v::vector::sparsevec) = sparsevec_send(v))
$$;
"""

BITS = """
-- Distances of bit strings, or the error instead.
CREATE FUNCTION fuzz.bits(a text[], b text[])
RETURNS TABLE (state text, hamming float8, jaccard float8) LANGUAGE plpgsql AS $$
DECLARE
	x text;
	y text;
BEGIN
	FOR x, y IN SELECT * FROM unnest(a, b) LOOP
		BEGIN
			hamming := x::varbit <~> y::varbit;
			jaccard := x::varbit <%> y::varbit;
			state := '00000';
		EXCEPTION WHEN OTHERS THEN
			state := SQLSTATE;
		END;
		RETURN NEXT;
	END LOOP;
END $$;
"""

def fuzz_text(conn: psycopg.Connection, g: SparseGenerator, cases: int) -> Report:
    report = Report("sparsevec text")
    for n in batches(cases):
        batch = []
        for _ in range(n):
            text, typmod = g.sparse_text().replace("\0", ""), g.sparse_typmod()
            batch.append((text, typmod, *read_text(text.encode(), typmod)))
        compare_values(report, conn, "texts", batch)
    report.finish((SYNTAX, DATA, RANGE, LIMIT), cases)
    return report


def fuzz_arrays(conn: psycopg.Connection, g: SparseGenerator, cases: int, kind: str) -> Report:
    report = Report(f"sparsevec of {kind}[]")
    name = kind.split()[0]
    conn.execute(of_type(fuzz.ARRAYS.format(name=name, kind=kind), "sparsevec"))
    for n in batches(cases):
        batch = []
        for _ in range(n):
            text, values, ndim = g.array(kind)
            typmod = g.typmod()
            batch.append((text, typmod, *array_state(values, ndim, typmod)))
        compare_values(report, conn, f"arrays_{name}", batch)
    report.finish((DATA, NULLS, *((RANGE,) if kind == "numeric" else ())), cases)
    return report


def fuzz_binary(conn: psycopg.Connection, g: SparseGenerator, cases: int) -> Report:
    """Binary parameters, of the type and of a domain over it; each is a transaction of its own."""
    report = Report("sparsevec binary")
    statements = {}
    conn.execute("CREATE DOMAIN fuzz.three AS sparsevec(3)")
    for typmod, name in ((-1, "sparsevec"), (3, "fuzz.three")):
        row = conn.execute("SELECT %s::regtype::oid::int8", (name,)).fetchone()
        assert row is not None
        statements[typmod] = f"sparse_{typmod}".encode()
        result = conn.pgconn.prepare(statements[typmod], b"SELECT $1::sparsevec, sparsevec_send($1::text::sparsevec), fuzz.again($1)", [row[0]])
        assert result.status == pq.ExecStatus.COMMAND_OK, result.error_message
    for _ in range(cases):
        message, typmod = g.sparse_message(), g.r.choice([-1, -1, -1, 3])
        result = conn.pgconn.exec_prepared(statements[typmod], [message], [1], 1)
        if result.status == pq.ExecStatus.TUPLES_OK:
            answer: tuple = (OK, *(result.get_value(0, i) for i in range(3)))
        else:
            state = result.error_field(pq.DiagnosticField.SQLSTATE)
            answer = (state.decode() if state else "no SQLSTATE",)
        expected = read_message(message, typmod)
        report.compare((message, typmod), (OK, message, message, b"\1") if expected == OK else (expected,), answer)
    report.finish((DATA, TRUNCATED, TRAILING, LIMIT), cases)
    return report


def fuzz_bits(conn: psycopg.Connection, g: SparseGenerator, cases: int) -> Report:
    report = Report("bit strings")
    for n in batches(cases):
        batch = []
        for _ in range(n):
            size = g.r.choice([0, 1, 7, 8, 9, 63, 64, 65, g.r.randint(0, 300), g.r.randint(0, 3000)])
            a, b = ([g.r.random() < p for _ in range(size)] for p in (g.r.random(), g.r.choice([0, 0.5, 1, g.r.random()])))
            if g.chance(0.1):
                b = list(a)
            elif g.chance(0.1):
                b = b + [True] * g.r.choice([1, 8, 256])
            batch.append((a, b))
        texts = [["".join("01"[x] for x in v) for v in side] for side in zip(*batch)]
        rows = conn.execute("SELECT state, hamming, jaccard FROM fuzz.bits(%b, %b)", texts).fetchall()
        for (a, b), row in zip(batch, rows):
            both, either = sum(x and y for x, y in zip(a, b)), sum(x or y for x, y in zip(a, b))
            expected = (OK, sum(x != y for x, y in zip(a, b)), 1 - both / either if both else 1) if len(a) == len(b) else (DATA,)
            report.compare((a, b), expected, row if row[0] == OK else row[:1])
    report.finish((DATA,), cases)
    return report


def main() -> None:
    cases, seed = int(sys.argv[1]), int(sys.argv[2])
    with connect() as conn:
        conn.execute(SETUP + AGAIN + of_type(TEXTS, "sparsevec") + BITS)
        row = conn.execute("SELECT pg_backend_pid()").fetchone()
        reports = [fuzz_text(conn, SparseGenerator(seed), cases), fuzz_binary(conn, SparseGenerator(seed + 1), cases)]
        for i, kind in enumerate(ARRAYS):
            reports.append(fuzz_arrays(conn, SparseGenerator(seed + 2 + i), cases, kind))
        reports.append(fuzz_bits(conn, SparseGenerator(seed + 6), cases))
        last = Report("sparsevec afterwards")
        last.ok(conn.execute("SELECT pg_backend_pid()").fetchone() == row, "the same session answers")
        reports.append(last)
    print(f"done\t{sum(r.tests for r in reports)}")


if __name__ == "__main__":
    main()
