#!/usr/bin/env python3
"""A part of t/011_fuzz.pl: random tables, indexes, settings, changes and searches.

    fuzz_sql.py TABLES SEED

Each table has one index: on a column with a length, on one without (by a cast,
beside rows of other lengths), on an expression, an array, a generated column,
a domain, on a part of the rows, or on partitions; with options that may be
refused.  It is filled, changed and vacuumed at random, and searched in between.
What an index scan returns is compared with a sequential scan of the same rows:
nothing twice, nothing that is not there, nearest first, no row nearer than
possible, and with an hnsw.ef_search above the number of rows exactly the
nearest ones.  The rows themselves are compared with a record kept here.  At the
end hnsw_check and hnsw_info have to agree with the table.

Connects as the PG* environment variables say.  Prints tests as t/recall.py does.
"""
from __future__ import annotations

import math
import random
import re
import sys
from pathlib import Path

import numpy as np
import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))
from vxdb import OPERATORS, connect, register_vector  # noqa: E402

# Of a float32 sum against another order of summing, relative to the values summed.
TOLERANCE = 2e-5
MOST_EF = 10000

# How the vectors are stored and indexed: columns, what is indexed ({n}: number
# of dimensions), which rows.  Every third table is of halfvec instead.
FORMS = {
    "column": ("v vector({n})", "v", ""),
    "part": ("v vector({n})", "v", "k <> 1"),
    "cast": ("v vector", "(v::vector({n}))", "vector_dims(v) = {n}"),
    "sum": ("v vector({n})", "((v + v)::vector({n}))", ""),
    "array": ("v real[]", "(v::vector({n}))", ""),
    "generated": ("v vector({n}), w vector({n}) GENERATED ALWAYS AS (v - l2_normalize(v)) STORED", "w", ""),
    "domain": ("v fuzz_{n}", "(v::vector({n}))", ""),
    "partitions": ("v vector({n})", "v", ""),
}


class Wrong(Exception):
    """A property that does not hold."""


