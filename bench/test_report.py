"""Figures between measured points, and what survives when a report is written anew."""
from __future__ import annotations

import argparse
import math
import tempfile
import unittest
from pathlib import Path

import numpy as np

import compare
import exact
import report
import vxdb

POINTS = [{"ef": ef, "recall": recall, "cpu_us": cpu} for ef, recall, cpu in
          ((10, 0.9, 100.0), (20, 0.96, 150.0), (40, 0.99, 200.0), (80, 0.999, 400.0))]


def run_of(ours: list[dict], theirs: list[dict]) -> dict:
    return {
        "set": {"name": "glove100", "rows": 1, "rows_available": 1, "dim": 100, "metric": "cosine", "queries": "none"},
        "date": "2000-01-01", "load": "0", "command": "c", "machine": {"cores": "1"}, "versions": {}, "settings": {},
        "search": {"vectorx": [p | {"pages": 1, "queries_per_s": 1, "spread": 1} for p in ours],
                   "pgvector": [p | {"pages": 9, "queries_per_s": 1, "spread": 1} for p in theirs]}}


class AtRecall(unittest.TestCase):
    def test_measured_point(self):
        value, bound = report.at_recall(POINTS, 0.96, "cpu_us")
        self.assertAlmostEqual(value, 150.0)
        self.assertEqual(bound, "")

    def test_between_points(self):
        """Half way in the logarithm of what is missed is half way in the cost."""
        value, _ = report.at_recall(POINTS, 1 - math.sqrt(0.04 * 0.01), "cpu_us")
        self.assertAlmostEqual(value, 175.0)

    def test_bound_and_not_reached(self):
        self.assertEqual(report.at_recall(POINTS, 0.85, "cpu_us"), (100.0, "<="))
        self.assertIsNone(report.at_recall(POINTS, 0.9999, "cpu_us"))
        self.assertIsNone(report.at_recall([], 0.9, "cpu_us"))

    def test_perfect_recall(self):
        value, _ = report.at_recall([{"recall": 0.9, "ef": 10}, {"recall": 1.0, "ef": 20}], 0.99, "ef")
        self.assertTrue(10 < value < 20)


class Targets(unittest.TestCase):
    def met(self, ours, theirs, name):
        return next(r for r in report.target_rows(run_of(ours, theirs)) if name in r[0])[2:]

    def test_met_and_not(self):
        slow = [p | {"cpu_us": 10 * p["cpu_us"]} for p in POINTS]
        self.assertEqual(self.met(POINTS, slow, "CPU at recall .95"), ("10.00", "yes"))
        self.assertEqual(self.met(POINTS, POINTS, "CPU at recall .95"), ("1.00", "no"))
        self.assertEqual(self.met(POINTS, POINTS, "recall at ef_search 40"), ("+0.0000", "yes"))

    def test_what_is_not_reached_is_not_met(self):
        self.assertEqual(self.met(POINTS[:1], POINTS, "CPU at recall .95"), ("not reached", "no"))

    def test_bound(self):
        """Better than asked at the smallest ef_search: at least so many times, unless pgvector is too."""
        good = [p | {"recall": max(p["recall"], 0.97)} for p in POINTS]
        slow = [p | {"cpu_us": 20 * p["cpu_us"]} for p in POINTS]
        self.assertEqual(self.met(good, slow, "CPU at recall .95")[1], "yes")
        self.assertTrue(self.met(good, slow, "CPU at recall .95")[0].startswith(">="))
        self.assertEqual(self.met(POINTS, [p | {"recall": 0.97} for p in slow], "CPU at recall .95")[1], "not shown")


def run_as(name: str, type_name: str, metric: str, ours: list[dict], theirs: list[dict]) -> dict:
    run = run_of(ours, theirs)
    run["set"] |= {"name": name, "type": type_name, "metric": metric, "label": report.label(name, type_name, metric, "cosine")}
    return run


