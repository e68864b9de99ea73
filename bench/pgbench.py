"""Running a pgbench script and reading the log it keeps of every transaction.

A script of several kinds of statement is given to pgbench once for each kind,
with the variable "only" set, so that the log tells the kinds apart.
"""
from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterable, Mapping

import numpy as np

BENCH = Path(__file__).resolve().parent
# In the order of the variable "only" of the scripts, from 1.
KINDS = ("search", "insert", "update", "delete")
# The kinds that each script has.
SCRIPTS = {"search_only": KINDS[:1], "write_only": KINDS[1:], "market_traffic": KINDS}
PERCENTILES = (50.0, 95.0, 99.0, 99.9)


def find_pgbench(bindir: Path | None = None) -> Path:
    """pgbench: that of the server, of pg_config, of PATH, or the newest Debian has."""
    folders = [bindir] if bindir else []
    pg_config = os.environ.get("PG_CONFIG") or shutil.which("pg_config")
    if pg_config and shutil.which(pg_config):
        folders.append(Path(subprocess.run([pg_config, "--bindir"], stdout=subprocess.PIPE, text=True,
                                           check=True).stdout.strip()))
    for folder in folders:
        if (folder / "pgbench").exists():
            return folder / "pgbench"
    found = shutil.which("pgbench")
    if found:
        return Path(found)
    debian = Path("/usr/lib/postgresql").glob("*/bin/pgbench")
    newest = max(debian, key=lambda p: float(p.parts[-3]), default=None)
    if newest is None:
        raise SystemExit("there is no pgbench: not beside the server, nor in PATH "
                         "(Debian has it in the package postgresql-15)")
    return newest


@dataclass
class Log:
    """Transactions: of which kind, how long, and when they ended (seconds since 1970)."""

    kind: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    micros: np.ndarray = field(default_factory=lambda: np.empty(0))
    end: np.ndarray = field(default_factory=lambda: np.empty(0))
    failed: int = 0

    def between(self, first: float, last: float) -> int:
        """Transactions that ended in (first, last]."""
        return int(((self.end > first) & (self.end <= last)).sum())

    def percentiles(self, kind: int) -> dict[str, float]:
        """Latencies of a kind in milliseconds; a latency that occurred, never one in between."""
        micros = self.micros[self.kind == kind]
        if not len(micros):
            return {}
        values = np.percentile(micros, PERCENTILES, method="higher")
        return {f"p{p:g}": round(float(v) / 1000, 4) for p, v in zip(PERCENTILES, values)}


def parse_log(lines: Iterable[str], kinds: list[int]) -> Log:
    """Read log lines; kinds[n] is the kind of the n-th script given to pgbench.

    A line: client, transaction, microseconds (or why there are none), script,
    seconds and microseconds of its end, and columns of no interest here.
    """
    kind, micros, end, failed = [], [], [], 0
    for line in lines:
        word = line.split()
        if not word[2].isdigit():
            failed += 1
            continue
        kind.append(kinds[int(word[3])])
        micros.append(int(word[2]))
        end.append(int(word[4]) + int(word[5]) / 1e6)
    return Log(np.array(kind, np.int32), np.array(micros, float), np.array(end), failed)


def read_logs(folder: Path, kinds: list[int]) -> Log:
    """All logs of a run: each thread of pgbench writes one."""
    def lines() -> Iterable[str]:
        for path in sorted(folder.glob("log.*")):
            with open(path, encoding="ascii") as f:
                yield from f
    return parse_log(lines(), kinds)


def one_kind(script: str, kind: int) -> str:
    """The script's text, made to do nothing but this kind (1 is a search)."""
    return f"\\set only {kind}\n" + (BENCH / f"{script}.sql").read_text(encoding="utf-8")


def command(pgbench: Path, folder: Path, script: str, mix: Mapping[str, int], clients: int, seconds: int,
            variables: Mapping[str, object], seed: int, rate: float | None = None) -> tuple[list[str], list[int]]:
    """The command that runs the script, and the kind of each script in its log.

    Leaves one file for each kind that has a part in the mix in the folder.  With
    a rate, so many transactions a second are begun, if the clients are fast
    enough, and a latency counts from when its transaction was due.
    """
    kinds, files = [], []
    for name in SCRIPTS[script]:
        if mix[name] > 0:
            kinds.append(KINDS.index(name) + 1)
            path = folder / f"{name}.sql"
            path.write_text(one_kind(script, kinds[-1]), encoding="utf-8")
            files += ["-f", f"{path}@{mix[name]}"]
    if not kinds:
        raise SystemExit(f"nothing in the mix is in {script}")
    threads = min(clients, os.cpu_count() or 1)
    return ([str(pgbench), "-n", "-M", "prepared", "-c", str(clients), "-j", str(threads), "-T", str(seconds),
             "-l", f"--log-prefix={folder}/log", f"--random-seed={seed}"]
            + (["-R", str(rate)] if rate else [])
            + [a for name, value in variables.items() for a in ("-D", f"{name}={value}")] + files), kinds
