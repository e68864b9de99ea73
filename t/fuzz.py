#!/usr/bin/env python3
"""A part of t/011_fuzz.pl: random texts, binary messages and arrays as vectors.

    fuzz.py CASES SEED [halfvec]

CASES of each kind: text, binary messages, arrays of four types, type modifiers.
For each case a model of its own tells what the server has to answer: certain
bits, or an error with a certain SQLSTATE.  The model reads numbers with Python's float(), which is exact for double, and
settles what rounding twice could spoil with fractions; the server's parser and
strtof have no part in it.  What is accepted must come back the same from its
text, its binary form and its array.

Connects as the PG* environment variables say.  Prints tests as t/recall.py does.
"""
from __future__ import annotations

import ctypes
import math
import random
import re
import struct
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Callable, Iterable, Sequence

import numpy as np
import psycopg
from psycopg import pq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))
from vxdb import connect  # noqa: E402

MAX_DIM = 16000
OK = "00000"
SYNTAX = "22P02"            # invalid_text_representation
DATA = "22000"              # data_exception
RANGE = "22003"             # numeric_value_out_of_range
NULLS = "22004"             # null_value_not_allowed
MODIFIER = "22023"          # invalid_parameter_value
SUBSCRIPT = "2202E"         # array_subscript_error
LIMIT = "54000"             # program_limit_exceeded
TRUNCATED = "08P01"         # protocol_violation: the message ends too early
TRAILING = "22P03"          # invalid_binary_representation
BATCH = 500

sys.set_int_max_str_digits(0)
np.seterr(over="ignore")


@dataclass
class Element:
    """What the elements of a type are: floats, or halves."""

    type: str
    width: int
    number: type[np.floating]   # of NumPy
    code: str                   # of struct: the number, its bits
    bits: str
    fraction: int               # bits of it
    greatest: int               # the bits of the greatest number
    beyond: float               # what would be next

    @property
    def infinity(self) -> int:
        return self.greatest + 1


ELEMENTS = {e.type: e for e in (Element("vector", 4, np.float32, "f", "I", 23, 0x7F7FFFFF, 2.0 ** 128),
                                Element("halfvec", 2, np.float16, "e", "H", 10, 0x7BFF, 65536.0))}
ELEMENT = ELEMENTS["vector"]


# ---- the model

def bits_to_float(bits: int) -> float:
    """The element of these bits."""
    mask = (1 << 8 * ELEMENT.width) - 1
    return struct.unpack("<" + ELEMENT.code, struct.pack("<" + ELEMENT.bits, bits & mask))[0]


def bits_of(f: float) -> int:
    return struct.unpack("<" + ELEMENT.bits, struct.pack("<" + ELEMENT.code, f))[0]


def between(f: float) -> list[float]:
    """The doubles halfway from a positive float to the ones beside it."""
    bits = bits_of(f)
    above = bits_to_float(bits + 1) if bits < ELEMENT.greatest else ELEMENT.beyond
    below = bits_to_float(bits - 1) if bits > 0 else 0.0
    return [(f + above) / 2, (f + below) / 2]


def round_exactly(d: float, exact: Callable[[], Fraction]) -> float:
    """The float nearest to a number whose nearest double is d; infinite beyond
    the range.  Rounding d is right but where d lies in the middle of two floats
    and the number itself beside it."""
    positive = abs(d)
    if positive == 0 or math.isinf(positive):
        return d
    rounded = float(ELEMENT.number(positive))
    low = rounded if rounded < positive else next_float(rounded, -1)
    high = next_float(low, 1)
    if positive == (low + (high if high < math.inf else ELEMENT.beyond)) / 2:
        x, middle = abs(exact()), Fraction(positive)
        if x != middle:
            rounded = low if x < middle else high
    return math.copysign(rounded, d)


def next_float(f: float, step: int) -> float:
    """The positive float after or before a positive one."""
    return bits_to_float(bits_of(f) + step)


DECIMAL = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
HEXADECIMAL = re.compile(
    rb"([+-]?)0[xX]([0-9a-fA-F]*)(?:\.([0-9a-fA-F]*))?(?:[pP]([+-]?[0-9]+))?")
INFINITE = re.compile(rb"[+-]?(?:infinity|inf)", re.I)
NAN = re.compile(rb"[+-]?nan", re.I)


