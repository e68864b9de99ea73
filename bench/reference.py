"""Libraries that search in memory, as a reference: hnswlib and faiss, one thread.

They have no SQL, no transactions and no buffers, so they show what part of a
query's time a database could at best be without.  Each runs in a process of
its own, so that nothing of it stays in the benchmark's.
"""
from __future__ import annotations

import importlib.metadata
import multiprocessing
import time

import numpy as np

from exact import Judge

M = 16
EF_CONSTRUCTION = 64
ENOUGH_RECALL = 0.995


def unit(metric: str, vectors: np.ndarray) -> np.ndarray:
    """For cosine, what the libraries' inner product is to be given."""
    if metric != "cosine":
        return vectors
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-30))


class Hnswlib:
    package = "hnswlib"
    metrics = {"l2": "l2", "cosine": "ip", "ip": "ip"}

    def __init__(self, metric: str, rows: np.ndarray):
        import hnswlib
        self.index = hnswlib.Index(self.metrics[metric], rows.shape[1])
        self.index.set_num_threads(1)
        self.index.init_index(len(rows), M=M, ef_construction=EF_CONSTRUCTION)
        self.index.add_items(rows, num_threads=1)

    def set_ef(self, ef: int) -> None:
        self.index.set_ef(ef)

    def ask(self, query: np.ndarray) -> list[int]:
        return self.index.knn_query(query, k=10, num_threads=1)[0][0].tolist()


class Faiss:
    package = "faiss-cpu"
    metrics = {"l2": "METRIC_L2", "cosine": "METRIC_INNER_PRODUCT", "ip": "METRIC_INNER_PRODUCT"}
    description = f"HNSW{M},Flat"

    def __init__(self, metric: str, rows: np.ndarray):
        import faiss
        faiss.omp_set_num_threads(1)
        self.index = faiss.index_factory(rows.shape[1], self.description, getattr(faiss, self.metrics[metric]))
        self.index.hnsw.efConstruction = EF_CONSTRUCTION
        self.index.train(rows)
        self.index.add(rows)

    def set_ef(self, ef: int) -> None:
        self.index.hnsw.efSearch = ef

    def ask(self, query: np.ndarray) -> list[int]:
        return self.index.search(query[None], 10)[1][0].tolist()


class FaissSQ8(Faiss):
    description = f"HNSW{M}_SQ8"


LIBRARIES: dict[str, type[Hnswlib] | type[Faiss]] = {"hnswlib": Hnswlib, "faiss HNSW, flat": Faiss, "faiss HNSW, SQ8": FaissSQ8}


def measure(name: str, metric: str, rows: np.ndarray, queries: np.ndarray, efs: list[int], repeats: int,
            pipe) -> None:
    """In the child: build, then all queries at each ef_search; the parent ends it when it has seen enough."""
    rows, queries = unit(metric, rows), unit(metric, queries)
    start = time.process_time()
    library = LIBRARIES[name](metric, rows)
    pipe.send(time.process_time() - start)
    for ef in efs:
        library.set_ef(ef)
        cpu = []
        for _ in range(repeats):
            start = time.process_time()
            found = [library.ask(q) for q in queries]
            cpu.append(time.process_time() - start)
        pipe.send((ef, min(cpu) / len(queries) * 1e6, found))
    pipe.send(None)


def run(name: str, judge: Judge, efs: list[int], repeats: int) -> dict:
    """Points as of the systems; a reason under "not_run" where there are none."""
    library = LIBRARIES[name]
    if judge.metric not in library.metrics:
        return {"not_run": f"it has no distance {judge.metric}"}
    try:
        version = importlib.metadata.version(library.package)
    except importlib.metadata.PackageNotFoundError:
        return {"not_run": f"the package {library.package} is not installed"}
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    child = context.Process(target=measure, args=(name, judge.metric, judge.rows, judge.queries, efs, repeats,
                                                  theirs), daemon=True)
    child.start()
    theirs.close()
    try:
        build_cpu = mine.recv()
        points = []
        while (point := mine.recv()) is not None:
            ef, cpu, found = point
            points.append({"ef": ef, "cpu_us": cpu, "recall": judge.recall(found)})
            if points[-1]["recall"] >= ENOUGH_RECALL:
                break
    except EOFError:
        return {"not_run": f"{library.package} {version} failed here"}
    finally:
        child.terminate()
        child.join()
    return {"version": version, "build_cpu_s": build_cpu, "points": points}


def reference(judge: Judge, efs: list[int], repeats: int) -> dict[str, dict]:
    result = {}
    for name in LIBRARIES:
        result[name] = run(name, judge, efs, repeats)
        reason = result[name].get("not_run")
        print(f"{name}: not run: {reason}" if reason else f"{name}: done", flush=True)
    return result
