"""What is read of /proc, notices and the progress view, and ratios of builds and loads; without a server."""
from __future__ import annotations

import os
import subprocess
import sys
import unittest
import unittest.mock

import numpy as np

import builds
import compare
import processes
import report
from terminal import build_progress

STAT = "4242 (a) ) b) S 17 4242 4242 0 -1 4194560 1 2 3 4 500 60 70 8 20 0 1 0 99 1000 200 18446744073709551615 1 1 0"
STATUS = "Name:\tpostgres\nVmHWM:\t   2048 kB\nRssAnon:\t     12 kB\nRssShmem:\t   512 kB\n"
MAPS = """\
55d0c0000000-55d0c0800000 r-xp 00000000 fe:00 11 /usr/lib/postgresql/15/bin/postgres
7f0000000000-7f0040000000 rw-s 00000000 00:01 12 /dev/zero (deleted)
7f0040000000-7f0040100000 rw-s 00000000 00:1a 13 /dev/shm/PostgreSQL.1234567890
7f0040200000-7f0040300000 rw-s 00000000 00:1a 13 /dev/shm/PostgreSQL.1234567890
7f0040300000-7f0040400000 rw-s 00000000 00:1a 14 /dev/shm/PostgreSQL.42 (deleted)
7f0040400000-7f0040500000 rw-s 00000000 00:1a 15 /dev/shm/other.43
"""


class Proc(unittest.TestCase):
    def test_stat_with_parentheses_in_the_name(self):
        stat = processes.parse_stat(STAT)
        self.assertEqual(stat.parent, 17)
        self.assertAlmostEqual(stat.ended, (70 + 8) * processes.TICK)

    def test_status(self):
        self.assertEqual(processes.parse_status(STATUS, "RssAnon"), 12 * 1024)
        with self.assertRaises(KeyError):
            processes.parse_status(STATUS, "Rss")

    def test_segments_once_each_and_not_those_removed(self):
        self.assertEqual(processes.segments(MAPS), {"/dev/shm/PostgreSQL.1234567890"})

    @unittest.skipUnless(processes.PROC.joinpath("self", "schedstat").exists(), "there is no /proc/PID/schedstat")
    def test_cpu_of_a_child_is_counted_while_it_lives_and_afterwards(self):
        me = os.getpid()
        work = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
        before = processes.server_cpu(me)
        with subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout and child.stdin
            child.stdout.readline()
            self.assertIn(child.pid, processes.children(me))
            self.assertGreater(processes.server_cpu(me) - before, 0.29)
            self.assertLess(processes.server_cpu(me, (child.pid, )) - before, 0.29)
            child.stdin.write(b"\n")
        self.assertNotIn(child.pid, processes.children(me))
        self.assertGreater(processes.server_cpu(me) - before, 0.29)


    @unittest.skipUnless(processes.PROC.joinpath("self", "maps").exists(), "there is no /proc/PID/maps")
    def test_memory_of_a_child_counts_and_an_ended_one_is_no_error(self):
        me = os.getpid()
        memory = processes.Memory(me)
        memory.postmaster = me
        work = "held = bytearray(b'1' * 30_000_000)\nprint(flush=True)\ninput()"
        with subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout and child.stdin
            child.stdout.readline()
            memory.sample()
            self.assertEqual(memory.workers, 1)
            # This process itself was not to grow, and what it lent to the child does not count.
            self.assertGreater(memory.peak_private + memory.inherited, 30_000_000)
            child.stdin.write(b"\n")
            child.stdin.flush()
            child.stdout.read()
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            memory.sample()


class Notices(unittest.TestCase):
    def test_how_many_fitted(self):
        notice = "hnsw graph no longer fits into maintenance_work_mem after 3757 tuples"
        self.assertEqual(builds.tuples_that_fitted(["something else", notice]), 3757)
        self.assertIsNone(builds.tuples_that_fitted(["something else"]))


class BuildProgress(unittest.TestCase):
    def test_loading_goes_by_rows_that_are_known(self):
        self.assertEqual(build_progress(("building index: loading tuples", 50, 90, 3, 10), 100),
                         (50, 100, "loading tuples"))

    def test_linking_has_a_total_of_its_own(self):
        self.assertEqual(build_progress(("building index: linking nodes", 5, 25, 10, 10), 100), (5, 25, "linking nodes"))

    def test_pages_although_tuples_are_left_from_the_phase_before(self):
        for phase in ("writing pages", "logging"):
            self.assertEqual(build_progress((f"building index: {phase}", 25, 25, 3, 7), 100), (3, 7, f"{phase} (blocks)"))

    def test_a_phase_with_blocks_only(self):
        self.assertEqual(build_progress(("building index: new phase", 0, 0, 3, 7), 100), (3, 7, "new phase (blocks)"))

    def test_nothing_known_yet(self):
        self.assertEqual(build_progress(("initializing", 0, 0, 0, 0), 100), (0, 100, "initializing"))

    def test_never_more_than_all(self):
        self.assertEqual(build_progress(("building index: loading tuples", 120, 90, 0, 0), 100)[:2], (120, 120))