def hexadecimal_value(m: re.Match) -> tuple[float, Callable[[], Fraction]]:
    whole, part = m.group(2), m.group(3) or b""
    mantissa = int(whole + part, 16)
    power = int(m.group(4) or b"0") - 4 * len(part)
    sign = -1 if m.group(1) == b"-" else 1

    def exact() -> Fraction:
        return sign * mantissa * Fraction(2) ** power
    size = mantissa.bit_length() + power
    if mantissa == 0 or size < -200:
        return sign * 0.0, exact
    if size > 200:
        return sign * math.inf, exact
    return float(exact()), exact


STRTOF = ctypes.CDLL(None).strtof
STRTOF.restype = ctypes.c_float
STRTOF.argtypes = [ctypes.c_char_p, ctypes.c_void_p]


def read_number(text: bytes, at: int) -> tuple[int, float, bool]:
    """The longest number at a place, as strtof's description has it: where it
    ends (at: there is none), the float, and whether it was too large."""
    m = HEXADECIMAL.match(text, at)
    if m and (m.group(2) or m.group(3)):
        d, exact = hexadecimal_value(m)
        f = round_exactly(d, exact)
        if ELEMENT.width == 4 and 0 < abs(f) < 2.0 ** -126:
            # glibc's strtof rounds some of these wrongly; the server's parser leaves hexadecimal numbers to it
            f = STRTOF(m.group(), None)
        return m.end(), f, math.isinf(f)
    m = DECIMAL.match(text, at)
    if m:
        word = m.group().decode("ascii")
        f = round_exactly(float(word), lambda: Fraction(word))
        return m.end(), f, math.isinf(f)
    m = INFINITE.match(text, at)
    if m:
        return m.end(), math.inf, False
    m = NAN.match(text, at)
    if m:
        return m.end(), math.nan, False
    return at, 0.0, False


SPACE = b" \t\n\v\f\r"


def read_text(text: bytes, typmod: int) -> tuple[str, bytes]:
    """SQLSTATE and, if that is OK, the value in binary form."""
    def skip(at: int) -> int:
        while at < len(text) and text[at] in SPACE:
            at += 1
        return at

    at = skip(0)
    if text[at:at + 1] != b"[":
        return SYNTAX, b""
    at = skip(at + 1)
    if text[at:at + 1] == b"]":
        return DATA, b""
    values: list[float] = []
    while True:
        if len(values) == MAX_DIM:
            return LIMIT, b""
        at = skip(at)
        end, f, overflow = read_number(text, at)
        if end == at:
            return SYNTAX, b""
        if overflow:
            return RANGE, b""
        if math.isnan(f) or math.isinf(f):
            return DATA, b""
        values.append(f)
        at = skip(end)
        if text[at:at + 1] == b"]":
            break
        if text[at:at + 1] != b",":
            return SYNTAX, b""
        at += 1
    if skip(at + 1) != len(text):
        return SYNTAX, b""
    if typmod not in (-1, len(values)):
        return DATA, b""
    return OK, encode(values)


def encode(values: Sequence[float]) -> bytes:
    return struct.pack(f">HH{len(values)}{ELEMENT.code}", len(values), 0, *values)


def read_message(message: bytes, typmod: int) -> str:
    if len(message) < 4:
        return TRUNCATED
    dim, unused = struct.unpack_from(">hh", message)
    if dim < 1:
        return DATA
    if dim > MAX_DIM:
        return LIMIT
    if typmod not in (-1, dim) or unused != 0:
        return DATA
    if len(message) < 4 + ELEMENT.width * dim:
        return TRUNCATED
    elements = np.frombuffer(message, f">f{ELEMENT.width}", dim, 4)
    if not np.isfinite(elements).all():
        return DATA
    return OK if len(message) == 4 + ELEMENT.width * dim else TRAILING


# ---- the generators

