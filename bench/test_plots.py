"""bench/plots.py draws what the benchmarks keep, or says that it cannot."""
from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

import plots

POINTS = [{"recall": 0.9, "cpu_us": 100.0, "queries_per_s": 5000.0}, {"recall": 1.0, "cpu_us": 300.0, "queries_per_s": 2000.0}]
CELLS = [{"share": share, "lie": "random", "recall": 0.95, "taken": 100.0 / share} for share in (1, 0.1, 0.01)]
RUNS = [{"system": "vectorx", "clients": n, "searches_per_second": 1000.0 * n, "latency_ms": {"search": {"p99": 1.0}}, "recall": [0.95]}
        for n in (1, 2)]


class Plots(unittest.TestCase):
    def test_files_or_the_reason_why_not(self):
        wanted = None if plots.library() else plots.NOT_RUN
        with tempfile.TemporaryDirectory() as name:
            for i, problem in enumerate((plots.recall_and_speed(Path(name) / "0.png", "t", {"vectorx": POINTS}),
                                         plots.filters(Path(name) / "1.png", "t", {"vectorx": CELLS, "pgvector": CELLS}),
                                         plots.traffic(Path(name) / "2.png", "t", RUNS))):
                path = Path(name) / f"{i}.png"
                if problem:
                    print(problem)
                self.assertEqual(problem, wanted)
                self.assertEqual(path.exists() and path.read_bytes()[:4] == b"\x89PNG", wanted is None)
