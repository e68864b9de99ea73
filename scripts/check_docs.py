#!/usr/bin/env python3
"""Run the examples of the documentation: each ```sql block of README.md and docs/, page by page.

    scripts/check_docs.py [--python PROGRAM] [PAGE ...]

on the server that PG* variables name, each page in a database of its own, in which the extension is made first unless
an example does that.
scripts/check-docs gives it a throw-away server.  A block has to run without an error.  Notes in the text, which readers
do not see, say what else there is to know:

    <!-- check-docs: run SQL -->               something to be there first: tables, rows
    <!-- check-docs: let $1 = EXPRESSION -->   what a parameter, or other text, stands for, from here on
    <!-- check-docs: error TEXT -->            the next block ends with an error that has this text
    <!-- check-docs: not run: REASON -->       the next block is not run, and that is said
    <!-- check-docs: python -->                on a page: ```python blocks are run, too, one after the other, by the
                                               PROGRAM, which has their packages

Also: links to pages and headings of the project lead somewhere.  Prints "ok" or "not ok" for each block and page of links,
and "N passed, N failed" last.
"""
from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTE = re.compile(r"<!-- check-docs: (run|let|error|not run:|python)\s*(.*?)\s*-->", re.S)
BLOCK = re.compile(r"^```(sql|python)\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
EXTENSION = "CREATE EXTENSION vectorx;"


@dataclass
class Page:
    path: Path
    database: str
    passed: int = 0
    failed: int = 0
    parameters: dict[str, str] = field(default_factory=dict)

    def check(self, good: bool, what: str, why: str = "") -> None:
        self.passed += good
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.path.relative_to(ROOT)}: {what}" + (f"\n{why}" if not good else ""), flush=True)

    def replaced(self, sql: str) -> str:
        for name in sorted(self.parameters, key=len, reverse=True):
            sql = re.sub(re.escape(name) + r"(?!\d)", lambda _, name=name: self.parameters[name], sql)
        return sql


def psql(database: str, sql: str) -> str:
    """What is wrong; nothing if all went well."""
    done = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", "-"], input=sql, capture_output=True, text=True,
                          env=os.environ | {"PGOPTIONS": "-c client_min_messages=warning"}, check=False)
    return "" if done.returncode == 0 else done.stderr.strip() or f"status {done.returncode}"


def run_sql(page: Page, sql: str, where: str, expected: str | None) -> None:
    wrong = psql(page.database, page.replaced(sql))
    if expected is None:
        page.check(wrong == "", where, wrong)
    else:
        page.check(expected in wrong, f"{where}, which is to fail", wrong or f"it did not fail: {expected}")


def run_python(page: Page, interpreter: str | None, program: str, where: str) -> None:
    if interpreter is None:
        print(f"not run: {page.path.relative_to(ROOT)}, {where}: no Python with its packages (scripts/check-clients python makes one)")
        return
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(program)
        file.flush()
        done = subprocess.run([interpreter, file.name], capture_output=True, text=True, env=os.environ | {"PGDATABASE": page.database}, check=False)
    page.check(done.returncode == 0, where, done.stderr.strip()[-2000:])


def run_examples(page: Page, interpreter: str | None, text: str) -> None:
    """Notes and blocks in the order of the text."""
    expected = reason = None
    python = False
    found = sorted([*NOTE.finditer(text), *BLOCK.finditer(text)], key=lambda m: m.start())
    for match in found:
        line = text.count("\n", 0, match.start()) + 1
        kind, body = match.groups()
        if kind == "run":
            wrong = psql(page.database, body)
            if wrong:
                page.check(False, f"line {line}, what is to be there", wrong)
        elif kind == "let":
            name, value = body.split(" = ", 1)
            page.parameters[name] = f"({value})" if name.startswith("$") else value
        elif kind == "error":
            expected = body
        elif kind == "not run:":
            reason = body
        elif match.re is NOTE:
            python = True
        elif kind == "sql" or python:
            if reason:
                print(f"not run: {page.path.relative_to(ROOT)}, line {line}: {reason}")
            elif kind == "sql":
                run_sql(page, body, f"line {line}", expected)
            else:
                run_python(page, interpreter, body, f"line {line}")
            expected = reason = None


def anchors(path: Path) -> set[str]:
    """As GitHub makes them of headings."""
    heads = re.findall(r"(?m)^#+ (.*)$", re.sub(r"(?ms)^```.*?^```$", "", path.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", head.replace("`", "").lower()).replace(" ", "-") for head in heads}


def check_links(page: Page, text: str) -> None:
    wrong = []
    for target in LINK.findall(re.sub(r"(?ms)^```.*?^```$", "", text)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        to = (page.path.parent / name).resolve() if name else page.path
        if not to.exists() or (anchor and to.suffix == ".md" and anchor not in anchors(to)):
            wrong.append(target)
    page.check(not wrong, "links", "lead nowhere: " + ", ".join(wrong))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", metavar="PROGRAM")
    parser.add_argument("pages", metavar="PAGE", nargs="*")
    args = parser.parse_args()
    paths = [Path(name).resolve() for name in args.pages] or \
        [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
    passed = failed = 0
    for n, path in enumerate(paths):
        page = Page(path, f"docs_{n}")
        text = path.read_text(encoding="utf-8")
        check_links(page, text)
        if BLOCK.search(text):
            wrong = psql("postgres", f"CREATE DATABASE {page.database}") or psql(page.database, "" if EXTENSION in text else EXTENSION)
            if wrong:
                page.check(False, "its database", wrong)
            else:
                run_examples(page, args.python, text)
        passed += page.passed
        failed += page.failed
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