class Generator:
    def __init__(self, seed: int) -> None:
        self.r = random.Random(seed)

    def chance(self, p: float) -> bool:
        return self.r.random() < p

    def any_float(self) -> float:
        """A finite float, every exponent as likely as any."""
        while True:
            f = bits_to_float(self.r.getrandbits(8 * ELEMENT.width))
            if math.isfinite(f):
                return f

    def border(self) -> float:
        """A positive float at a border: of the range, of the normal numbers, of
        zero, of a power of two, of the integers a float can hold."""
        fraction, most = ELEMENT.fraction, ELEMENT.greatest
        one = bits_of(1.0)
        bits = self.r.choice([most, most - 1, 1 << fraction, (1 << fraction) - 1, 1, 2, one, one - 1,
                              bits_of(2.0 ** (fraction + 1)),
                              self.r.randrange(most >> fraction) << fraction, self.r.randrange(1 << fraction)])
        return bits_to_float(max(0, bits + self.r.choice([-1, 0, 0, 1])) if bits < most else bits)

    def digits(self, most: int) -> str:
        return "".join(self.r.choices("0123456789", k=self.r.randint(1, most)))

    def middle(self) -> str:
        """The middle of two floats, all of its digits, or a little beside it."""
        f = abs(self.any_float()) if self.chance(0.6) else self.border()
        x = Fraction(self.r.choice(between(f)))
        power = x.denominator.bit_length() - 1      # the denominator is 2^power
        number = x.numerator * 5 ** power           # x = number / 10^power
        if self.chance(0.6):
            shift = self.r.choice([1, 1, 2, 5, 30])
            number = number * 10 ** shift + self.r.choice([-1, 1])
            power += shift
        text = str(max(number, 0))
        if self.chance(0.5):
            return f"{text}e{-power}"
        text = text.rjust(power + 1, "0")
        return f"{text[:len(text) - power]}.{text[len(text) - power:]}"

    def hexadecimal(self) -> str:
        r = self.r
        whole = "".join(r.choices("0123456789abcdefABCDEF", k=r.choice([0, 1, 1, 2, 8, 30])))
        text = r.choice(["0x", "0X"]) + whole
        if self.chance(0.5):
            text += "." + "".join(r.choices("0123456789abcdef", k=r.choice([0, 1, 5, 6, 7, 20])))
        if self.chance(0.6):
            text += f"{r.choice('pP')}{r.choice(['', '+', '-'])}{r.choice([0, 1, 23, 126, 127, 128, 149, 150, 151, 5000])}"
        return text

    def number(self) -> str:
        """A number, of one kind or another, that is accepted more often than not."""
        r = self.r
        kind = r.randrange(14)
        if kind < 3:
            text = str(r.randint(-1000, 1000) / r.choice([1, 2, 7, 100]))
        elif kind < 6:
            text = repr(float(np.float32(self.any_float())))
        elif kind == 6:
            text = np.format_float_positional(np.float32(self.any_float()))
        elif kind == 7:
            text = repr(self.border() * r.choice([1, 1 + 2e-8, 1 - 2e-8, 1 + 6e-8]))
        elif kind == 8 or kind == 9:
            text = self.middle()
        elif kind == 10:
            text = self.digits(r.choice([1, 5, 17, 18, 19, 20, 40]))
            if self.chance(0.7):
                text += "." + self.digits(r.choice([1, 5, 18, 40]))
            if self.chance(0.5):
                text += f"{r.choice('eE')}{r.choice(['', '+', '-', '-'])}{r.randrange(60)}"
        elif kind == 11:
            text = self.hexadecimal()
        elif kind == 12:
            zeros = "0" * r.choice([1, 3, 30, 60, 400])
            text = r.choice([zeros + "1.5", f"0.{zeros}1e{len(zeros)}", "1" + zeros + f"e-{len(zeros)}",
                             f"1e{zeros}1", f"1e-{zeros}7", "0" + zeros, f"0.{zeros}", f"0e{zeros}9",
                             f"{zeros}.{zeros}e999999", "1." + zeros + "1"])
        else:
            text = r.choice(["1.", ".5", "0.", ".0", "-0", "+1", "-.5", "+.5e1", "1e-400", "-1e-400",
                             "1e-45", "7e-46", "0.7e-45", "1e-99999999999999999999",
                             "0e99999999999999999999", "16777217", "3.4028235e38", "3.4028235677973366e38"])
        if self.chance(0.2) and text[0] not in "+-":
            text = r.choice("+-") + text
        return text

    def odd(self) -> str:
        """What stands in place of a number and mostly is none."""
        return self.r.choice([
            "", " ", "nan", "NaN", "-nan", "nan(1)", "nan(", "NAN(x_1)", "inf", "-inf", "Infinity", "infinit",
            "+INFINITY", "1e39", "-1e39", "1e400", "1e99999999999999999999", "3.4028236e38",
            "340282356779733661637539395458142568448", "340282356779733661637539395458142568447.9",
            "0x1p128", "0x1.ffffffp127", "0x1.fffffeffffffp127", "0x", "0x.", "0xg", "0x.p1", "0x1p", "0b1", "0o7",
            ".", "-", "+", "--1", "+-1", "- 1", "e5", ".e5", "1e", "1e+", "1e+-1", "1.2.3", "1e5.0", "1f", "1d",
            "1_000", "1 000", "1'000", "1;2", "1 2", "1\u00a02", "\u0661", "\uff11", "\u2212 1", "\u22121", "1\u0301",
            "null", "NULL", "true", "abc", '"1"', "'1'", "$1", "%s", "\\x31", "{1}", "(1)", "[1]", "1]", "[",
            "\ufeff1", "1\u200b", "\U0001f600", "\u0131nf", "na\u00f1", "\x1c1", "1\x85", "\x01", "\x7f"])

    def white(self) -> str:
        if self.chance(0.8):
            return ""
        if self.chance(0.05):
            return self.r.choice(["\u00a0", "\u2003", "\u3000", "\x85", "\x1c", "\x1d", "\ufeff", "\u2028"])
        return "".join(self.r.choices(" \t\n\v\f\r", k=self.r.choice([1, 1, 2, 20])))

    def dim(self) -> int:
        return self.r.choice([1, 1, 2, 2, 3, 3, 3, 4, 5, 8, 17]) if self.chance(0.98) else self.r.randint(18, 300)

    def text(self) -> str:
        r = self.r
        if self.chance(0.0015):
            # about the greatest number of dimensions
            n = r.choice([MAX_DIM - 1, MAX_DIM, MAX_DIM, MAX_DIM + 1, MAX_DIM + 1, 20000, 70000])
            text = "[" + ",".join(r.choices(["1", "2.5", "-0", "1e-7", " 3"], k=n)) + "]"
            return text if self.chance(0.6) else r.choice([text[:-1], text[:-1] + ",]", text[:-1] + ",x]", text + "]"])
        if self.chance(0.003):
            return r.choice(["[" * r.choice([2, 100, 50000]), "[" + " " * 30000 + "1" + "\n" * 30000 + "]",
                             "[" + "1" * r.choice([39, 5000, 100000]) + "]", "[0." + "0" * 100000 + "1]",
                             "[" + "9" * 60000 + "e-60000]", "[1e" + "0" * 50000 + "1]", "," * 50000,
                             "[" + "0" * 80000 + "]", "[0x" + "0" * 5000 + "1p-3]", "[0x" + "f" * 5000 + "p-20000]"])
        parts = [self.number() for _ in range(self.dim())]
        if self.chance(0.12):
            parts[r.randrange(len(parts))] = self.odd()
        comma = "," if self.chance(0.97) else r.choice([";", " ", ",,", "\u060c", "\uff0c", "|", "], ["])
        text = comma.join(self.white() + p + self.white() for p in parts)
        left, right = ("[", "]") if self.chance(0.96) else \
            (r.choice(["", "{", "(", "[[", "[ [", "[", "\uff3b", "x["]), r.choice(["", "}", ")", "]]", "] ]", "]", "]x", "],"]))
        text = self.white() + left + text + right + self.white()
        if self.chance(0.2):
            text = self.mutate(text)
        return text

    def mutate(self, text: str) -> str:
        """A few characters left out, put in, replaced, doubled or exchanged."""
        r, chars = self.r, list(text)
        for _ in range(r.choice([1, 1, 1, 2, 5])):
            at = r.randrange(len(chars) + 1)
            new = r.choice("[],.+-eExXpPnaif0123456789 \t\n{}()\"'\\;_\u00e9\u4e2d\U0001f600\u0660\x01\x7f")
            what = r.randrange(6)
            if what == 0 and chars:
                del chars[at % len(chars)]
            elif what == 1:
                chars.insert(at, new)
            elif what == 2 and chars:
                chars[at % len(chars)] = new
            elif what == 3 and chars:
                end = min(len(chars), at + r.randint(1, 6))
                chars[at:at] = chars[at:end]
            elif what == 4 and chars:
                other = r.randrange(len(chars))
                chars[at % len(chars)], chars[other] = chars[other], chars[at % len(chars)]
            elif what == 5:
                chars = chars[:at]
        return "".join(chars)

    def typmod(self) -> int:
        return -1 if self.chance(0.85) else self.r.choice([1, 2, 3, 4, MAX_DIM])

    def message(self) -> bytes:
        r = self.r
        n = self.dim() if self.chance(0.998) else r.choice([MAX_DIM - 1, MAX_DIM, MAX_DIM + 1, 20000])
        body = np.array([self.any_float() for _ in range(n)] if n < 1000
                        else np.full(n, self.any_float()), dtype=f">f{ELEMENT.width}").tobytes()
        if self.chance(0.15):
            fraction, infinity, sign = ELEMENT.fraction, ELEMENT.infinity, 1 << 8 * ELEMENT.width - 1
            quiet = infinity | 1 << fraction - 1
            odd = r.choice([infinity, sign | infinity, quiet, sign | quiet, infinity | 1, quiet - 1,
                            2 * sign - 1, infinity | r.getrandbits(fraction), ELEMENT.greatest, sign, 1])
            at = ELEMENT.width * r.randrange(n)
            body = body[:at] + struct.pack(">" + ELEMENT.bits, odd) + body[at + ELEMENT.width:]
        dim, unused = n, 0
        if self.chance(0.12):
            dim = r.choice([0, -1, 1, n - 1, n + 1, MAX_DIM, MAX_DIM + 1, 32767, -32768, r.randint(-32768, 32767)])
        if self.chance(0.06):
            unused = r.choice([1, -1, 256, -32768, r.randint(-32768, 32767)])
        message = struct.pack(">hh", dim, unused) + body
        if self.chance(0.08):
            message = message[:r.randrange(len(message))]
        if self.chance(0.06):
            message += r.randbytes(r.choice([1, 2, 3, 4, 4, 8, 100]))
        if self.chance(0.04):
            message = r.randbytes(r.choice([0, 1, 2, 3, 4, 5, 8, 12, 64]))
        if self.chance(0.04) and message:
            at = r.randrange(min(len(message), 8))
            message = message[:at] + bytes([message[at] ^ (1 << r.randrange(8))]) + message[at + 1:]
        return message

    def rounded(self, number: float) -> float | str:
        f = round_exactly(number, lambda: Fraction(number))
        return RANGE if math.isinf(f) else f

    # An array's element: its text, and what it is as a float, or the error it is.

    def element(self, kind: str) -> tuple[str, float | str]:
        r = self.r
        if kind == "integer":
            i = r.choice([r.randint(-100, 100), r.randint(-2**31, 2**31 - 1), 2**24 + r.randint(-3, 3),
                          2**31 - 1, -2**31, (r.getrandbits(24) << 7) + r.choice([63, 64, 65]) - 2**30])
            if ELEMENT.width < 4 and self.chance(0.97):
                i = r.choice([r.randint(-4100, 4100), r.randint(-65519, 65519), 65519, -65504])
            return str(i), self.rounded(float(i))
        if kind == "numeric":
            text = self.number() if self.chance(0.97) else r.choice(["1e39", "-4e38", "1e-60", "1e2000", "1e-2000"])
            if not DECIMAL.fullmatch(text.encode()) or re.search(r"[eE][+-]?[0-9]*[0-9]{4}", text):
                text = str(r.randint(-5, 5))
            f = round_exactly(float(text), lambda: Fraction(text))
            real = f if ELEMENT.width == 4 else np.float32(float(text))
            if np.isinf(real) or (real == 0 and Fraction(text) != 0):
                return text, RANGE      # as the cast from numeric to real
            if real == 0:
                f = 0.0                 # numeric has no negative zero
            return text, RANGE if math.isinf(f) else f
        if self.chance(0.02):
            return r.choice([("NaN", math.nan), ("Infinity", math.inf), ("-Infinity", -math.inf)])
        if kind == "real":
            f = self.any_float() if self.chance(0.7) else self.border()
            if ELEMENT.width < 4 and self.chance(0.5):
                # any number of the type real, most of them between two elements
                f = float(np.float32(f * r.uniform(0.999, 1.001)))
            return repr(f), self.rounded(f)
        d = r.choice([self.any_float(), r.uniform(-10, 10), self.border(), r.choice(between(self.border())),
                      math.nextafter(r.choice(between(self.border())), r.choice([0, math.inf]))])
        if self.chance(0.03):
            d = r.choice([1e300, -1e300, 1e-300, 3.4028235677973366e38, 3.4028235677973362e38, 5e-324, -1e39])
        return repr(d), self.rounded(d) if np.isfinite(np.float32(d)) else math.inf

    def array(self, kind: str) -> tuple[str, list[float | str | None], int]:
        """An array's text, its elements (None: null), its number of dimensions."""
        r = self.r
        if self.chance(0.01):
            return "{}", [], 0
        n = self.dim() if self.chance(0.999) else r.choice([MAX_DIM - 1, MAX_DIM, MAX_DIM + 1])
        pairs = [self.element(kind) for _ in range(n)] if n < 1000 else [self.element(kind)] * n
        texts = [p[0] for p in pairs]
        values: list[float | str | None] = [p[1] for p in pairs]
        if self.chance(0.05):
            at = r.randrange(n)
            texts[at], values[at] = "NULL", None
        text, ndim = "{" + ",".join(texts) + "}", 1
        if self.chance(0.05):
            rows = r.choice([1, 2, 3])
            text, ndim = "{" + ",".join([text] * rows) + "}", 2
            values = values * rows
            if self.chance(0.2):
                text, ndim = "{" + text + "}", 3
        elif self.chance(0.1):
            low = r.choice([-5, 0, 2, 1000000])
            text = f"[{low}:{low + n - 1}]=" + text
        return text, values, ndim

    def modifiers(self) -> list[str | None]:
        r = self.r
        n = 1 if self.chance(0.9) else r.choice([0, 2, 3])
        return [r.choice([str(r.randint(-5, 20)), str(r.randint(1, 17000)), str(r.choice([0, 1, MAX_DIM, MAX_DIM + 1])),
                          str(r.choice([2**31 - 1, 2**31, -2**31, -2**31 - 1, 10**20])), " 7", "7 ", " 7 ", "+7", "", " ",
                          "a", "1.5", "1e3", "7x", "--7", "\u0667", None if self.chance(0.3) else "3"])
                for _ in range(n)]


