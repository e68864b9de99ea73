"""What demo and benchmark show on a terminal."""
from __future__ import annotations

import datetime
import platform
import sys
import time

BAR = 30
# For build_progress; the row of a parallel build's leader is about all participants.
BUILD_PROGRESS = ("SELECT phase, tuples_done, tuples_total, blocks_done, blocks_total"
                  " FROM pg_stat_progress_create_index WHERE pid = %s")
# Phases that go by pages, whatever the phase before has left in the columns for tuples.
BLOCK_PHASES = ("writing pages", "logging")
# Phases whose total of tuples is an estimate.
ESTIMATED_PHASES = ("initializing", "loading tuples")


class Progress:
    """One line that fills up; on something other than a terminal, only its end."""

    def __init__(self, what: str):
        self.what = what
        self.start = time.monotonic()
        self.live = sys.stdout.isatty()

    def show(self, done: int, total: int, note: str = "", end: str = "") -> None:
        part = min(1.0, done / total) if total else 0.0
        bar = ("#" * round(BAR * part)).ljust(BAR, ".")
        line = (f"{self.what:<7}[{bar}] {done:>6,} of {total:,}  "
                f"{time.monotonic() - self.start:5.1f} s  {note}")
        print(("\r" if self.live else "") + (f"{line:<78}" if self.live else line.rstrip()),
              end=end, flush=True)

    def update(self, done: int, total: int, note: str = "") -> None:
        if self.live:
            self.show(done, total, note)

    def finish(self, total: int, note: str = "") -> None:
        self.show(total, total, note, end="\n")


def build_progress(row: tuple[str, int, int, int, int], rows: int) -> tuple[int, int, str]:
    """What a build has done of how much in its present phase, and which that is.

    row is of BUILD_PROGRESS, rows how many the table has.
    """
    phase, tuples_done, tuples_total, blocks_done, blocks_total = row
    phase = phase.removeprefix("building index: ")
    if phase in BLOCK_PHASES or blocks_total and not tuples_total and not tuples_done:
        done, total, phase = blocks_done, blocks_total, f"{phase} (blocks)"
    else:
        done, total = tuples_done, rows if phase in ESTIMATED_PHASES or not tuples_total else tuples_total
    return done, max(done, total), phase


def processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def today() -> str:
    """The date of a report, UTC."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
