"""Sparse rows behave as the dense ones that they stand for, texts become them, and every type's distances and messages are right."""
from __future__ import annotations

import struct
import tempfile
import unittest
from pathlib import Path

import numpy as np

import datasets
import exact
import sparse
import sparserows
import vxdb
from sparserows import SparseRows

RNG = np.random.default_rng(1)
DENSE = (RNG.standard_normal((40, 30)) * (RNG.random((40, 30)) < 0.2)).astype(np.float32)
DENSE[7] = 0
DENSE[39] = 0
ROWS = SparseRows.from_dense(DENSE)


class Rows(unittest.TestCase):
    def test_parts(self):
        self.assertEqual((len(ROWS), ROWS.shape), (40, (40, 30)))
        for which in (slice(None), slice(3, 9), slice(7, 8), slice(20, 20), slice(30, None), [5, 7, 39, 0, 5], []):
            with self.subTest(which=which):
                np.testing.assert_array_equal(ROWS[which].dense(), DENSE[which])
        self.assertEqual(sum(len(row.indices) for row in ROWS), np.count_nonzero(DENSE))
        np.testing.assert_array_equal(ROWS[4].values, DENSE[4][DENSE[4] != 0])

    def test_distances(self):
        with_length = [i for i in range(len(DENSE)) if DENSE[i].any()]
        for metric in vxdb.METRICS["sparsevec"]:
            which = with_length if metric == "cosine" else list(range(len(DENSE)))
            with self.subTest(metric=metric):
                np.testing.assert_allclose(vxdb.distances(metric, ROWS[which[:9]], ROWS[which]),
                                           vxdb.distances(metric, DENSE[which[:9]], DENSE[which]), atol=2e-6)

    def test_recall(self):
        judge = exact.Judge("ip", ROWS[:5], ROWS)
        dense = exact.Judge("ip", DENSE[:5], DENSE)
        found = np.argsort(vxdb.distances("ip", DENSE[:5], DENSE), axis=1)[:, :10].tolist()
        found[0][0:3] = [7, 7, found[0][0]]
        self.assertEqual(judge.recall(found), dense.recall(found))
        self.assertLess(judge.recall(found), 1.0)


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "x.npz"

    def test_read_as_written(self):
        ROWS.save(self.path, packages="none")
        np.testing.assert_array_equal(datasets.load(self.path).dense(), DENSE)
        np.testing.assert_array_equal(datasets.load(self.path, rows=4, skip=6).dense(), DENSE[6:10])
        with self.assertRaisesRegex(datasets.BadFile, "x.npz has 40 rows"):
            datasets.load(self.path, skip=40)
        whole = self.path.read_bytes()
        for end in (len(whole) - 1, len(whole) // 2, 3, 0):
            self.path.write_bytes(whole[:end])
            with self.subTest(bytes=end), self.assertRaisesRegex(datasets.BadFile, "x.npz is truncated"):
                datasets.load(self.path)

    def test_what_is_no_sparse_row_is_refused(self):
        good = {"indptr": np.array([0, 2, 2, 3]), "indices": np.array([1, 4, 0]), "values": np.ones(3), "shape": np.array([3, 5])}
        np.savez(self.path, **good)
        self.assertEqual(len(sparserows.read(self.path)), 3)
        for name, bad in (("indptr", [0, 2, 3]), ("indptr", [0, 3, 2, 3]), ("indptr", [1, 2, 2, 3]), ("indices", [1, 5, 0]),
                          ("indices", [1, -1, 0]), ("indices", [1, 1, 0]), ("indices", [4, 1, 0]), ("indices", [1, 4]),
                          ("values", [1.0, 0.0, 1.0]), ("values", [1.0, np.nan, 1.0]), ("values", [1.0])):
            np.savez(self.path, **(good | {name: np.array(bad)}))
            with self.subTest(**{name: bad}), self.assertRaisesRegex(datasets.BadFile, "x.npz"):
                datasets.load(self.path)
        np.savez(self.path, **{name: value for name, value in good.items() if name != "values"})
        with self.assertRaisesRegex(datasets.BadFile, "no array values"):
            datasets.load(self.path)


class Bits(unittest.TestCase):
    def test_distances(self):
        bits = RNG.random((20, 77)) < 0.3
        bits[3] = bits[4] = False
        hamming = [[np.count_nonzero(a ^ b) for b in bits] for a in bits]
        jaccard = [[1 - np.count_nonzero(a & b) / max(1, np.count_nonzero(a | b)) for b in bits] for a in bits]
        np.testing.assert_array_equal(vxdb.distances("hamming", bits, bits), hamming)
        np.testing.assert_allclose(vxdb.distances("jaccard", bits, bits), jaccard)
        self.assertEqual(vxdb.distances("jaccard", bits[3:4], bits[4:5])[0, 0], 1.0)

    def test_as_near_as_the_last_counts(self):
        """A query with 5 rows at distance 1 and 20 at 2: those 5 and any 5 of the 20."""
        rows = np.zeros((26, 32), bool)
        rows[np.arange(25), np.arange(25)] = True
        rows[5:25, 31] = True
        rows[25] = True
        judge = exact.Judge("hamming", np.zeros((1, 32), bool), rows)
        self.assertEqual(judge.recall([[0, 1, 2, 3, 4, 20, 21, 22, 23, 24]]), 1.0)
        self.assertEqual(judge.recall([[0, 1, 2, 3, 25, 20, 21, 22, 23, 24]]), 0.9)


class Messages(unittest.TestCase):
    def setUp(self):
        self.addCleanup(vxdb.use_type, vxdb.TYPE)

    def check(self, name, rows):
        """A message of COPY is that of each row's parameter, behind its id."""
        vxdb.use_type(name)
        ids = np.arange(5, 5 + len(rows))
        make = vxdb.sparse_messages if isinstance(rows, SparseRows) else vxdb.messages
        expected = [struct.pack(">hii", 2, 4, i) + struct.pack(">i", len(vxdb.encode(row))) + vxdb.encode(row) for i, row in zip(ids, rows)]
        self.assertEqual(make(ids, rows), b"".join(expected))

    def test_messages(self):
        self.check("vector", DENSE)
        self.check("halfvec", DENSE)
        self.check("bit", DENSE > 0)
        self.check("sparsevec", ROWS)

    def test_values(self):
        vxdb.use_type("bit")
        self.assertEqual(vxdb.encode(np.array([True] + [False] * 8 + [True])), b"\0\0\0\x0a\x80\x40")
        vxdb.use_type("sparsevec")
        self.assertEqual(vxdb.encode(SparseRows.from_dense(np.array([[0, 0, 1.0]])).row(0)),
                         b"\0\0\0\3" b"\0\0\0\1" b"\0\0\0\0" b"\0\0\0\2" b"\x3f\x80\0\0")


class Texts(unittest.TestCase):
    def test_passages(self):
        """Blocks in their order, without what is not the page's text, each block once; a short rest is left out."""
        page = "<style>p { no: no }</style><body><nav>menu <b>menu</b></nav><p>first <i>sec</i>ond</p><script>x = yy</script>" \
               "<p>first second</p>"
        words = [f"w{i}" for i in range(2 * sparse.PASSAGE_WORDS - 2)]
        seen = set()
        cut = list(sparse.passages(page + "".join(f"<li>{w}" for w in words), seen))
        self.assertEqual(sum(cut, []), ["first", "second", *words])
        self.assertEqual([len(p) for p in cut], [sparse.PASSAGE_WORDS] * 2)
        self.assertEqual(list(sparse.passages("<p>" + " ".join(words[:sparse.PASSAGE_WORDS // 2 - 1]), seen)), [])
        self.assertEqual(len(list(sparse.passages("<p>" + " ".join(words[:sparse.PASSAGE_WORDS // 2]), seen))), 1)

    def test_vocabulary(self):
        texts = [[f"only{i}", "all", "all", *["few"] * (i in (3, 5))] for i in range(30)]
        self.assertEqual(sparse.vocabulary(texts, 3), ["few", "only0", "only1"])

    def test_tfidf(self):
        texts = [["aa", "aa", "bb"], ["bb", "cc"], ["aa", "bb", "aa"], ["cc"], ["other"]]
        rows = sparse.tfidf(texts, ["aa", "bb", "cc"], 2)
        aa, bb, cc = (1 + np.log(2)) * np.log(5 / 2), np.log(5 / 3), np.log(5 / 2)
        expected = np.array([[aa, bb, 0], [0, bb, cc]])
        np.testing.assert_allclose(rows.dense(), expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-6)


if __name__ == "__main__":
    unittest.main()
