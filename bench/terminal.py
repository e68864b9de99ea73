"""What demo and benchmark show on a terminal."""
from __future__ import annotations

import platform
import sys
import time

BAR = 30


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


def processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