class OtherTypes(unittest.TestCase):
    def test_label(self):
        for arguments, expected in ((("glove100", "vector", "cosine", "cosine"), "glove100"), (("sift", "vector", "l2", "l2"), "sift"),
                                    (("glove100", "vector", "l1", "cosine"), "glove100-l1"),
                                    (("glove100", "halfvec", "cosine", "cosine"), "glove100-halfvec-cosine")):
            self.assertEqual(report.label(*arguments), expected)
        self.assertEqual(report.label_of(run_of(POINTS, POINTS)), "glove100")

    def test_goals(self):
        """Each type, distance and set has its own; where none is asked, none is met."""
        slow = [p | {"cpu_us": 5 * p["cpu_us"]} for p in POINTS]
        for name, type_name, metric, target, met in (
                ("minilm384", "bit", "hamming", ">= 4", "yes"), ("minilm1536", "bit", "hamming", ">= 6", "no"),
                ("glove100", "bit", "hamming", "-", "-"), ("minilm384", "bit", "jaccard", "-", "-"),
                ("tfidf30k", "sparsevec", "ip", ">= 3", "yes"), ("tfidf30k", "sparsevec", "l2", "-", "-"),
                ("glove100", "halfvec", "cosine", ">= 10", "no"), ("glove100", "vector", "l1", ">= 2.5", "yes"),
                ("glove100", "vector", "cosine", ">= 10", "no"), ("sift", "vector", "cosine", "-", "-")):
            with self.subTest(name=name, type=type_name, metric=metric):
                rows = {r[0]: r for r in report.target_rows(run_as(name, type_name, metric, POINTS, slow))}
                self.assertEqual((rows[report.SEARCH[0.95]][1], rows[report.SEARCH[0.95]][3]), (target, met))

    def test_every_goal_is_of_a_target(self):
        names = {name for _, name, *_ in report.TARGETS}
        for kind, goals in report.OTHER_GOALS.items():
            self.assertLessEqual(set(goals), names, kind)
            self.assertTrue(all(len(g) == len(report.ORDER) for g in goals.values()), kind)

    def test_index_as_vector(self):
        run = run_as("minilm384", "halfvec", "cosine", POINTS, POINTS)
        run |= {"build": {s: {"index_bytes": 110, "cpu_s": 1.0} for s in ("vectorx", "pgvector")}, "as_vector": {"index_bytes": 100}}
        rows = {r[0]: r[1:] for r in report.target_rows(run)}
        self.assertEqual(rows[report.AS_VECTOR], ("<= 1", "1.10", "no"))

    def test_vectors_as_the_type_has_them(self):
        vectors = np.array([[-1.0, 0.0, 1e-9, 1.0001]], np.float32)
        self.assertEqual(compare.as_type("bit", vectors).tolist(), [[False, False, True, True]])
        self.assertEqual(compare.as_type("halfvec", vectors).tolist(), [[-1.0, 0.0, 0.0, 1.0]])
        self.assertIs(compare.as_type("vector", vectors), vectors)

    def test_metric(self):
        one = compare.Set("x", Path("x.npy"), Path("y.npy"), "l2")
        for type_name, asked, expected in (("vector", None, "l2"), ("halfvec", "l1", "l1"), ("bit", None, "hamming"), ("bit", "jaccard", "jaccard")):
            self.assertEqual(compare.metric_of(one, argparse.Namespace(type=type_name, metric=asked)), expected)
        for type_name, asked in (("bit", "l2"), ("sparsevec", "hamming")):
            with self.assertRaisesRegex(SystemExit, f"{type_name} has no distance {asked}"):
                compare.metric_of(one, argparse.Namespace(type=type_name, metric=asked))
        self.assertEqual(set(vxdb.METRICS), {"vector", "halfvec", "bit", "sparsevec"})


class Results(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "RESULTS.md"

    def test_text_around_stays(self):
        self.path.write_text(f"before\n\n{report.BEGIN}\nold\n{report.END}\n\nafter\n", encoding="utf-8")
        for _ in range(2):
            report.write_results(self.path, [run_of(POINTS, POINTS)])
            text = self.path.read_text(encoding="utf-8")
            self.assertTrue(text.startswith("before\n\n" + report.BEGIN))
            self.assertTrue(text.endswith(report.END + "\n\nafter\n"))
            self.assertNotIn("old", text)
            self.assertEqual(text.count("## Targets"), 1)

    def test_each_part_between_its_own_marks(self):
        """Runs of other types do not touch the sets' part, nor the other way; they need no marks of the other."""
        main, other = run_of(POINTS, POINTS), run_as("glove100", "bit", "hamming", POINTS, POINTS)
        report.write_results(self.path, [main])
        before = self.path.read_text(encoding="utf-8").split(report.OTHER_BEGIN)[0]
        report.write_results(self.path, [other])
        text = self.path.read_text(encoding="utf-8")
        self.assertTrue(text.startswith(before))
        self.assertIn("as bit", text.split(report.OTHER_BEGIN)[1].split(report.OTHER_END)[0])
        report.write_results(self.path, [main, other])
        self.assertEqual(self.path.read_text(encoding="utf-8"), text)
        self.path.write_text(f"{report.OTHER_BEGIN}\n{report.OTHER_END}\n", encoding="utf-8")
        report.write_results(self.path, [other])
        with self.assertRaises(SystemExit):
            report.write_results(self.path, [main])

    def test_without_marks_nothing_is_written(self):
        self.path.write_text("mine\n", encoding="utf-8")
        with self.assertRaises(SystemExit):
            report.write_results(self.path, [run_of(POINTS, POINTS)])
        self.assertEqual(self.path.read_text(encoding="utf-8"), "mine\n")


class Section(unittest.TestCase):
    def test_replaced_or_appended(self):
        lines = ["<!-- a -->", "new", "<!-- b -->"]
        section = "\n".join(lines)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "RESULTS.md"
            for text, wanted in (("", section + "\n"), ("# Title\n", "# Title\n\n" + section + "\n"),
                                 ("# Title\n\n<!-- a -->\nold\n<!-- b -->\n\nmore\n", f"# Title\n\n{section}\n\nmore\n")):
                path.write_text(text, encoding="utf-8")
                report.insert_section(path, lines)
                self.assertEqual(path.read_text(encoding="utf-8"), wanted)


class Recall(unittest.TestCase):
    def test_ties_count_by_distance(self):
        """Twelve equal rows: any ten are right, farther ones and doubles are not."""
        rows = np.vstack([np.tile([[1.0, 0.0]], (12, 1)), [[0.0, 1.0]]]).astype(np.float32)
        judge = exact.Judge("l2", np.array([[1.0, 0.0]], np.float32), rows)
        self.assertEqual(judge.recall([list(range(10))]), 1.0)
        self.assertEqual(judge.recall([list(range(2, 12))]), 1.0)
        self.assertEqual(judge.recall([[12, *range(9)]]), 0.9)
        self.assertEqual(judge.recall([[0] * 10]), 0.1)

    def test_thresholds_over_several_batches(self):
        rng = np.random.default_rng(1)
        rows, queries = rng.standard_normal((12_345, 4)), rng.standard_normal((7, 4))
        all_distances = np.linalg.norm(rows[None] - queries[:, None], axis=2)
        np.testing.assert_allclose(exact.thresholds("l2", queries, rows, 10), np.sort(all_distances, axis=1)[:, 9])


if __name__ == "__main__":
    unittest.main()
