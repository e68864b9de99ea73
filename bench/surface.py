#!/usr/bin/env python3
"""pgvector's SQL surface, read from its catalogues, as t/024_surface.pl compares vectorx with it.

    .venv/bin/python bench/surface.py           tells whether t/surface.tsv is what the peer server's pgvector has
    .venv/bin/python bench/surface.py --write   writes it

The peer server (server.py) has pgvector in the version that bench/requirements.txt pins.  The query is t/surface.sql, for
both extensions.
"""
from __future__ import annotations

import difflib
import sys
from pathlib import Path

import server

TESTS = Path(__file__).resolve().parent.parent / "t"
DATA = TESTS / "surface.tsv"


def surface(here: server.Server, database: str, extension: str, *first: str) -> list[str]:
    """A line for each object."""
    query = (TESTS / "surface.sql").read_text(encoding="utf-8").replace(":'extension'", f"'{extension}'")
    with here.connect(database) as conn:
        conn.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
        for statement in first:
            conn.execute(statement)
        return ["\t".join(row) + "\n" for row in conn.execute(query)]


def main() -> None:
    server.stop_on_signal()
    try:
        with server.start() as here:
            # a value of the type loads the library, which defines the settings
            lines = surface(here, "pgvector", "vector", "SELECT '[1]'::vector")
    except server.Unavailable as e:
        print(f"not run: pgvector's surface: {e}")
        return
    if "--write" in sys.argv[1:]:
        DATA.write_text("".join(lines), encoding="utf-8")
        print(f"{len(lines)} objects written")
        return
    kept = DATA.read_text(encoding="utf-8").splitlines(keepends=True)
    differences = list(difflib.unified_diff(kept, lines, "t/surface.tsv", "pgvector"))
    sys.stdout.writelines(differences)
    print(f"{'not ok' if differences else 'ok'} t/surface.tsv is pgvector's surface: {len(lines)} objects")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
