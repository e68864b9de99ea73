#!/usr/bin/env python3
"""The table of docs/choosing.md: sizes, recall and CPU time of the ways to store and index the same vectors.

    .venv/bin/python bench/choosing.py --data FOLDER --set minilm1536
    .venv/bin/python bench/choosing.py --data FOLDER --set minilm1536 --system pgvector

Each way is a column, an index and a query for 10 rows.  Recall is of the set's vectors as they are, by cosine distance, so that rounding and coarse
searches are in it.  All indexes are there at once, and the ways take turns; of the runs the least CPU time counts.  A way that this
version has no operator class for is left out, and said so.  For a set of sparse vectors there is one way.
"""
from __future__ import annotations

import argparse
from dataclasses import dataclass

import psycopg

import compare
import datasets
import report
import server
import vxdb
from clients import TABLE, Client, load
from exact import Judge

LIMIT = 10


@dataclass
class Way:
    """How rows are stored and found; {dim}, {part} and {coarse} stand for numbers."""

    name: str
    column: str
    index: str
    order: str
    # Order by which the rows of a coarse search are ranked, and how many there are.
    exact: str = ""
    coarse: int = 0

    def query(self, dim: int, part: int) -> str:
        order = self.order.format(dim=dim, part=part)
        table = table_of(self.column)
        if not self.exact:
            return f"SELECT id FROM {table} ORDER BY {order} LIMIT {LIMIT}"
        return (f"SELECT id FROM (SELECT id, embedding FROM {table} ORDER BY {order} LIMIT {self.coarse}) AS coarse"
                f" ORDER BY {self.exact} LIMIT {LIMIT}")


def table_of(column: str) -> str:
    return f"{TABLE}_{column}"


COSINE = "embedding <=> %(q)b"
BITS = ("(binary_quantize(embedding)::bit({dim})) bit_hamming_ops", "binary_quantize(embedding)::bit({dim}) <~> binary_quantize(%(q)b)", COSINE)
PART = ("(subvector(embedding, 1, {part})::vector({part})) vector_cosine_ops",
        "subvector(embedding, 1, {part})::vector({part}) <=> subvector(%(q)b, 1, {part})", COSINE)
DENSE = [
    Way("vector", "vector", "embedding vector_cosine_ops", COSINE),
    Way("halfvec", "halfvec", "embedding halfvec_cosine_ops", COSINE),
    Way("vector, index of halfvec", "vector", "(embedding::halfvec({dim})) halfvec_cosine_ops",
        "embedding::halfvec({dim}) <=> %(q)b::halfvec({dim})"),
    *[Way(f"vector, index of bit, {coarse} ranked again", "vector", *BITS, coarse) for coarse in (50, 200)],
    *[Way(f"vector, index of the first quarter, {coarse} ranked again", "vector", *PART, coarse) for coarse in (20, 50)],
]
SPARSE = [Way("sparsevec", "sparsevec", "embedding sparsevec_cosine_ops", COSINE)]


def scan_of(plan: dict) -> dict:
    """The node that reads the table."""
    while "Plans" in plan:
        plan = plan["Plans"][0]
    return plan


