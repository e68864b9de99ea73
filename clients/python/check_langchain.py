"""langchain-postgres: PGVectorStore with each of its distances, and PGVector, the older one."""

import uuid

from langchain_core.embeddings import Embeddings
from langchain_postgres import Column, PGEngine, PGVector, PGVectorStore
from langchain_postgres.v2.indexes import DistanceStrategy, HNSWIndex, HNSWQueryOptions, IVFFlatIndex
from shared import DIMENSIONS, FILTERED, ITEMS, LIMIT, QUERIES, Tried, answered, same
from sqlalchemy import create_engine, text

tried = Tried("langchain")


class Known(Embeddings):
    """The "embedding" of a text that is a row's or a query's name."""

    known = {f"item {row.id}": row.embedding for row in ITEMS} | {f"query {i}": query.embedding for i, query in enumerate(QUERIES)}

    def embed_documents(self, texts):
        return [self.known[text] for text in texts]

    def embed_query(self, text):
        return self.known[text]


TEXTS = [f"item {row.id}" for row in ITEMS]
METADATA = [{"number": row.id, "category": row.category} for row in ITEMS]


def numbers(documents):
    return [document.metadata["number"] for document in documents]


def search(store, metric):
    """Text, vector, with a filter, and by a retriever."""
    for number, query in enumerate(QUERIES):
        answered(metric, number, numbers(store.similarity_search(f"query {number}", k=LIMIT)))
        found = store.similarity_search_with_score_by_vector(query.embedding, k=LIMIT)
        answered(metric, number, numbers(document for document, _score in found))
        within = store.similarity_search(f"query {number}", k=FILTERED, filter={"category": {"$eq": 1}})
        answered(metric, number, numbers(within), filtered=True)
        answered(metric, number, numbers(store.as_retriever(search_kwargs={"k": LIMIT}).invoke(f"query {number}")))


engine = PGEngine.from_connection_string("postgresql+asyncpg://")
INDEXES = (
    ("l2", DistanceStrategy.EUCLIDEAN, HNSWIndex),
    ("cosine", DistanceStrategy.COSINE_DISTANCE, HNSWIndex),
    ("ip", DistanceStrategy.INNER_PRODUCT, IVFFlatIndex),
)
for metric, strategy, index in INDEXES:
    with tried(f"PGVectorStore, {metric}: extension and table"):
        engine.init_vectorstore_table(
            f"store_{metric}", DIMENSIONS, metadata_columns=[Column("number", "INTEGER"), Column("category", "INTEGER")]
        )
        store = PGVectorStore.create_sync(
            engine,
            embedding_service=Known(),
            table_name=f"store_{metric}",
            metadata_columns=["number", "category"],
            distance_strategy=strategy,
            index_query_options=HNSWQueryOptions(ef_search=400),
        )
    with tried(f"PGVectorStore, {metric}: texts are added, an index is applied"):
        store.add_texts(TEXTS[:200], METADATA[:200])
        store.apply_vector_index(index(name=f"index_{metric}", distance_strategy=strategy))
        same(store.is_valid_index(f"index_{metric}"), True)
        store.add_texts(TEXTS[200:], METADATA[200:])
    with tried(f"PGVectorStore, {metric}: searches"):
        search(store, metric)
    with tried(f"PGVectorStore, {metric}: the index is made anew"):
        store.reindex(f"index_{metric}")
        search(store, metric)

with tried("PGVectorStore: texts are deleted"):
    ids = [str(uuid.uuid4()) for _ in range(5)]
    store.add_texts(TEXTS[:5], METADATA[:5], ids=ids)
    store.delete(ids)
    search(store, "ip")

with tried("PGVector: a collection, and an index on its table"):
    store = PGVector(
        embeddings=Known(), connection="postgresql+psycopg://", collection_name="items", embedding_length=DIMENSIONS, use_jsonb=True
    )
    store.add_texts(TEXTS, METADATA)
    with create_engine("postgresql+psycopg://").begin() as connection:
        connection.execute(text("CREATE INDEX ON langchain_pg_embedding USING hnsw (embedding vector_cosine_ops)"))
with tried("PGVector: searches"):
    search(store, "cosine")
tried.done()
