"""psycopg 3 with pgvector-python: all types in binary form, COPY in both directions."""

import asyncio
from functools import partial

import numpy as np
import psycopg
from pgvector import Bit, HalfVector, Vector
from pgvector.psycopg import register_vector, register_vector_async
from rows import record as row_record
from rows import values as row_values
from shared import (
    CREATE_TABLE, FILTERED, INDEXES, ITEMS, LIMIT, OPERATORS, QUERIES,
    Tried, answered, create_index, same, scans,
)

tried = Tried("psycopg")
values = partial(row_values, bits=Bit)
record = partial(row_record, bits=Bit)


def read(row):
    """What it makes of a row: bits are read as text."""
    return (*record(row)[:-1], row.bits)


def search(db, column, metric, number):
    """Searches, with a category and without, with parameters in text and in binary form, and their plan."""
    operator = OPERATORS[metric].replace("%", "%%")
    query = values(QUERIES[number])[column]
    nearest = f"SELECT id, {column} {operator} %(query)s AS distance FROM items ORDER BY distance LIMIT %(limit)s"
    within = nearest.replace("ORDER BY", "WHERE category = 1 ORDER BY")
    for form in "%s", "%b", "%t":
        of_form = nearest.replace("%(query)s", f"%(query){form[1]}")
        answered(metric, number, db.execute(of_form, {"query": query, "limit": LIMIT}, prepare=True).fetchall())
    answered(metric, number, db.execute(within, {"query": query, "limit": FILTERED}).fetchall(), filtered=True)
    plan = db.execute("EXPLAIN " + within, {"query": query, "limit": FILTERED}).fetchall()
    scans([line for (line,) in plan], f"{column}_{metric}")


with psycopg.connect(autocommit=True) as db:
    with tried("CREATE EXTENSION, types"):
        db.execute("CREATE EXTENSION IF NOT EXISTS vector")
        register_vector(db)
        db.execute(CREATE_TABLE)
    with tried("COPY in binary form"):
        with db.cursor().copy("COPY items FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "int4", "vector", "halfvec", "sparsevec", "bit"])
            for row in ITEMS[:200]:
                copy.write_row(record(row))
    with tried("an index of each type and metric"):
        for index in INDEXES:
            db.execute(create_index(*index))
    with tried("INSERT of many"):
        with db.cursor() as cursor:
            cursor.executemany("INSERT INTO items VALUES (%s, %s, %s, %s, %s, %s)", [record(row) for row in ITEMS[200:]])
    with tried("what is read is what was written"):
        same(db.execute("SELECT * FROM items ORDER BY id").fetchall(), [read(row) for row in ITEMS])
    with tried("and by COPY in binary form"):
        with db.cursor().copy("COPY (SELECT * FROM items ORDER BY id) TO STDOUT (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "int4", "vector", "halfvec", "sparsevec", "bit"])
            same(list(copy.rows()), [(*record(row)[:-1], Bit(row.bits).to_binary()) for row in ITEMS])
    for column, _kind, metric in INDEXES:
        with tried(f"search {column} {metric}"):
            for number in range(len(QUERIES)):
                search(db, column, metric, number)
    with tried("a NumPy array as query"):
        query = np.array(QUERIES[0].embedding, dtype=np.float32)
        found = db.execute("SELECT id FROM items ORDER BY embedding <-> %s LIMIT 10", (query,)).fetchall()
        answered("l2", 0, found)
    with tried("a cursor of the server, read on"):
        with db.transaction(), db.cursor("nearest") as cursor:
            cursor.itersize = 7
            cursor.execute("SELECT id FROM items ORDER BY embedding <-> %s", (Vector(QUERIES[0].embedding),))
            ids = [row for (row,) in cursor]
            answered("l2", 0, ids[:LIMIT])
            same(sorted(ids), [row.id for row in ITEMS])
    with tried("a pipeline"):
        with db.pipeline():
            cursors = [
                db.execute("SELECT id FROM items ORDER BY half <=> %s LIMIT 10", (HalfVector(query.embedding),))
                for query in QUERIES
            ]
        for number, cursor in enumerate(cursors):
            answered("cosine", number, cursor.fetchall())
    with tried("avg and sum"):
        mean = db.execute("SELECT avg(embedding) FROM items").fetchone()[0]
        assert np.allclose(mean.to_numpy(), np.mean([row.embedding for row in ITEMS], axis=0), atol=1e-5)


with tried("a setting among the connection's options"):
    with psycopg.connect(options="-c hnsw.ef_search=77 -c hnsw.iterative_scan=off") as db:
        register_vector(db)
        found = db.execute("SELECT id FROM items ORDER BY embedding <-> %s LIMIT 10", (Vector(QUERIES[0].embedding),)).fetchall()
        answered("l2", 0, found)
        same(db.execute("SELECT current_setting('hnsw.ef_search'), current_setting('hnsw.iterative_scan')").fetchone(), ("77", "off"))


async def asynchronous():
    async with await psycopg.AsyncConnection.connect() as db:
        await register_vector_async(db)
        found = await db.execute("SELECT id FROM items ORDER BY embedding <#> %s LIMIT 10", (Vector(QUERIES[1].embedding),))
        answered("ip", 1, await found.fetchall())


with tried("an asynchronous connection"):
    asyncio.run(asynchronous())
tried.done()