def one_build(cpu: float, wall: float, **more) -> dict:
    return {"cpu_s": cpu, "wall_s": wall, "workers": 0, "memory_bytes": 100, "temporary_bytes": 9, "wal_bytes": 104, "index_bytes": 100,
            "table_bytes": 50, "recall": 0.95, "spread": 1.0, "tuples_in_memory": None} | more


def run_of(**more) -> dict:
    """vectorx: serial 10 s, with a worker 5.5 s; pgvector: six times the CPU time."""
    def beyond(fitted: int, cost: float) -> dict:
        return {s: one_build(cost, cost, tuples_in_memory=fitted, shared_buffers=1000) for s in ("vectorx", "pgvector")}

    return {
        "set": {"name": "minilm384", "rows": 1000, "rows_available": 1000, "dim": 384, "metric": "cosine", "queries": "q"},
        "date": "2000-01-01", "load": "0", "command": "c", "machine": {}, "versions": {"vectorx": "1"}, "settings": {},
        "build": {"vectorx": one_build(10, 10), "pgvector": one_build(60, 60)},
        "build_parallel": {"vectorx": one_build(10, 5.5, workers=1, recall=0.946),
                           "pgvector": one_build(60, 35, workers=1, recall=0.94)},
        "beyond": {"maintenance_work_mem": 1000, "shared_buffers": "2GB",
                   "ample": {"build": beyond(250, 25.0), "build_parallel": beyond(250, 25.0)}, "small": beyond(250, 40.0)},
        "loading": {"rows": 10, "text_bytes": 1, "binary_bytes": 1,
                    "from": {"logged": {form: {"vectorx": cost(1), "pgvector": cost(5)} for form in ("text", "binary")}},
                    "input": {"vector": {"vectorx": cost(0.7), "pgvector": cost(4.1)}, "text": {"vectorx": cost(0.2), "pgvector": cost(0.2)}},
                    "to": {"text": {"vectorx": cost(1), "pgvector": cost(2)}},
                    "orders": {"load, build": {"vectorx": one_build(1, 1), "pgvector": one_build(2, 2)}}}} | more


def cost(cpu: float) -> dict:
    return {"cpu_s": cpu, "wall_s": cpu, "wal_bytes": 10, "spread": 1.0}


