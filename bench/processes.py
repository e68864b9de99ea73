"""What /proc (Linux) says of a server's processes: the CPU time of all of them,
and the memory of those that take part in a statement.

A parallel worker is a child of the postmaster, as every backend is, so that its
CPU time is found there: its own while it lives, and among that of the
postmaster's ended children afterwards.
"""
from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Collection, Iterable, Iterator, NamedTuple

PROC = Path("/proc")
TICK = 1 / os.sysconf("SC_CLK_TCK")
# A segment of dynamic shared memory; the main one, with shared buffers, is not among these.
SEGMENT = re.compile(r"/dev/shm/PostgreSQL\.\d+$")
# What reading a file of /proc raises when the process has ended; one that nobody has waited for yet has
# files without memory in them.
GONE = (FileNotFoundError, ProcessLookupError, KeyError)
TRIES = 100


class Stat(NamedTuple):
    """Of /proc/PID/stat: the parent, and the CPU seconds of children that have ended."""

    parent: int
    ended: float


def parse_stat(text: str) -> Stat:
    # The second field is the program's name, which may hold anything.
    rest = text[text.rindex(")") + 2:].split()
    return Stat(int(rest[1]), (int(rest[13]) + int(rest[14])) * TICK)


def parse_status(text: str, name: str) -> int:
    """Bytes, by the name /proc/PID/status has for it."""
    for line in text.splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


def segments(maps: str) -> set[str]:
    """Files of the segments of dynamic shared memory in /proc/PID/maps."""
    # A segment that has been removed ends with " (deleted)" and is no file any more.
    return {line.split(None, 5)[5] for line in maps.splitlines() if SEGMENT.search(line)}


def read(pid: int, name: str) -> str:
    return (PROC / str(pid) / name).read_text(encoding="utf-8", errors="replace")


def stat(pid: int) -> Stat:
    return parse_stat(read(pid, "stat"))


def status(pid: int, name: str) -> int:
    return parse_status(read(pid, "status"), name)


def cpu(pid: int) -> float:
    """CPU seconds of a process of one thread, as a server's are."""
    return int(read(pid, "schedstat").split()[0]) / 1e9


def children(pid: int) -> set[int]:
    with contextlib.suppress(FileNotFoundError):
        return {int(child) for child in read(pid, f"task/{pid}/children").split()}
    # A kernel without that list.
    found = set()
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(*GONE):
                if stat(int(folder.name)).parent == pid:
                    found.add(int(folder.name))
    return found


def server_cpu(postmaster: int, without: Collection[int] = ()) -> float:
    """CPU seconds of a whole server, ended processes included, but for those named.

    Processes that live are exact; ended ones are in ticks of the clock.
    """
    for _ in range(TRIES):
        ended, live = stat(postmaster).ended, children(postmaster)
        with contextlib.suppress(*GONE):
            total = cpu(postmaster) + ended + sum(cpu(pid) for pid in live - set(without))
            # Who ends between is counted twice or not at all.
            if stat(postmaster).ended == ended and children(postmaster) == live:
                return total
    raise RuntimeError("the server's processes come and go too fast to be counted")


def segment_bytes(files: Iterable[str]) -> int:
    """What segments take up, which may be less than their size."""
    total = 0
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            total += os.stat(file).st_blocks * 512
    return total


class Memory:
    """Memory that a statement of a backend takes, by it and by its parallel workers.

    That is what private memory grew by, and segments of dynamic shared memory
    that were not mapped before; no shared buffers.  Nothing else may run on the
    server: whatever process is new counts as a worker.
    """

    def __init__(self, leader: int):
        self.leader = leader
        self.postmaster = stat(leader).parent
        self.others = children(self.postmaster)
        self.private_before = status(leader, "RssAnon")
        self.segments_before = segments(read(leader, "maps"))
        # A worker begins with the postmaster's memory, which the two share.
        self.inherited = status(self.postmaster, "RssAnon")
        self.peak = self.peak_private = self.peak_shared = self.workers = 0

    def participants(self) -> Iterator[tuple[int, int]]:
        """Process and the private memory it had at first."""
        yield self.leader, self.private_before
        for pid in children(self.postmaster) - self.others:
            yield pid, self.inherited

    def sample(self) -> None:
        private = workers = 0
        files: set[str] = set()
        for pid, before in self.participants():
            with contextlib.suppress(*GONE):
                private += max(0, status(pid, "RssAnon") - before)
                files |= segments(read(pid, "maps"))
                workers += pid != self.leader
        shared = segment_bytes(files - self.segments_before)
        self.peak = max(self.peak, private + shared)
        self.peak_private = max(self.peak_private, private)
        self.peak_shared = max(self.peak_shared, shared)
        self.workers = max(self.workers, workers)
