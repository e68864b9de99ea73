"""What the cost of a number is made of."""
from __future__ import annotations

import unittest

import numpy as np

import textinput
from sparserows import SparseRows


class Cost(unittest.TestCase):
    def test_less_what_copy_does_alone(self):
        """COPY into text does the same in both systems: the lesser figure of it is taken for both."""
        runs = {"vector": {"vectorx": {"cpu_s": 3.0}, "pgvector": {"cpu_s": 9.0}}, "text": {"vectorx": {"cpu_s": 1.5}, "pgvector": {"cpu_s": 1.0}}}
        self.assertEqual(textinput.ns_per_number(runs, 2_000_000_000), {"vectorx": 1.0, "pgvector": 4.0})

    def test_numbers(self):
        rows = np.array([[0.0, 1.0, 2.0], [0.0, 0.0, 0.0]])
        self.assertEqual(textinput.numbers_of(rows), 6)
        self.assertEqual(textinput.numbers_of(SparseRows.from_dense(rows)), 2)


if __name__ == "__main__":
    unittest.main()
