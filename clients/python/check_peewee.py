"""Peewee with pgvector-python."""

import os

from peewee import SQL, BigIntegerField, IntegerField, Model, PostgresqlDatabase
from pgvector.peewee import FixedBitField, HalfVectorField, SparseVectorField, VectorField
from rows import METHODS, model_values
from shared import BITS, DIMENSIONS, FILTERED, INDEXES, ITEMS, LIMIT, QUERIES, Tried, answered, same, scans

tried = Tried("peewee")
db = PostgresqlDatabase(os.environ["PGDATABASE"])


class Item(Model):
    id = BigIntegerField(primary_key=True)
    category = IntegerField()
    embedding = VectorField(dimensions=DIMENSIONS)
    half = HalfVectorField(dimensions=DIMENSIONS)
    sparse = SparseVectorField(dimensions=DIMENSIONS)
    bits = FixedBitField(max_length=BITS)

    class Meta:
        database = db
        table_name = "items"


for column, kind, metric in INDEXES:
    opclass = SQL(f"{column} {kind}_{metric}_ops")
    Item.add_index(Item.index(opclass, using="hnsw", name=f"{column}_{metric}"))


with tried("extension, table and indexes from the model"):
    db.execute_sql("CREATE EXTENSION IF NOT EXISTS vector")
    db.create_tables([Item])
with tried("rows are inserted, one and many"):
    Item.create(id=ITEMS[0].id, category=ITEMS[0].category, **model_values(ITEMS[0]))
    Item.insert_many([{"id": row.id, "category": row.category, **model_values(row)} for row in ITEMS[1:]]).execute()
with tried("what is read is what was written"):
    for item, row in zip(Item.select().order_by(Item.id), ITEMS):
        same([item.id, list(item.embedding), list(item.half), item.bits], [row.id, row.embedding, row.embedding, row.bits])
for column, _kind, metric in INDEXES:
    with tried(f"search {column} {metric}"):
        for number, query in enumerate(QUERIES):
            distance = getattr(getattr(Item, column), METHODS[metric])(model_values(query)[column])
            nearest = Item.select(Item.id, distance.alias("distance")).order_by(distance)
            answered(metric, number, list(nearest.limit(LIMIT).tuples()))
            within = nearest.where(Item.category == 1).limit(FILTERED)
            answered(metric, number, list(within.tuples()), filtered=True)
        statement, parameters = within.sql()
        scans([line for (line,) in db.execute_sql("EXPLAIN " + statement, parameters)], f"{column}_{metric}")
tried.done()
