"""The statements of the ways to store and find vectors."""
from __future__ import annotations

import unittest

import choosing


class Queries(unittest.TestCase):
    def test_one_step(self):
        way = choosing.Way("n", "halfvec", "embedding halfvec_cosine_ops", choosing.COSINE)
        self.assertEqual(way.query(8, 2), "SELECT id FROM items_halfvec ORDER BY embedding <=> %(q)b LIMIT 10")

    def test_two_steps(self):
        way = choosing.Way("n", "vector", *choosing.PART, 50)
        self.assertEqual(way.query(8, 2), "SELECT id FROM (SELECT id, embedding FROM items_vector ORDER BY subvector(embedding, 1, 2)::vector(2)"
                                          " <=> subvector(%(q)b, 1, 2) LIMIT 50) AS coarse ORDER BY embedding <=> %(q)b LIMIT 10")

    def test_expressions_of_index_and_query_are_the_same(self):
        """Or the query would not use the index."""
        for way in [*choosing.DENSE, *choosing.SPARSE]:
            expression = way.index.rsplit(" ", 1)[0]
            if expression.startswith("("):
                expression = expression[1:-1]
            with self.subTest(way=way.name):
                self.assertTrue(way.order.startswith(expression + " "))

    def test_scan(self):
        self.assertEqual(choosing.scan_of({"Plans": [{"Plans": [{"Index Name": "x"}]}]}), {"Index Name": "x"})


if __name__ == "__main__":
    unittest.main()
