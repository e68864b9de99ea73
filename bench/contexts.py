"""A backend's memory contexts, from the view or from the server's log, as a table."""
from __future__ import annotations

import re
from typing import Iterable, NamedTuple

import psycopg

# The kinds of context differ in what they say of their blocks.
SIZES = r"(\d+) total in \d+ blocks[^;]*; \d+ free[^;]*; (\d+) used"
ENTRY = re.compile(r"level: (\d+); (.*?): " + SIZES + r"(?:: (.*))?$")
MORE = re.compile(r"level: (\d+); (\d+) more child contexts containing " + SIZES)
START = re.compile(r"logging memory contexts of PID (\d+)")


class Context(NamedTuple):
    """A context: its depth in the tree, and its own bytes, not those of its children."""

    level: int
    name: str
    ident: str
    total: int
    used: int


# In order of the tree: a context, then all below it, then the next.
Contexts = list[Context]


def read_view(conn: psycopg.Connection) -> Contexts:
    """Those of this connection's backend, now."""
    # Before version 18 the view is in order of the tree; since then it is not, and has the path.
    order = " ORDER BY path" if conn.info.server_version >= 180000 else ""
    rows = conn.execute("SELECT level, name, coalesce(ident, ''), total_bytes, used_bytes"
                        " FROM pg_backend_memory_contexts" + order).fetchall()
    return [Context(*row) for row in rows]


def read_log(lines: Iterable[str], pid: int) -> list[Contexts]:
    """Each answer of a backend to pg_log_backend_memory_contexts that the log has."""
    answers: list[Contexts] = []
    open_answer = False
    for line in lines:
        start = START.search(line)
        if start:
            open_answer = int(start[1]) == pid
            if open_answer:
                answers.append([])
        elif open_answer:
            entry, more = ENTRY.search(line), MORE.search(line)
            if more:
                level, count, total, used = more.groups()
                answers[-1].append(Context(int(level), f"{count} more", "", int(total), int(used)))
            elif entry:
                level, name, total, used, ident = entry.groups()
                answers[-1].append(Context(int(level), name, ident or "", int(total), int(used)))
            elif "Grand total" in line:
                open_answer = False
    return [a for a in answers if a]


def total(contexts: Contexts) -> int:
    return sum(c.total for c in contexts)


def below(contexts: Contexts, place: int) -> int:
    """Bytes of the context in this place and of all below it."""
    end = place + 1
    while end < len(contexts) and contexts[end].level > contexts[place].level:
        end += 1
    return total(contexts[place:end])


def table(contexts: Contexts, least: int = 16 * 1024) -> list[str]:
    """The tree as text; what has less than so many bytes, with all below it, is only counted."""
    out = ["  with children         own        used  context"]
    first = min(c.level for c in contexts)
    small = 0
    for place, c in enumerate(contexts):
        whole = below(contexts, place)
        if whole < least:
            small += c.total
            continue
        ident = " ".join(c.ident.split())
        name = "  " * (c.level - first) + c.name + (f": {ident[:60]}" if ident else "")
        out.append(f"{whole:15,} {c.total:11,} {c.used:11,}  {name}")
    if small:
        out.append(f"{small:15,} {'':11} {'':11}  in contexts of less than {least:,}, with all below them")
    out.append(f"{total(contexts):15,} {'':11} {sum(c.used for c in contexts):11,}  all")
    return out
