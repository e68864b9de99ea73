"""Vectors from the files that benchmarks are published in.

    .npy            NumPy, float16, float32, float64 or integers, one row a vector
    .fbin, .ibin    number of rows, number of columns (4-byte integers), then all
                    elements as 4-byte floats or integers (big-ann-benchmarks)
    .fvecs, .ivecs  each row its number of columns and then its elements (TEXMEX)
    .npz            sparse rows, as sparserows.py has them
    .hdf5, .h5      ann-benchmarks: data sets "train" and "test", and the
                    distance as an attribute; needs h5py

All of it little-endian.  Only the rows asked for are read, in batches, so a
file may be larger than the memory.  Floats become float32, integers int32.
"""
from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

import sparserows

BATCH_ROWS = 10_000
MAX_COLUMNS = 1 << 20
HDF5 = (".hdf5", ".h5")
# ann-benchmarks' names for distances.
HDF5_METRICS = {"angular": "cosine", "euclidean": "l2", "ip": "ip"}


class BadFile(Exception):
    """A file that is not what its name says; the message names it."""


def check_size(path: Path, wanted: int) -> None:
    size = path.stat().st_size
    if size < wanted:
        raise BadFile(f"{path.name} is truncated: {size:,} bytes, and its header promises {wanted:,}")
    if size > wanted:
        raise BadFile(f"{path.name} is {size:,} bytes, and its header promises only {wanted:,}")


def open_npy(path: Path) -> np.ndarray:
    try:
        data = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as e:
        raise BadFile(f"{path.name} is truncated, or not a NumPy file: {e}") from None
    if data.ndim != 2 or data.dtype.kind not in "fiu":
        raise BadFile(f"{path.name} holds no table of numbers: {data.dtype}, {data.ndim} axes")
    return data


def open_bin(path: Path, dtype: str) -> np.ndarray:
    header = np.fromfile(path, "<u4", 2)
    if len(header) < 2:
        raise BadFile(f"{path.name} is truncated: no room for a header of 8 bytes")
    rows, columns = (int(n) for n in header)
    if rows == 0 or not 0 < columns <= MAX_COLUMNS:
        raise BadFile(f"{path.name}: a header of {rows:,} rows and {columns:,} columns")
    check_size(path, 8 + 4 * rows * columns)
    return np.memmap(path, dtype, "r", 8, (rows, columns))


def open_vecs(path: Path, dtype: str) -> np.ndarray:
    size = path.stat().st_size
    header = np.fromfile(path, "<u4", 1)
    if len(header) < 1:
        raise BadFile(f"{path.name} is truncated: no room for a header of 4 bytes")
    columns = int(header[0])
    if not 0 < columns <= MAX_COLUMNS:
        raise BadFile(f"{path.name}: a first row of {columns:,} columns")
    row = 4 * (1 + columns)
    if size % row:
        raise BadFile(f"{path.name} is truncated: {size:,} bytes are no multiple of {row:,}, the size of a row of"
                      f" {columns:,} columns")
    return np.memmap(path, [("columns", "<u4"), ("row", dtype, (columns,))], "r", 0, (size // row,))


def open_hdf5(path: Path, part: str) -> Any:
    try:
        import h5py
    except ImportError:
        raise BadFile(f"{path.name} needs the package h5py (scripts/bootstrap bench-quick installs it)") from None
    try:
        file = h5py.File(path, "r")
    except OSError as e:
        raise BadFile(f"{path.name} is truncated, or not an HDF5 file: {e}") from None
    if part not in file:
        raise BadFile(f"{path.name} has no data set {part}, but {', '.join(file)}")
    return file[part]


def open_npz(path: Path) -> sparserows.SparseRows:
    try:
        return sparserows.read(path)
    except (ValueError, EOFError, OSError, KeyError, zipfile.BadZipFile, zlib.error) as e:
        raise BadFile(f"{path.name} is truncated, or holds no sparse rows: {e}") from None


def open_rows(path: Path, part: str) -> Any:
    """Something with a length that gives rows by slice, without reading it all."""
    if not path.is_file():
        raise BadFile(f"there is no file {path}")
    kind = path.suffix
    if kind == ".npy":
        return open_npy(path)
    if kind in (".fbin", ".ibin"):
        return open_bin(path, "<f4" if kind == ".fbin" else "<i4")
    if kind in (".fvecs", ".ivecs"):
        return open_vecs(path, "<f4" if kind == ".fvecs" else "<i4")
    if kind == ".npz":
        return open_npz(path)
    if kind in HDF5:
        return open_hdf5(path, part)
    raise BadFile(f"{path.name}: files of kind {kind or '(none)'} cannot be read")


def load(file: str | Path, rows: int | None = None, dim: int | None = None, skip: int = 0,
         part: str = "train") -> np.ndarray | sparserows.SparseRows:
    """Rows skip to skip + rows of a file, the first dim columns; part is the data set in an HDF5 file."""
    path = Path(file)
    source = open_rows(path, part)
    end = len(source) if rows is None else min(len(source), skip + rows)
    if end <= skip:
        raise BadFile(f"{path.name} has {len(source):,} rows, so none after row {skip:,}")
    if isinstance(source, sparserows.SparseRows):
        if dim not in (None, source.dim):
            raise BadFile(f"{path.name}: columns of sparse rows are not left out")
        return source[skip:end]
    result = None
    for start in range(skip, end, BATCH_ROWS):
        batch = source[start:min(end, start + BATCH_ROWS)]
        if batch.dtype.names:
            if (batch["columns"] != batch["row"].shape[1]).any():
                raise BadFile(f"{path.name}: rows of different numbers of columns near row {start:,}")
            batch = batch["row"]
        if result is None:
            if dim is not None and dim > batch.shape[1]:
                raise BadFile(f"{path.name} has {batch.shape[1]:,} columns, fewer than {dim:,}")
            dtype = np.float32 if batch.dtype.kind == "f" else np.int32
            result = np.empty((end - skip, dim or batch.shape[1]), dtype)
        result[start - skip:start - skip + len(batch)] = batch[:, :dim]
    assert result is not None
    if result.dtype.kind == "f" and not np.isfinite(result).all():
        raise BadFile(f"{path.name}: not all elements are finite")
    return result


def hdf5_metric(file: str | Path) -> str | None:
    """The distance an ann-benchmarks file is for; None if the file does not say, or is no such file."""
    path = Path(file)
    if path.suffix not in HDF5:
        return None
    return HDF5_METRICS.get(open_hdf5(path, "train").file.attrs.get("distance"))