def array_state(values: list[float | str | None], ndim: int, typmod: int) -> tuple[str, bytes]:
    if ndim > 1:
        return DATA, b""
    if None in values:
        return NULLS, b""
    if len(values) > MAX_DIM:
        return LIMIT, b""
    if not values or typmod not in (-1, len(values)):
        return DATA, b""
    if not all(math.isfinite(v) for v in values if v != RANGE):     # type: ignore[arg-type]
        return DATA, b""
    if RANGE in values:
        return RANGE, b""
    return OK, encode(values)                           # type: ignore[arg-type]


def modifier_state(words: list[str | None]) -> tuple[str, int]:
    if not words:
        return SUBSCRIPT, 0
    if None in words:
        return NULLS, 0
    numbers = []
    for word in words:
        assert word is not None
        if not re.fullmatch(r"[ ]*[+-]?[0-9]+[ ]*", word, re.A):
            return SYNTAX, 0
        if not -2**31 <= int(word) < 2**31:
            return RANGE, 0
        numbers.append(int(word))
    if len(numbers) != 1 or not 1 <= numbers[0] <= MAX_DIM:
        return MODIFIER, 0
    return OK, numbers[0]


# ---- the server's side

# Written for vector (of_type).
SETUP = """
CREATE EXTENSION IF NOT EXISTS vectorx;
DROP SCHEMA IF EXISTS fuzz CASCADE;
CREATE SCHEMA fuzz;
"""