class Measured:
    """A way with its table and index in a database, and what was measured of it."""

    def __init__(self, here: server.Server, system: str, way: Way, rows: vxdb.Rows, part: int):
        self.way, self.rows = way, rows
        vxdb.use_type(way.column)
        self.client = Client(here, system, "cosine")
        conn, table = self.client.conn, table_of(way.column)
        if not self.client.one(f"SELECT count(*) FROM pg_class WHERE relname = '{table}'"):
            load(self.client, compare.as_type(way.column, rows), table)
            conn.execute(f"VACUUM ANALYZE {table}")
        self.sql = way.query(rows.shape[1], part)
        index = f"ON {table} USING hnsw ({way.index.format(dim=rows.shape[1], part=part)})"
        self.index = self.client.one(f"SELECT coalesce((SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = '{table}'::regclass"
                                     f" AND obj_description(indexrelid) = $x${index}$x$), '')")
        if not self.index:
            # The name tells indexes over expressions apart; a comment says which it is.
            self.index = f"{table}_{self.client.one('SELECT count(*) FROM pg_index WHERE NOT indisunique')}"
            conn.execute(f"CREATE INDEX {self.index} {index}")
            conn.execute(f"COMMENT ON INDEX {self.index} IS $x${index}$x$")
            conn.execute(f"VACUUM ANALYZE {table}")
        self.table_bytes = self.client.one(f"SELECT pg_table_size('{table}')")
        self.index_bytes = self.client.one(f"SELECT pg_relation_size('{self.index}')")
        self.cpu: list[float] = []
        self.recall = 0.0

    def run(self, judge: Judge) -> None:
        """All queries once, in this way's type."""
        vxdb.use_type(self.way.column)
        queries = [vxdb.encode(q) for q in compare.as_type(self.way.column, judge.queries)]
        row = self.client.conn.execute("EXPLAIN (FORMAT JSON) " + self.sql, {"q": queries[0]}).fetchone()
        assert row is not None
        scan = scan_of(row[0][0]["Plan"])
        if scan.get("Index Name") != self.index:
            raise SystemExit(f"{self.way.name}: the plan does not use {self.index} but a {scan['Node Type']}")
        with self.client.measured() as cost:
            found = [[r[0] for r in self.client.cur.execute(self.sql, {"q": q}, prepare=True).fetchall()] for q in queries]
        self.cpu.append(cost.cpu / len(queries) * 1e6)
        self.recall = judge.recall(found)

    def row(self) -> list[str]:
        return [self.way.name, f"{self.table_bytes / len(self.rows):,.0f}", f"{self.index_bytes / len(self.rows):,.0f}", f"{self.recall:.3f}",
                f"{min(self.cpu):,.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="minilm1536", help="a known set (default: minilm1536)")
    parser.add_argument("--data", help="the folder of the known sets")
    parser.add_argument("--rows", type=int, help="use the first ROWS base vectors")
    parser.add_argument("--count", type=int, default=300, help="queries (default: 300)")
    parser.add_argument("--skip", type=int, default=500, help="queries to skip (default: 500)")
    parser.add_argument("--repeat", type=int, default=3, help="runs (default: 3)")
    parser.add_argument("--system", choices=server.SYSTEMS, default="vectorx")
    args = parser.parse_args()
    server.stop_on_signal()
    one = compare.known_sets(compare.data_folder(args.data))[args.set]
    try:
        rows = datasets.load(one.base, args.rows, one.dim)
        judge = Judge("cosine", datasets.load(one.queries, args.count, one.dim, args.skip), rows)
        with server.start({"shared_buffers": "2GB"}) as here:
            measured = []
            for way in SPARSE if one.sparse else DENSE:
                try:
                    measured.append(Measured(here, args.system, way, rows, rows.shape[1] // 4))
                except psycopg.errors.UndefinedObject as e:
                    print(f"{way.name}: left out: {e.diag.message_primary}", flush=True)
            for repeat in range(args.repeat + 1):
                for of_way in measured if repeat % 2 else measured[::-1]:
                    of_way.run(judge)
                    if repeat == 0:
                        # That was to warm up.
                        of_way.cpu.clear()
    except server.Unavailable as e:
        raise SystemExit(f"not run: {e}") from None
    except datasets.BadFile as e:
        raise SystemExit(str(e)) from None
    print(f"\n{args.system}, {args.set}: {len(rows):,} rows of {rows.shape[1]:,} dimensions, {args.count} queries, bytes a row\n")
    print("\n".join(report.table(["", "table", "index", "recall@10", "CPU us/query"], [m.row() for m in measured])))


if __name__ == "__main__":
    main()
