"""The parts of bench/traffic.py and bench/pgbench.py that need no server."""
from __future__ import annotations

import re
import tempfile
import unittest
from pathlib import Path

import numpy as np

import pgbench
import traffic
import traffic_report

RUN = {"system": "vectorx", "script": "market_traffic", "clients": 2, "seconds": 10.0, "ef_search": 40,
       "searches_per_second": 3000.0, "writes_per_second": 300.0, "cpu_us_per_transaction": 100.0,
       "latency_ms": {"search": {"count": 30000, "p50": 0.5, "p95": 1.0, "p99": 2.0, "p99.9": 3.0}},
       "failed": 0, "recall": [0.9, 1.0], "sampler_cpu_seconds": 1.0, "autovacuums": 1, "vacuum_seconds": 0.5,
       "rows": 100, "equal_vectors": 0}
RESULT = {"settings": {"data": "d", "rows": 100, "reserve": 50, "dimensions": 3, "queries": 9, "held": 1, "skew": 1.1,
                       "mix": {"search": 90, "insert": 4, "update": 2, "delete": 4}, "seconds": 10,
                       "ef_search": {"vectorx": 40, "pgvector": 60}, "options": "", "seed": 1, "rate": None, "date": "2020-01-01",
                       "versions": {"vectorx": "1", "pgvector": "2"}, "processor": "p", "processors": 2, "command": "c"},
          "runs": [RUN, RUN | {"system": "pgvector", "searches_per_second": 1000.0, "cpu_us_per_transaction": None}]}


class LogTest(unittest.TestCase):
    LINES = ["0 1 100 0 1000 500000", "1 1 300 1 1001 0", "0 2 200 0 1001 250000", "0 3 failed 1 1002 0"]

    def test_parse(self):
        log = pgbench.parse_log(self.LINES, [1, 4])
        self.assertEqual(list(log.kind), [1, 4, 1])
        self.assertEqual(list(log.micros), [100, 300, 200])
        self.assertEqual(list(log.end), [1000.5, 1001.0, 1001.25])
        self.assertEqual(log.failed, 1)

    def test_between_takes_the_end_and_not_the_start(self):
        log = pgbench.parse_log(self.LINES, [1, 4])
        self.assertEqual(log.between(1000.5, 1001.25), 2)

    def test_percentiles_are_latencies_that_occurred(self):
        log = pgbench.parse_log((f"0 {n} {n} 0 1000 0" for n in range(1, 1001)), [1])
        self.assertEqual(log.percentiles(1), {"p50": 0.501, "p95": 0.951, "p99": 0.991, "p99.9": 1.0})
        self.assertEqual(log.percentiles(2), {})

    def test_logs_of_several_threads(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "log.17").write_text(self.LINES[0] + "\n")
            (folder / "log.17.1").write_text(self.LINES[1] + "\n")
            self.assertEqual(sorted(pgbench.read_logs(folder, [1, 4]).kind), [1, 4])


class ScriptTest(unittest.TestCase):
    def statements(self, script: str) -> set[str]:
        text = (pgbench.BENCH / f"{script}.sql").read_text()
        return set(re.findall(r"^(?:SELECT|INSERT|UPDATE|DELETE).*;$", text, re.MULTILINE))

    def test_the_scripts_share_their_statements(self):
        self.assertEqual(self.statements("search_only") | self.statements("write_only"),
                         self.statements("market_traffic"))
        self.assertEqual(len(self.statements("market_traffic")), 4)

    def test_command_has_a_script_for_each_kind_in_the_mix(self):
        mix = {"search": 90, "insert": 4, "update": 0, "delete": 4}
        with tempfile.TemporaryDirectory() as name:
            command, kinds = pgbench.command(Path("pgbench"), Path(name), "market_traffic", mix, 3, 5, {"skew": 1.2}, 1)
            self.assertEqual(kinds, [1, 2, 4])
            self.assertEqual([w.rsplit("/", 1)[1] for w in command if "@" in w],
                             ["search.sql@90", "insert.sql@4", "delete.sql@4"])
            self.assertTrue((Path(name) / "delete.sql").read_text().startswith("\\set only 4\n"))
        self.assertIn("skew=1.2", command)


class DataTest(unittest.TestCase):
    BASE = np.zeros((30, 2), np.float32)

    def test_queries_are_of_one_use_each(self):
        queries = np.arange(600, dtype=np.float32)[:, None]
        data = traffic.divide("x", self.BASE, queries, 20, 10)
        self.assertEqual([len(data.choosing), len(data.hot), len(data.held)], [500, 90, 10])
        every = np.concatenate([data.choosing, data.hot, data.held])
        self.assertEqual(len(np.unique(every)), 600)

    def test_held_queries_are_never_asked_by_clients(self):
        data = traffic.divide("x", self.BASE, np.arange(50, dtype=np.float32)[:, None], 20, 10)
        self.assertFalse(set(data.held.ravel()) & (set(data.hot.ravel()) | set(data.choosing.ravel())))

    def test_too_few(self):
        for queries, rows in ((10, 20), (50, 31), (50, 0)):
            with self.assertRaises(SystemExit):
                traffic.divide("x", self.BASE, np.zeros((queries, 2), np.float32), rows, 10)


class RecallTest(unittest.TestCase):
    def test_equally_near_rows_count(self):
        exact = [(1, 0.1), (2, 0.2)]
        self.assertEqual(traffic.recall_at_10([(1, 0.1), (3, 0.2)], exact), 1.0)
        self.assertEqual(traffic.recall_at_10([(1, 0.1), (3, 0.3)], exact), 0.5)
        self.assertEqual(traffic.recall_at_10([], exact), 0.0)


class ReportTest(unittest.TestCase):
    def cells(self, first: str) -> list[list[str]]:
        """The rows of tables that begin with this cell."""
        rows = [[c.strip() for c in line.strip("|").split("|")] for line in traffic_report.set_section(RESULT)]
        return [row for row in rows if row[0] == first]

    def test_tables(self):
        self.assertEqual(self.cells("2 vectorx"),
                         [["2 vectorx", "3,000", "1,500", "300", "100", "0.9500", "0.9000", "1", "0"]])
        self.assertEqual(self.cells("2"), [["2", "3.00", "1.00", "-", "1.00", "-"]])
        self.assertEqual(self.cells("search, 2 pgvector"),
                         [["search, 2 pgvector", "30,000", "0.500", "1.000", "2.000", "3.000"]])

    def test_written_twice_is_as_written_once(self):
        with tempfile.TemporaryDirectory() as name:
            output = Path(name)
            (output / "RESULTS.md").write_text("# Title\n")
            traffic_report.keep(output, RESULT)
            traffic_report.write(output)
            once = (output / "RESULTS.md").read_text()
            traffic_report.write(output)
            self.assertEqual((output / "RESULTS.md").read_text(), once)
        self.assertTrue(once.startswith("# Title\n"))
        self.assertEqual(once.count(traffic_report.END), 1)


if __name__ == "__main__":
    unittest.main()
