"""Every format is read back as it was written, and a damaged file is refused."""
from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

import numpy as np

import datasets

try:
    import h5py
except ImportError:
    h5py = None

ROWS = np.random.default_rng(1).standard_normal((25_003, 7)).astype(np.float32)
IDS = np.arange(35, dtype=np.int32).reshape(7, 5)


def write_vecs(path: Path, rows: np.ndarray) -> None:
    columns = np.full((len(rows), 1), rows.shape[1], "<u4")
    path.write_bytes(np.hstack([columns.view(rows.dtype), rows]).tobytes())


def write_bin(path: Path, rows: np.ndarray) -> None:
    path.write_bytes(np.array(rows.shape, "<u4").tobytes() + rows.tobytes())


def write_hdf5(path: Path, rows: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file["train"], file["test"] = rows, rows[:10]
        file.attrs["distance"] = "angular"


class Formats(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def check(self, name, write, rows):
        """Whole and in part, then with bytes missing at the end and at all."""
        path = self.folder / name
        write(path, rows)
        np.testing.assert_array_equal(datasets.load(path), rows)
        np.testing.assert_array_equal(datasets.load(path, rows=4, dim=3, skip=2), rows[2:6, :3])
        np.testing.assert_array_equal(datasets.load(path, rows=len(rows), skip=1), rows[1:])
        with self.assertRaisesRegex(datasets.BadFile, f"{name} has .* rows"):
            datasets.load(path, skip=len(rows))
        with self.assertRaisesRegex(datasets.BadFile, f"{name} has .* columns"):
            datasets.load(path, dim=rows.shape[1] + 1)
        whole = path.read_bytes()
        for end in (len(whole) - 1, len(whole) // 2 + 1, 3, 0):
            path.write_bytes(whole[:end])
            with self.subTest(bytes=end), self.assertRaisesRegex(datasets.BadFile, f"{name} is truncated"):
                datasets.load(path)

    def test_npy_float32(self):
        self.check("x.npy", np.save, ROWS)

    def test_npy_float16(self):
        self.check("x.npy", np.save, ROWS.astype(np.float16))
        np.save(self.folder / "x.npy", ROWS.astype(np.float16))
        self.assertEqual(datasets.load(self.folder / "x.npy").dtype, np.float32)

    def test_fbin(self):
        self.check("x.fbin", write_bin, ROWS)

    def test_ibin(self):
        self.check("x.ibin", write_bin, IDS)

    def test_fvecs(self):
        self.check("x.fvecs", write_vecs, ROWS)

    def test_ivecs(self):
        self.check("x.ivecs", write_vecs, IDS)

    @unittest.skipIf(h5py is None, "h5py is not installed")
    def test_hdf5(self):
        self.check("x.hdf5", write_hdf5, ROWS)
        write_hdf5(self.folder / "x.hdf5", ROWS)
        np.testing.assert_array_equal(datasets.load(self.folder / "x.hdf5", part="test"), ROWS[:10])
        self.assertEqual(datasets.hdf5_metric(self.folder / "x.hdf5"), "cosine")
        with self.assertRaisesRegex(datasets.BadFile, "no data set other"):
            datasets.load(self.folder / "x.hdf5", part="other")

    def test_longer_than_its_header_says(self):
        write_bin(self.folder / "x.fbin", ROWS)
        with open(self.folder / "x.fbin", "ab") as file:
            file.write(b"1234")
        with self.assertRaisesRegex(datasets.BadFile, "promises only"):
            datasets.load(self.folder / "x.fbin")

    def test_rows_of_different_lengths(self):
        rows = np.ones((4, 3), "<f4")
        write_vecs(self.folder / "x.fvecs", rows)
        data = bytearray((self.folder / "x.fvecs").read_bytes())
        data[16] = 2
        (self.folder / "x.fvecs").write_bytes(data)
        with self.assertRaisesRegex(datasets.BadFile, "different numbers of columns"):
            datasets.load(self.folder / "x.fvecs")

    def test_not_a_number(self):
        np.save(self.folder / "x.npy", np.array([[1.0, np.nan]]))
        with self.assertRaisesRegex(datasets.BadFile, "finite"):
            datasets.load(self.folder / "x.npy")

    def test_no_such_file_and_no_such_kind(self):
        with self.assertRaisesRegex(datasets.BadFile, "no file"):
            datasets.load(self.folder / "x.npy")
        (self.folder / "x.csv").write_text("1,2\n")
        with self.assertRaisesRegex(datasets.BadFile, "cannot be read"):
            datasets.load(self.folder / "x.csv")


if __name__ == "__main__":
    unittest.main()