class BuildTargets(unittest.TestCase):
    def met(self, run: dict, name: str) -> tuple[str, str]:
        return tuple(next(r for r in report.target_rows(run) if name in r[0])[2:])

    def test_met(self):
        run = run_of()
        self.assertEqual(self.met(run, "build CPU, serial"), ("6.00", "yes"))
        self.assertEqual(self.met(run, "build CPU, with a worker"), ("6.00", "yes"))
        self.assertEqual(self.met(run, "build time with a worker"), ("0.55", "yes"))
        self.assertEqual(self.met(run, "peak memory of a build"), ("1.00", "yes"))
        self.assertEqual(self.met(run, "WAL of a build"), ("1.04", "yes"))
        self.assertEqual(self.met(run, "built with a worker, difference"), ("+0.0060", "yes"))
        self.assertEqual(self.met(run, "with a worker to serial, difference"), ("-0.0040", "yes"))

    def test_the_worse_of_serial_and_parallel_counts(self):
        run = run_of()
        run["build"]["vectorx"]["memory_bytes"] = 111
        run["build_parallel"]["vectorx"]["wal_bytes"] = 106
        self.assertEqual(self.met(run, "peak memory of a build"), ("1.11", "no"))
        self.assertEqual(self.met(run, "WAL of a build"), ("1.06", "no"))

    def test_without_a_worker_there_is_no_parallel_figure(self):
        run = run_of()
        run["build_parallel"]["vectorx"]["workers"] = 0
        for name in ("build CPU, with a worker", "build time with a worker"):
            self.assertEqual(self.met(run, name), ("no figure", "no"))

    def test_rows_beyond_memory(self):
        """25 s for all, of which 2.5 s for the quarter that fitted: three times the cost of a row within."""
        run = run_of()
        self.assertAlmostEqual(report.beyond_ratios(run["beyond"]["ample"]["build"]["vectorx"], run["build"]["vectorx"],
                                                    1000, "cpu_s")[1], 3.0)
        self.assertEqual(self.met(run, "CPU of a row beyond memory, times within"), ("3.00", "yes"))
        # Compared with 5.5 s by the clock.
        self.assertEqual(self.met(run, "time of a row beyond memory, times within"), ("5.73", "no"))
        self.assertEqual(self.met(run, "CPU of a row beyond memory, few"), ("5.00", "no"))

    def test_all_fitted_is_no_figure(self):
        run = run_of()
        run["beyond"]["ample"]["build"]["vectorx"]["tuples_in_memory"] = None
        self.assertEqual(self.met(run, "CPU of a row beyond memory, times within"), ("no figure", "no"))

    def test_loading_has_a_target_at_1536_only(self):
        run = run_of()
        self.assertEqual(self.met(run, "COPY FROM, text"), ("5.00", "-"))
        run["set"] = run["set"] | {"name": "minilm1536"}
        self.assertEqual(self.met(run, "COPY FROM, text"), ("5.00", "yes"))
        self.assertEqual(self.met(run, "vectors read from text"), ("7.80", "yes"))

    def test_tables(self):
        text = "\n".join(report.set_section(run_of()))
        for wanted in ("vectorx, serial", "vectorx, leader + 1", "FROM text, logged", "TO text", "pgvector: load, build"):
            self.assertIn(wanted, text)

    def test_results_from_before_memory_was_measured(self):
        old = {key: value for key, value in one_build(10, 10).items() if key in ("cpu_s", "wall_s", "index_bytes", "table_bytes")}
        run = {key: value for key, value in run_of().items() if key not in ("build_parallel", "beyond", "loading")}
        run["build"] = {"vectorx": old, "pgvector": old}
        self.assertIn("vectorx, serial", "\n".join(report.set_section(run)))
        self.assertEqual(self.met(run, "build CPU, serial"), ("1.00", "no"))


class Added(unittest.TestCase):
    def test_other_steps_stay_and_say_from_when(self):
        before, now = run_of(), run_of(date="2001-01-01", versions={"vectorx": "2"})
        for step in ("beyond", "loading"):
            del now[step]
        both = report.added(before, now)
        self.assertEqual(both["date"], "2001-01-01")
        self.assertEqual(both["beyond"], before["beyond"])
        self.assertEqual(both["older"]["beyond"], {"date": "2000-01-01", "vectorx": "1", "command": "c"})
        self.assertIn("From an earlier run (2000-01-01, vectorx 1, `c`): beyond, loading.", "\n".join(report.set_section(both)))
        # Once more: what is oldest stays so, what is measured anew is not old.
        third = report.added(both, run_of(date="2002-01-01") | {"beyond": now["build"]})
        self.assertNotIn("older", third)

    def test_other_rows_are_not_mixed(self):
        before, now = run_of(), run_of()
        before["set"] = before["set"] | {"rows": 999}
        del now["loading"]
        self.assertNotIn("loading", report.added(before, now))


class Million(unittest.TestCase):
    def test_seeded_and_a_smaller_table_is_the_beginning(self):
        large = compare.clustered(1000, 8, 5, seed=3)
        np.testing.assert_array_equal(compare.clustered(300, 8, 5, seed=3), large[:300])
        self.assertFalse(np.array_equal(compare.clustered(1000, 8, 5, seed=4), large))
        self.assertEqual(large.dtype, np.float32)

    def test_without_pgvector(self):
        run = run_of(kind=report.MILLION)
        run["build"] = {"vectorx": run["build_parallel"]["vectorx"]}
        run["search"] = {"vectorx": [{"ef": 40, "recall": 0.9, "cpu_us": 100.0, "queries_per_s": 5000.0, "pages": 7.0, "spread": 1.0}]}
        text = "\n".join(report.generated([run]))
        self.assertIn("vectorx, ef_search 40", text)
        self.assertIn("10,000", text)
        self.assertNotIn("search CPU at recall", text)


class Options(unittest.TestCase):
    def test_only_of_the_system_they_are_for(self):
        with unittest.mock.patch.dict(builds.OPTIONS, {"vectorx": "sketch_bits = 2"}):
            self.assertTrue(builds.index_sql("l1", "vectorx").endswith("(embedding vector_l1_ops) WITH (sketch_bits = 2)"))
            self.assertTrue(builds.index_sql("l1", "pgvector").endswith("(embedding vector_l1_ops)"))


if __name__ == "__main__":
    unittest.main()