class Table:
    def __init__(self, conn: psycopg.Connection, seed: int) -> None:
        self.conn, self.seed = conn, seed
        self.r = random.Random(seed)
        self.rng = np.random.default_rng(seed)
        r = self.r
        self.n = r.choice([1, 2, 3, 4, 8, 12, 13, 16, 17, 32, 33, 100, 160, 161, 384, 1536, 2000,
                           *(int(2000 ** r.random()) for _ in range(8))])
        self.metric = r.choice(list(OPERATORS))
        self.form = r.choice(list(FORMS))
        # the longest vectors are stored in side pages, or one a page
        self.batch = min(r.choice([0, 1, 2, 15, 100, 300]), 40000 // self.n)
        self.kind = r.choice(["normal", "normal", "far", "few", "grid", "huge", "tiny", "zeros"])
        self.type = "halfvec" if seed % 3 == 1 else "vector"
        columns, self.expression, self.which = (self.of_type(s.format(n=self.n)) for s in FORMS[self.form])
        self.columns = columns
        self.ids: set[int] = set()
        self.next_id = 1
        self.vacuumed = True
        self.searches = 0
        self.few = [self.vector() for _ in range(3)]

    def __str__(self) -> str:
        return (f"seed {self.seed}: {self.form}, {self.type}, {self.metric}, {self.n} dimensions,"
                f" {self.kind}, options ({getattr(self, 'options', '')})")

    def of_type(self, sql: str) -> str:
        return re.sub(r"\bvector\b", self.type, sql)

    # ---- values

    def vector(self) -> np.ndarray:
        n, r = self.n, self.r
        x = self.rng.standard_normal(n)
        if self.kind == "far":
            x = 100 + 0.5 * x
        elif self.kind == "few" and hasattr(self, "few") and r.random() < 0.9:
            return r.choice(self.few)
        elif self.kind == "grid":
            x = np.round(x)
        elif self.kind == "huge":
            x = x * self.huge()
        elif self.kind == "tiny":
            x = x * self.tiny()
        elif self.kind == "zeros" and r.random() < 0.3:
            x = np.zeros(n)
        return x.astype(np.float16 if self.type == "halfvec" else np.float32).astype(np.float32)

    def huge(self) -> float:
        return 5e3 if self.type == "halfvec" else 1e15

    def tiny(self) -> float:
        return 1e-5 if self.type == "halfvec" else 1e-12

    def value(self) -> object:
        """What goes into the column; now and then a null, and where the index
        leaves them out, a vector of another length."""
        if self.r.random() < 0.05:
            return None
        x = self.vector()
        if self.form == "cast" and self.r.random() < 0.1:
            x = np.append(x, x)
        return x.tolist() if self.form == "array" else x

    def execute(self, command: str, args: tuple = ()) -> psycopg.Cursor:
        return self.conn.execute(command, args)

    def refused(self, command: str, args: tuple, states: tuple) -> None:
        """The command must give an error with one of these SQLSTATEs."""
        try:
            self.execute(command, args)
        except psycopg.Error as error:
            if error.sqlstate not in states:
                raise Wrong(f"{command}: {error.sqlstate} {error}") from error
            return
        raise Wrong(f"{command}: no error")

    # ---- the table and its index

    def create(self) -> None:
        columns = self.columns
        if self.form == "domain":
            self.execute(f"DROP DOMAIN IF EXISTS fuzz_{self.n} CASCADE")
            self.execute(f"CREATE DOMAIN fuzz_{self.n} AS {self.type}({self.n})")
        if self.form == "partitions":
            self.execute(f"CREATE TABLE fuzzed (id int, k int, {columns}) PARTITION BY LIST (k)")
            for k in range(4):
                self.execute(f"CREATE TABLE fuzzed_{k} PARTITION OF fuzzed FOR VALUES IN ({k})")
        else:
            self.execute(f"CREATE TABLE fuzzed (id int, k int, {columns}) WITH (fillfactor = {self.r.choice([100, 60])})")

    def create_index(self) -> None:
        r = self.r
        options, bad = [], False
        if r.random() < 0.6:
            m = r.choice([2, 3, 8, 16, 16, 31, 32, 33, 48, 64, 100, -1, 0, 1, 101, 2**31])
            bad |= not 2 <= m <= 100
            options.append(f"m = {m}")
        if r.random() < 0.5:
            ef = r.choice([4, 5, 16, 40, 64, 200, 1000, 3, 0, -4, 1001])
            bad |= not 4 <= ef <= 1000
            options.append(f"ef_construction = {ef}")
        if r.random() < 0.4:
            sketch = r.choice(["auto", "0", "1", "2", "4", "exact", "3", "'1 '", "none"])
            bad |= sketch in ("3", "'1 '", "none")
            options.append(f"sketch_bits = {sketch}")
        if r.random() < 0.4:
            own = r.choice(["auto", "fp32", "fp16", "int8", "int4", "''"])
            bad |= own in ("int4", "''")
            options.append(f"own_vector = {own}")
        if r.random() < 0.03:
            bad = True
            options.append("lists = 10")
        where = f" WHERE {self.which}" if self.which else ""
        using = f"USING hnsw ({self.expression} {self.type}_{self.metric}_ops)"

        self.settings()
        for tried in (", ".join(options), "", None):
            if tried is None:
                raise Wrong("refused without options")
            self.options = tried
            try:
                self.execute(f"CREATE INDEX fuzzed_v ON fuzzed {using}" + (f" WITH ({tried})" if tried else "") + where)
            except psycopg.Error as error:
                if error.sqlstate not in ("22023", "54000") or not tried:
                    raise Wrong(f"CREATE INDEX with ({tried}): {error.sqlstate} {error}") from error
                # what does not fit a page is told from what there is not
                continue
            if bad and tried:
                raise Wrong(f"({tried}) was not refused")
            return

    def indexes(self) -> list[str]:
        return [row[0] for row in self.execute(
            "SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " JOIN pg_am a ON a.oid = c.relam AND amname = 'hnsw' WHERE c.relkind = 'i'"
            " AND i.indrelid IN (SELECT relid FROM pg_partition_tree('fuzzed') UNION SELECT 'fuzzed'::regclass)").fetchall()]

    def settings(self) -> None:
        r = self.r
        self.execute(f"SET maintenance_work_mem = '{r.choice(['1MB', '1MB', '64MB'])}'")
        self.execute(f"SET work_mem = '{r.choice(['64kB', '4MB'])}'")
        self.execute(f"SET vectorx.simd = {r.choice(['auto', 'auto', 'generic'])}")
        self.execute(f"SET plan_cache_mode = {r.choice(['auto', 'force_generic_plan'])}")
        if r.random() < 0.1:
            self.refused(f"SET hnsw.ef_search = {r.choice([0, -1, 10001, 2**40])}", (), ("22023",))

    # ---- changes

    def change(self) -> None:
        r = self.r
        what = r.choice(["insert", "insert", "insert", "update", "update", "touch", "delete", "delete",
                         "rollback", "vacuum", "vacuum", "reindex", "refused", "truncate", "settings"])
        some = r.sample(sorted(self.ids), min(len(self.ids), r.choice([1, 5, 50])))
        if what == "insert":
            self.insert(self.batch)
        elif what == "update":
            with self.conn.cursor() as cur:
                cur.executemany("UPDATE fuzzed SET v = %b WHERE id = %b", [(self.value(), i) for i in some])
            self.vacuumed = False
        elif what == "touch":
            # to another partition, into or out of a part of the rows
            self.execute("UPDATE fuzzed SET k = %s WHERE id = ANY(%s)", (r.randrange(4), some))
            self.vacuumed = False
        elif what == "delete":
            if r.random() < 0.2:
                some = sorted(self.ids)
            self.execute("DELETE FROM fuzzed WHERE id = ANY(%s)", (some,))
            self.ids -= set(some)
            self.vacuumed = False
        elif what == "rollback":
            before, next_id = set(self.ids), self.next_id
            with self.conn.transaction(force_rollback=True):
                self.insert(min(self.batch, 20))
                with self.conn.transaction(force_rollback=r.random() < 0.5):
                    self.execute("DELETE FROM fuzzed WHERE id = ANY(%s)", (some,))
                if r.random() < 0.5:
                    self.search(check_rows=False)
            self.ids, self.next_id, self.vacuumed = before, next_id, False
        elif what == "vacuum":
            self.execute(f"VACUUM ({r.choice(['INDEX_CLEANUP on', 'INDEX_CLEANUP on', 'INDEX_CLEANUP on, ANALYZE', 'FULL'])}) fuzzed")
            self.vacuumed = True
        elif what == "reindex":
            self.execute(f"REINDEX {r.choice(['TABLE', 'TABLE', 'TABLE CONCURRENTLY'])} fuzzed")
        elif what == "refused":
            self.wrong_values()
            self.vacuumed = False
        elif what == "truncate" and r.random() < 0.3:
            self.execute("TRUNCATE fuzzed")
            self.ids.clear()
            self.vacuumed = True
        else:
            self.settings()

    def insert(self, rows: int) -> None:
        r = self.r
        ids = list(range(self.next_id, self.next_id + rows))
        self.next_id += rows
        values = [(i, r.randrange(4), self.value()) for i in ids]
        if r.random() < 0.5:
            with self.conn.cursor() as cur, cur.copy("COPY fuzzed (id, k, v) FROM STDIN") as copy:
                for i, k, v in values:
                    text = None if v is None else ("{%s}" if self.form == "array" else "[%s]") % \
                        ",".join(repr(float(x)) for x in v)
                    copy.write_row((i, k, text))
        else:
            with self.conn.cursor() as cur:
                cur.executemany("INSERT INTO fuzzed (id, k, v) VALUES (%b, %b, %b)", values)
        self.ids |= set(ids)

    def wrong_values(self) -> None:
        """A batch whose last row is refused leaves nothing."""
        if self.form == "cast":     # any length goes into the table
            return
        wrong = self.r.choice([np.ones(self.n + 1, np.float32), np.full(self.n, np.nan, np.float32),
                               np.full(self.n, np.inf, np.float32)])
        good = self.vector()
        self.refused("INSERT INTO fuzzed (id, k, v) VALUES (-1, 0, %b), (-2, 0, %b)",
                     (good.tolist(), wrong.tolist()) if self.form == "array" else (good, wrong), ("22000",))

    # ---- searches

    def search(self, check_rows: bool = True) -> None:
        r = self.r
        # under cosine a vector of zeros has no distance
        q = self.vector() if r.random() < 0.9 else np.zeros(self.n, np.float32)
        limit = r.choice([1, 2, 5, 10, 50, 1000])
        ef = r.choice([1, 2, 10, 40, 200, MOST_EF, MOST_EF, MOST_EF])
        extra = r.choice(["", "", "", "mod(id, 3) = 0", "k = 2"])
        where = " AND ".join(c for c in (self.which, extra) if c) or "true"
        distance = f"{self.expression} {OPERATORS[self.metric]} %b"
        tell = r.random() < 0.5
        query = (f"SELECT id{', ' + distance if tell else ''} FROM fuzzed WHERE {where}"
                 f" ORDER BY {distance} LIMIT {limit}")
        args = (q, q) if tell else (q,)
        self.searches += 1

        # one search in any case, where it finds all; else few nodes are swept at once
        mode = r.choice(["off", "strict_order"]) if ef == MOST_EF else "strict_order"
        self.execute(f"SET hnsw.ef_search = {ef}")
        self.execute(f"SET hnsw.iterative_scan = {mode}")
        self.execute("SET enable_seqscan = off")
        self.execute("SET enable_sort = off")
        if r.random() < 0.05 and check_rows:
            self.wrong_query(query, len(args))
        if r.random() < 0.05:
            none = self.execute(query, (None,) * len(args)).fetchall()
            if len({row[0] for row in none}) != len(none):
                raise Wrong("a row twice, with a null as query")
        plan = "\n".join(row[0] for row in self.execute("EXPLAIN " + query, args).fetchall())
        if "Index Scan using fuzzed" not in plan or "Sort  (" in plan:
            raise Wrong(f"the index is not used: {query}\n{plan}")
        rows = self.execute(query, args).fetchall()
        self.execute("RESET enable_seqscan")
        self.execute("RESET enable_sort")
        self.execute("SET enable_indexscan = off")
        everything = self.execute(f"SELECT id, {distance}, {where} FROM fuzzed", (q,)).fetchall() \
            if self.form != "cast" else \
            self.execute(f"SELECT id, CASE WHEN {self.which} THEN {distance} END, {where} FROM fuzzed", (q,)).fetchall()
        self.execute("RESET enable_indexscan")

        self.what = f"ef_search {ef}, {mode}, limit {limit}, where {where}"
        if check_rows and ({row[0] for row in everything} != self.ids or len(everything) != len(self.ids)):
            raise Wrong("the table has other rows than were put into it")
        # what an index holds: no null, under cosine no zero
        held = {i: d for i, d, ok in everything if d is not None and ok and not (self.metric == "cosine" and math.isnan(d))}
        exact = sorted(held.values())
        if self.metric == "cosine" and not q.any():
            return
        found = [row[0] for row in rows]
        if len(set(found)) != len(found):
            raise Wrong("a row twice")
        strangers = [i for i in found if i not in held]
        if strangers:
            raise Wrong(f"rows {strangers[:5]} are not there, or not as the condition wants")
        slack = TOLERANCE * self.scale(q)
        got = [held[i] for i in found]
        if tell and any(abs(row[1] - held[row[0]]) > slack for row in rows):
            raise Wrong("a distance is not the row's")
        # where all rows come, those that were found too late are the last, in order among themselves
        late = next((i for i in range(1, len(got)) if got[i] < got[i - 1] - slack), len(got))
        if len(got) == len(held) and all(b >= a - slack for a, b in zip(got[late:], got[late + 1:])):
            got = sorted(got)
        if any(b < a - slack for a, b in zip(got, got[1:])):
            at = next(i for i in range(1, len(got)) if got[i] < got[i - 1] - slack)
            raise Wrong(f"not the nearest first: row {at} of {len(got)}, {got[at - 1:at + 1]}, slack {slack}")
        if any(g < e - slack for g, e in zip(got, exact)):
            raise Wrong("nearer than possible")
        if ef == MOST_EF:
            if len(got) != min(limit, len(held)):
                raise Wrong(f"{len(got)} of {min(limit, len(held))} rows")
            if any(g > e + slack for g, e in zip(got, exact)):
                raise Wrong(f"not the nearest: {got[:20]} for {exact[:20]}, slack {slack}")
        elif self.vacuumed and not extra and len(got) < min(limit, ef, len(set(exact))):
            raise Wrong(f"only {len(got)} rows of {len(held)}")

    def scale(self, q: np.ndarray) -> float:
        """The size of the numbers that a distance sums."""
        size = {"far": 102.0, "huge": 5 * self.huge(), "tiny": 5 * self.tiny()}.get(self.kind, 5.0) * (2 if self.form == "sum" else 1)
        if self.metric == "cosine":
            return 1.0
        if self.metric == "l1":
            scale = float(np.abs(q).sum()) + size * self.n
            # L1 rotates nothing: the errors of a rounded own vector may all go one
            # way, by half of a step of int8 each (README, "Search": four deviations)
            if "int8" in self.options or "fp16" in self.options or self.n > 1000:
                scale += self.n * 2 * size / 255 / 2 / TOLERANCE
            return scale
        norm, most = float(np.linalg.norm(q.astype(np.float64))), size * math.sqrt(self.n)
        return norm * most if self.metric == "ip" else norm + most

    def wrong_query(self, query: str, args: int) -> None:
        """Another length: an error, unless no row is there to be compared."""
        wrong = np.ones(self.n + 1, np.float32)
        try:
            rows = self.execute(query, (wrong,) * args).fetchall()
        except psycopg.Error as error:
            if error.sqlstate != "22000":
                raise Wrong(f"a query of another length: {error.sqlstate} {error}") from error
            return
        if rows:
            raise Wrong("a query of another length finds rows")

    # ---- all of it

    def check(self) -> None:
        tids = 0
        for index in self.indexes():
            problems = self.execute(f"SELECT * FROM hnsw_check('{index}') LIMIT 5").fetchall()
            if problems:
                raise Wrong(f"hnsw_check: {problems}")
            row = self.execute(f"SELECT heap_tids, dead_nodes FROM hnsw_info('{index}')").fetchone()
            assert row is not None
            tids += row[0]
            if self.vacuumed and row[1]:
                raise Wrong(f"{row[1]} dead nodes after VACUUM")
        if self.vacuumed:
            value = f"CASE WHEN {self.which or 'true'} THEN {self.expression} END"
            held = self.execute(
                f"SELECT count({value}) FROM fuzzed" + (f" WHERE {'l2_norm' if self.type == 'halfvec' else 'vector_norm'}({value}) <> 0" if self.metric == "cosine" else "")
            ).fetchone()
            if held != (tids,):
                raise Wrong(f"the index has {tids} rows, not {held}")

    def run(self) -> None:
        self.what = ""
        self.create()
        if self.r.random() < 0.6:
            self.insert(self.batch)
        self.create_index()
        for _ in range(self.r.choice([3, 6, 10])):
            self.what = ""
            self.change()
            for _ in range(2):
                self.search()
        self.what = ""
        self.execute("VACUUM (INDEX_CLEANUP on) fuzzed")
        self.vacuumed = True
        self.search()
        self.check()
        self.execute("DROP TABLE fuzzed")


def main() -> None:
    tables, seed = int(sys.argv[1]), int(sys.argv[2])
    wrong = searches = 0
    forms: dict[str, int] = {}
    with connect() as conn:
        conn.execute("CREATE EXTENSION IF NOT EXISTS vectorx")
        conn.execute("SET client_min_messages = warning")
        register_vector(conn)
        conn.execute("SELECT '[1]'::vector")    # the settings are known when the library is loaded
        conn.execute("DROP TABLE IF EXISTS fuzzed CASCADE")
        for i in range(tables):
            table = Table(conn, seed * 1000 + i)
            forms[table.form] = forms.get(table.form, 0) + 1
            try:
                table.run()
            except (Wrong, psycopg.Error) as error:
                if conn.closed:
                    raise
                wrong += 1
                print(f"#\t{table}: {table.what}", flush=True)
                for line in f"{type(error).__name__}: {error}"[:1500].splitlines():
                    print(f"#\t{line}", flush=True)
                conn.execute("DROP TABLE IF EXISTS fuzzed CASCADE")
            searches += table.searches
    print("#\t" + ", ".join(f"{name} {n}" for name, n in sorted(forms.items())) + f"; {searches} searches")
    print(f"{'not ok' if wrong else 'ok'}\ttables: {tables} behave as they should ({wrong} do not)")
    missing = sorted(set(FORMS) - set(forms))
    print(f"{'not ok' if missing or searches < tables else 'ok'}\ttables: each form of index was there, and searched")
    print("done\t2")


if __name__ == "__main__":
    main()
