"""asyncpg with pgvector-python: prepared statements and COPY, all in binary form."""

import asyncio
from functools import partial

import asyncpg
from pgvector import HalfVector, Vector
from pgvector.asyncpg import register_vector
from rows import record as row_record
from rows import values as row_values
from shared import (
    CREATE_TABLE, FILTERED, INDEXES, ITEMS, LIMIT, OPERATORS, QUERIES,
    Tried, answered, create_index, same, scans,
)

tried = Tried("asyncpg")
values = partial(row_values, bits=asyncpg.BitString)
record = partial(row_record, bits=asyncpg.BitString)


async def main():
    db = await asyncpg.connect()
    with tried("CREATE EXTENSION, types"):
        await db.execute("CREATE EXTENSION IF NOT EXISTS vector")
        await register_vector(db)
        await db.execute(CREATE_TABLE)
    with tried("COPY in binary form"):
        await db.copy_records_to_table("items", records=[record(row) for row in ITEMS[:200]])
    with tried("an index of each type and metric"):
        for index in INDEXES:
            await db.execute(create_index(*index))
    with tried("INSERT of many"):
        await db.executemany("INSERT INTO items VALUES ($1, $2, $3, $4, $5, $6)", [record(row) for row in ITEMS[200:]])
    with tried("what is read is what was written"):
        same([tuple(row) for row in await db.fetch("SELECT * FROM items ORDER BY id")], [record(row) for row in ITEMS])
    for column, _kind, metric in INDEXES:
        with tried(f"search {column} {metric}"):
            nearest = f"SELECT id, {column} {OPERATORS[metric]} $1 AS distance FROM items ORDER BY distance LIMIT $2"
            within = nearest.replace("ORDER BY", "WHERE category = $3 ORDER BY")
            # more often than the server plans a prepared statement anew for each parameter
            for number in list(range(len(QUERIES))) * 3:
                value = values(QUERIES[number])[column]
                answered(metric, number, [tuple(row) for row in await db.fetch(nearest, value, LIMIT)])
                answered(metric, number, [tuple(row) for row in await db.fetch(within, value, FILTERED, 1)], filtered=True)
            plan = await db.fetch("EXPLAIN " + within, value, FILTERED, 1)
            scans([line for (line,) in plan], f"{column}_{metric}")
    with tried("a cursor, read on"):
        async with db.transaction():
            ids = [row["id"] async for row in db.cursor("SELECT id FROM items ORDER BY embedding <=> $1", Vector(QUERIES[0].embedding), prefetch=7)]
        answered("cosine", 0, ids[:LIMIT])
        same(sorted(ids), [row.id for row in ITEMS])
    await db.close()

    with tried("a pool, searches at once"):
        async with asyncpg.create_pool(init=register_vector, min_size=2, max_size=4) as pool:
            nearest = "SELECT id FROM items ORDER BY half <-> $1 LIMIT 10"
            found = await asyncio.gather(*[pool.fetch(nearest, HalfVector(query.embedding)) for query in QUERIES * 4])
        for i, rows in enumerate(found):
            answered("l2", i % len(QUERIES), [row["id"] for row in rows])


asyncio.run(main())
tried.done()
