"""SQLAlchemy with pgvector-python: a model with its indexes, over three drivers."""

import asyncio

from pgvector.sqlalchemy import BIT, HALFVEC, SPARSEVEC, VECTOR, avg
from rows import METHODS, model_values
from shared import BITS, DIMENSIONS, FILTERED, INDEXES, ITEMS, LIMIT, QUERIES, Tried, answered, same, scans
from sqlalchemy import Column, Index, Integer, MetaData, Table, create_engine, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

tried = Tried("sqlalchemy")


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"

    id = mapped_column(Integer, primary_key=True)
    category = mapped_column(Integer)
    embedding = mapped_column(VECTOR(DIMENSIONS))
    half = mapped_column(HALFVEC(DIMENSIONS))
    sparse = mapped_column(SPARSEVEC(DIMENSIONS))
    bits = mapped_column(BIT(BITS))


for column, kind, metric in INDEXES:
    Index(
        f"{column}_{metric}",
        getattr(Item, column),
        postgresql_using="hnsw",
        postgresql_with={"m": 16, "ef_construction": 64},
        postgresql_ops={column: f"{kind}_{metric}_ops"},
    )


def record(row):
    return {"id": row.id, "category": row.category, **model_values(row)}


def nearest(column, metric, query):
    """The statement: id and distance of the nearest rows."""
    distance = getattr(getattr(Item, column), METHODS[metric])(model_values(query)[column])
    return select(Item.id, distance.label("distance")).order_by(distance)


def search(session, column, metric, driver):
    for number, query in enumerate(QUERIES):
        statement = nearest(column, metric, query)
        answered(metric, number, [tuple(row) for row in session.execute(statement.limit(LIMIT))])
        within = statement.where(Item.category == 1).limit(FILTERED)
        answered(metric, number, [tuple(row) for row in session.execute(within)], filtered=True)
    if driver == "psycopg" and metric not in ("hamming", "jaccard"):
        literal = within.compile(session.get_bind(), compile_kwargs={"literal_binds": True})
        scans([line for (line,) in session.execute(text(f"EXPLAIN {literal}".replace(":", "\\:")))], f"{column}_{metric}")


for driver in "psycopg", "psycopg2":
    engine = create_engine(f"postgresql+{driver}://")
    with tried(f"{driver}: extension, table and indexes from the model"):
        with engine.begin() as connection:
            connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
        Base.metadata.drop_all(engine)
        Base.metadata.create_all(engine)
    with tried(f"{driver}: objects and rows are inserted"), Session(engine) as session:
        session.add_all(Item(**record(row)) for row in ITEMS[:50])
        session.commit()
        session.execute(insert(Item), [record(row) for row in ITEMS[50:]])
        session.commit()
    with tried(f"{driver}: what is read is what was written"), Session(engine) as session:
        for item, row in zip(session.scalars(select(Item).order_by(Item.id)), ITEMS):
            same([item.id, item.category, list(item.embedding), item.bits], [row.id, row.category, row.embedding, row.bits])
            same([item.half, item.sparse.to_list()], [row.embedding, row.embedding])
    for column, _kind, metric in INDEXES:
        with tried(f"{driver}: search {column} {metric}"), Session(engine) as session:
            search(session, column, metric, driver)
    with tried(f"{driver}: rows within a distance, avg"), Session(engine) as session:
        near = Item.embedding.l2_distance(QUERIES[0].embedding)
        within = session.scalars(select(Item.id).where(near < 5).order_by(near)).all()
        answered("l2", 0, list(within[:3]) + [row[0] for row in session.execute(nearest("embedding", "l2", QUERIES[0]).offset(3).limit(LIMIT - 3))])
        same(len(session.scalar(select(avg(Item.embedding)))), DIMENSIONS)
        same(session.scalar(select(func.vector_dims(Item.embedding)).limit(1)), DIMENSIONS)
    with tried(f"{driver}: the table as the database has it"):
        seen = Table("items", MetaData(), autoload_with=engine)
        same([str(seen.c[name].type) for name in ("embedding", "half", "sparse")], ["VECTOR(8)", "HALFVEC(8)", "SPARSEVEC(8)"])
        same({index.name for index in seen.indexes}, {f"{column}_{metric}" for column, _kind, metric in INDEXES})
        assert isinstance(seen.c.id, Column)
    engine.dispose()


async def with_asyncpg():
    engine = create_async_engine("postgresql+asyncpg://")
    async with AsyncSession(engine) as session:
        for column, _kind, metric in INDEXES:
            with tried(f"asyncpg: search {column} {metric}"):
                for number, query in enumerate(QUERIES):
                    found = await session.execute(nearest(column, metric, query).limit(LIMIT))
                    answered(metric, number, [tuple(row) for row in found])
    await engine.dispose()


asyncio.run(with_asyncpg())
tried.done()
