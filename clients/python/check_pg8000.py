"""pg8000 with pgvector-python: its native interface, values as text."""

import os

import pg8000.native
from pgvector.pg8000 import register_vector
from rows import record, values
from shared import (
    CREATE_TABLE, FILTERED, INDEXES, ITEMS, LIMIT, OPERATORS, QUERIES,
    Tried, answered, create_index, same, scans,
)

tried = Tried("pg8000")


db = pg8000.native.Connection(
    os.environ["PGUSER"],
    unix_sock=f"{os.environ['PGHOST']}/.s.PGSQL.{os.environ['PGPORT']}",
    database=os.environ["PGDATABASE"],
)


def insert(rows):
    statement = db.prepare("INSERT INTO items VALUES (:id, :category, :embedding, :half, :sparse, :bits)")
    for row in rows:
        statement.run(id=row.id, category=row.category, **values(row))
    statement.close()


with tried("CREATE EXTENSION, types"):
    db.run("CREATE EXTENSION IF NOT EXISTS vector")
    register_vector(db)
    db.run(CREATE_TABLE)
with tried("COPY"):
    lines = ("\t".join(v.to_text() if hasattr(v, "to_text") else str(v) for v in record(row)) + "\n" for row in ITEMS[:100])
    db.run("COPY items FROM STDIN", stream=lines)
with tried("INSERT with a prepared statement"):
    insert(ITEMS[100:200])
with tried("an index of each type and metric"):
    for index in INDEXES:
        db.run(create_index(*index))
with tried("INSERT behind an index"):
    insert(ITEMS[200:])
with tried("what is read is what was written"):
    same([tuple(row) for row in db.run("SELECT * FROM items ORDER BY id")], [record(row) for row in ITEMS])
for column, _kind, metric in INDEXES:
    with tried(f"search {column} {metric}"):
        nearest = f"SELECT id, {column} {OPERATORS[metric]} :query AS distance FROM items ORDER BY distance LIMIT :rows"
        within = nearest.replace("ORDER BY", "WHERE category = 1 ORDER BY")
        for number, query in enumerate(QUERIES):
            value = values(query)[column]
            answered(metric, number, db.run(nearest, query=value, rows=LIMIT))
            answered(metric, number, db.run(within, query=value, rows=FILTERED), filtered=True)
        plan = db.run("EXPLAIN " + within, query=value, rows=FILTERED)
        scans([line for (line,) in plan], f"{column}_{metric}")
db.close()
tried.done()
