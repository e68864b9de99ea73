"""psycopg2 with pgvector-python: values as text."""

import io

import psycopg2
from pgvector import Vector
from pgvector.psycopg2 import register_vector
from psycopg2.extras import execute_values
from rows import record, values
from shared import (
    CREATE_TABLE, FILTERED, INDEXES, ITEMS, LIMIT, OPERATORS, QUERIES,
    Tried, answered, create_index, same, scans,
)

tried = Tried("psycopg2")


db = psycopg2.connect("")
db.autocommit = True
cursor = db.cursor()


def ask(statement, parameters=None):
    cursor.execute(statement, parameters)
    return cursor.fetchall()


with tried("CREATE EXTENSION, types"):
    cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
    register_vector(db)
    cursor.execute(CREATE_TABLE)
with tried("COPY"):
    lines = "".join("\t".join(v.to_text() if hasattr(v, "to_text") else str(v) for v in record(row)) + "\n" for row in ITEMS[:200])
    cursor.copy_expert("COPY items FROM STDIN", io.StringIO(lines))
with tried("an index of each type and metric"):
    for index in INDEXES:
        cursor.execute(create_index(*index))
with tried("INSERT of many"):
    execute_values(cursor, "INSERT INTO items VALUES %s", [record(row) for row in ITEMS[200:]])
with tried("what is read is what was written"):
    same(ask("SELECT * FROM items ORDER BY id"), [record(row) for row in ITEMS])
for column, kind, metric in INDEXES:
    with tried(f"search {column} {metric}"):
        operator = OPERATORS[metric].replace("%", "%%")
        cast = "::bit(64)" if kind == "bit" else ""
        nearest = f"SELECT id, {column} {operator} %s{cast} AS distance FROM items ORDER BY distance LIMIT %s"
        within = nearest.replace("ORDER BY", "WHERE category = 1 ORDER BY")
        for number, query in enumerate(QUERIES):
            value = values(query)[column]
            answered(metric, number, ask(nearest, (value, LIMIT)))
            answered(metric, number, ask(within, (value, FILTERED)), filtered=True)
            scans([line for (line,) in ask("EXPLAIN " + within, (value, FILTERED))], f"{column}_{metric}")
with tried("an array of vectors as parameter"):
    few = [Vector(row.embedding) for row in ITEMS[:3]]
    same(ask("SELECT array_agg(id ORDER BY id) FROM items WHERE embedding = ANY(%s::vector[])", (few,)), [([1, 2, 3],)])
    same(ask("SELECT array_agg(embedding ORDER BY id) FROM items WHERE id <= 3")[0][0], few)
tried.done()
