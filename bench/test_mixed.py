"""The parts of bench/mixed.py that need no server."""
from __future__ import annotations

import unittest

import numpy as np

import mixed
import mixed_items
import mixed_report
from mixed_report import Line, times

RATIO = Line("sustained", "rows", "t", times, True, 2.0, "direct")
LIMIT = Line("copy", "multiple", "t", times, limit=1.4)


def of(**contenders: float) -> mixed_report.Item:
    """An item with one figure, by both its names."""
    return {name: {"rows": value, "multiple": value} for name, value in contenders.items()}


class Goals(unittest.TestCase):
    def test_limit_of_the_figure_itself(self):
        self.assertEqual(mixed_report.met(LIMIT, of(vectorx=1.4, direct=9.0)), "yes")
        self.assertEqual(mixed_report.met(LIMIT, of(vectorx=1.5, direct=1.0)), "no")

    def test_limit_of_another(self):
        self.assertEqual(mixed_report.met(RATIO, of(vectorx=20.0, direct=10.0)), "yes")
        self.assertEqual(mixed_report.met(RATIO, of(vectorx=19.0, direct=10.0)), "no")

    def test_direct_inserts_are_not_compared_with_themselves(self):
        self.assertEqual(mixed_report.met(RATIO, of(direct=10.0, pgvector=1.0)), "")
        self.assertEqual(mixed_report.met(LIMIT, of(direct=2.0)), "no")

    def test_nothing_is_asked_of_pgvector(self):
        self.assertEqual(mixed_report.met(LIMIT, of(pgvector=9.0)), "")

    def test_every_line_names_an_item(self):
        self.assertEqual({line.item for line in mixed_report.LINES}, set(mixed_items.ITEMS))

    def test_table_has_the_items_measured(self):
        item = {"vectorx": {"multiple": 1.0}, "pgvector": {"multiple": 3.0}}
        rows = mixed_report.lines({"copy": item}, ["vectorx", "direct", "pgvector"])
        self.assertEqual([c.strip() for c in rows[2].strip("|").split("|")][1:], ["<= 1.4", "1.00 x", "-", "3.00 x", "yes"])
        self.assertEqual([row for row in rows[3:] if row], [])


class Medians(unittest.TestCase):
    def test_of_the_runs_that_have_it(self):
        runs = [{"vectorx": {"a": 1.0}, "pgvector": {"a": 7.0}}, {"vectorx": {"a": 9.0}}, {"vectorx": {"a": 2.0}}]
        self.assertEqual(mixed_report.medians(runs), {"vectorx": {"a": 2.0}, "pgvector": {"a": 7.0}})


class Verdicts(unittest.TestCase):
    def test_found_and_recall(self):
        items = {"found": {"vectorx": {"missing": 1, "rows": 9}}, "during": {"vectorx": {"below_fresh": .01, "recall": .9, "fresh": .91}}}
        self.assertEqual([good for good, _ in mixed.verdicts(items, .02)], [False, True])
        self.assertEqual([good for good, _ in mixed.verdicts(items, .005)], [False, False])


class Data(unittest.TestCase):
    def test_no_vector_twice_and_order_kept(self):
        vectors = np.array([[3, 3], [1, 1], [3, 3], [2, 2], [1, 1]], np.float32)
        self.assertEqual(mixed.different(vectors).tolist(), [[3, 3], [1, 1], [2, 2]])


if __name__ == "__main__":
    unittest.main()
