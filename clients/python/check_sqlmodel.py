"""SQLModel with pgvector-python's types of SQLAlchemy."""

from typing import Any

from pgvector.sqlalchemy import BIT, HALFVEC, SPARSEVEC, VECTOR
from rows import METHODS, model_values
from shared import BITS, DIMENSIONS, FILTERED, INDEXES, ITEMS, LIMIT, QUERIES, Tried, answered, same
from sqlmodel import Field, Index, Session, SQLModel, create_engine, select, text

tried = Tried("sqlmodel")


class Item(SQLModel, table=True):
    __tablename__ = "items"
    __table_args__ = tuple(
        Index(f"{column}_{metric}", column, postgresql_using="hnsw", postgresql_ops={column: f"{kind}_{metric}_ops"})
        for column, kind, metric in INDEXES
    )

    id: int = Field(primary_key=True)
    category: int
    embedding: Any = Field(sa_type=VECTOR(DIMENSIONS))
    half: Any = Field(sa_type=HALFVEC(DIMENSIONS))
    sparse: Any = Field(sa_type=SPARSEVEC(DIMENSIONS))
    bits: Any = Field(sa_type=BIT(BITS))


engine = create_engine("postgresql+psycopg://")
with tried("extension, table and indexes from the model"):
    with Session(engine) as session:
        session.exec(text("CREATE EXTENSION IF NOT EXISTS vector"))
        session.commit()
    SQLModel.metadata.create_all(engine)
with tried("objects are inserted, and read as they were"), Session(engine) as session:
    session.add_all(Item(id=row.id, category=row.category, **model_values(row)) for row in ITEMS)
    session.commit()
    same([list(item.embedding) for item in session.exec(select(Item).order_by(Item.id))], [row.embedding for row in ITEMS])
for column, _kind, metric in INDEXES:
    with tried(f"search {column} {metric}"), Session(engine) as session:
        for number, query in enumerate(QUERIES):
            distance = getattr(getattr(Item, column), METHODS[metric])(model_values(query)[column])
            answered(metric, number, [item.id for item in session.exec(select(Item).order_by(distance).limit(LIMIT))])
            within = select(Item.id, distance).where(Item.category == 1).order_by(distance).limit(FILTERED)
            answered(metric, number, [tuple(row) for row in session.exec(within)], filtered=True)
tried.done()