# Whether a value is the same after each way out and in.
AGAIN = """
CREATE FUNCTION fuzz.again(v vector) RETURNS bool LANGUAGE sql AS $$
	SELECT v IS NOT DISTINCT FROM v AND vector_send(v::text::vector) = vector_send(v)
		AND vector_send(v::real[]::vector) = vector_send(v) AND vector_send(vector(v, vector_dims(v), true)) = vector_send(v)
		AND vector_send(subvector(v, 1, vector_dims(v))) = vector_send(v)
$$;
"""

TEXTS = """
CREATE FUNCTION fuzz.texts(texts text[], typmods int[])
RETURNS TABLE (state text, value bytea, again bool) LANGUAGE plpgsql AS $$
DECLARE
	t text;
	n int;
	v vector;
BEGIN
	FOR t, n IN SELECT * FROM unnest(texts, typmods) LOOP
		BEGIN
			v := vector_in(t::cstring, 0, n);
			state := '00000';
			value := vector_send(v);
			again := fuzz.again(v);
		EXCEPTION WHEN OTHERS THEN
			state := SQLSTATE;
			value := NULL;
			again := NULL;
		END;
		RETURN NEXT;
	END LOOP;
END $$;
"""

MODIFIERS = """
CREATE FUNCTION fuzz.modifiers(words text[])
RETURNS TABLE (state text, value int) LANGUAGE plpgsql AS $$
DECLARE
	w text;
BEGIN
	-- each is the text of an array
	FOREACH w IN ARRAY words LOOP
		BEGIN
			value := vector_typmod_in(w::cstring[]);
			state := '00000';
		EXCEPTION WHEN OTHERS THEN
			state := SQLSTATE;
			value := NULL;
		END;
		RETURN NEXT;
	END LOOP;
END $$;
"""

ARRAYS = """
CREATE FUNCTION fuzz.arrays_{name}(texts text[], typmods int[])
RETURNS TABLE (state text, value bytea, again bool) LANGUAGE plpgsql AS $$
DECLARE
	t text;
	n int;
	a {kind}[];
	v vector;
BEGIN
	FOR t, n IN SELECT * FROM unnest(texts, typmods) LOOP
		a := t;		-- of this no error is expected
		BEGIN
			v := CASE WHEN n = -1 THEN a::vector ELSE array_to_vector(a, n, false) END;
			state := '00000';
			value := vector_send(v);
			again := fuzz.again(v);
		EXCEPTION WHEN OTHERS THEN
			state := SQLSTATE;
			value := NULL;
			again := NULL;
		END;
		RETURN NEXT;
	END LOOP;
END $$;
"""


def of_type(statements: str, name: str = "") -> str:
    """Statements written for vector, for another type, or the one that it is about."""
    return re.sub(r"\bvector(?=_(?:in|send|typmod_in)\b)|\bvector\b|(?<=array_to_)vector\b", name or ELEMENT.type, statements)


class Report:
    """Compares answers with what was expected, and prints the tests of a kind."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.states: dict[str, int] = {}
        self.wrong = 0
        self.tests = 0

    def compare(self, case: object, expected: tuple, answer: tuple) -> None:
        self.states[expected[0]] = self.states.get(expected[0], 0) + 1
        if expected == answer:
            return
        self.wrong += 1
        if self.wrong <= 8:
            for name, what in (("case", case), ("expected", expected), ("answer", answer)):
                text = ascii(what)
                print(f"#\t{self.kind}: {name} {text[:600]}{' ...' if len(text) > 600 else ''}")

    def ok(self, passed: bool, name: str) -> None:
        self.tests += 1
        print(f"{'ok' if passed else 'not ok'}\t{self.kind}: {name}", flush=True)

    def finish(self, states: Iterable[str], cases: int) -> None:
        total = sum(self.states.values())
        print("#\t" + self.kind + ": " + ", ".join(f"{s} {n}" for s, n in sorted(self.states.items())))
        self.ok(total == cases and self.wrong == 0,
                f"{total} cases are answered as the model says ({self.wrong} are not)")
        missing = [s for s in states if s not in self.states]
        self.ok(not missing and self.states.get(OK, 0) > cases / 4,
                "many are accepted, and each error was met" + (f" ({missing})" if missing else ""))


def batches(cases: int) -> Iterable[int]:
    for start in range(0, cases, BATCH):
        yield min(BATCH, cases - start)


def compare_values(report: Report, conn: psycopg.Connection, call: str, batch: Sequence[tuple[str, int, str, bytes]]) -> None:
    """Texts, type modifiers, and for each the SQLSTATE and value that are expected."""
    rows = conn.execute(f"SELECT state, value, again FROM fuzz.{call}(%b, %b)",
                        ([b[0] for b in batch], [b[1] for b in batch]), binary=True).fetchall()
    assert len(rows) == len(batch)
    for (text, typmod, expected, bits), (state, value, again) in zip(batch, rows):
        report.compare((text, typmod), (expected, bits, True) if expected == OK else (expected,),
                       (state, value, again) if state == OK else (state,))


def fuzz_text(conn: psycopg.Connection, g: Generator, cases: int) -> Report:
    report = Report("text")
    for n in batches(cases):
        batch = [(g.text().replace("\0", ""), g.typmod()) for _ in range(n)]
        compare_values(report, conn, "texts", [(text, typmod, *read_text(text.encode(), typmod)) for text, typmod in batch])
    report.finish((SYNTAX, DATA, RANGE, *((LIMIT,) if cases >= 3000 else ())), cases)
    return report


def fuzz_arrays(conn: psycopg.Connection, g: Generator, cases: int, kind: str) -> Report:
    report = Report(f"{kind}[]")
    name = kind.split()[0]
    conn.execute(of_type(ARRAYS.format(name=name, kind=kind)))
    for n in batches(cases):
        batch = [(*g.array(kind), g.typmod()) for _ in range(n)]
        compare_values(report, conn, f"arrays_{name}",
                       [(text, typmod, *array_state(values, ndim, typmod)) for text, values, ndim, typmod in batch])
    report.finish((DATA, NULLS, *((RANGE,) if kind == "numeric" else ())), cases)
    return report


def fuzz_modifiers(conn: psycopg.Connection, g: Generator, cases: int) -> Report:
    report = Report("modifiers")
    for n in batches(cases):
        batch = [g.modifiers() for _ in range(n)]
        texts = ["{" + ",".join("NULL" if w is None else f'"{w}"' for w in words) + "}" for words in batch]
        rows = conn.execute("SELECT state, value FROM fuzz.modifiers(%b)", (texts,)).fetchall()
        assert len(rows) == n
        for words, (state, value) in zip(batch, rows):
            expected, typmod = modifier_state(words)
            report.compare(words, (expected, typmod) if expected == OK else (expected,),
                           (state, value) if state == OK else (state,))
    report.finish((SYNTAX, RANGE, NULLS, MODIFIER, SUBSCRIPT), cases)
    return report


def fuzz_binary(conn: psycopg.Connection, g: Generator, cases: int) -> Report:
    """Binary parameters, of the type and of domains over it, whose modifier the
    receiving function is given.  Each is a transaction of its own."""
    report = Report("binary")
    statements: dict[int, bytes] = {}
    for typmod, name in ((-1, ELEMENT.type), (1, "fuzz.one"), (3, "fuzz.three"), (MAX_DIM, "fuzz.most")):
        if typmod > 0:
            conn.execute(f"CREATE DOMAIN {name} AS {ELEMENT.type}({typmod})")
        row = conn.execute("SELECT %s::regtype::oid::int8", (name,)).fetchone()
        assert row is not None
        statements[typmod] = f"binary_{typmod}".encode()
        result = conn.pgconn.prepare(statements[typmod],
                                     of_type("SELECT $1::vector, vector_send($1::text::vector), fuzz.again($1)").encode(),
                                     [row[0]])
        assert result.status == pq.ExecStatus.COMMAND_OK, result.error_message
    pg = conn.pgconn
    # libpq then reads answers itself while it cannot send
    pg.nonblocking = 0
    pg.enter_pipeline_mode()
    for n in batches(cases):
        batch = [(g.message(), g.r.choice([-1, -1, -1, -1, -1, 1, 3, 3, MAX_DIM])) for _ in range(n)]
        for message, typmod in batch:
            pg.send_query_prepared(statements[typmod], [message], param_formats=[1], result_format=1)
            pg.pipeline_sync()
        pg.flush()
        for message, typmod in batch:
            result = pg.get_result()
            assert result is not None
            if result.status == pq.ExecStatus.TUPLES_OK:
                answer: tuple = (OK, *(result.get_value(0, i) for i in range(3)))
            else:
                state = result.error_field(pq.DiagnosticField.SQLSTATE)
                answer = (state.decode() if state else "no SQLSTATE",)
            assert pg.get_result() is None
            result = pg.get_result()
            assert result is not None and result.status == pq.ExecStatus.PIPELINE_SYNC, result
            expected = read_message(message, typmod)
            report.compare((message, typmod), (OK, message, message, b"\1") if expected == OK else (expected,), answer)
    pg.exit_pipeline_mode()
    pg.nonblocking = 1
    report.finish((DATA, TRUNCATED, TRAILING, LIMIT), cases)
    return report


def main() -> None:
    global ELEMENT
    cases, seed = int(sys.argv[1]), int(sys.argv[2])
    ELEMENT = ELEMENTS[sys.argv[3] if len(sys.argv) > 3 else "vector"]
    tests = 0
    with connect() as conn:
        conn.execute(SETUP + of_type(AGAIN + TEXTS + MODIFIERS))
        row = conn.execute("SELECT pg_backend_pid()").fetchone()
        reports = [fuzz_text(conn, Generator(seed), cases),
                   fuzz_binary(conn, Generator(seed + 1), cases)]
        for i, kind in enumerate(("real", "double precision", "integer", "numeric")):
            reports.append(fuzz_arrays(conn, Generator(seed + 2 + i), cases, kind))
        reports.append(fuzz_modifiers(conn, Generator(seed + 6), cases))
        last = Report("afterwards")
        last.ok(conn.execute("SELECT pg_backend_pid()").fetchone() == row, "the same session answers")
        reports.append(last)
        tests = sum(r.tests for r in reports)
    print(f"done\t{tests}")


if __name__ == "__main__":
    main()
