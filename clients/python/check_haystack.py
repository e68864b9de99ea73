"""pgvector-haystack: vector and halfvec, each metric it has."""

import os

from haystack import Document
from haystack.document_stores.types import DuplicatePolicy
from haystack.utils import Secret
from haystack_integrations.components.retrievers.pgvector import PgvectorEmbeddingRetriever
from haystack_integrations.document_stores.pgvector import PgvectorDocumentStore
from shared import DIMENSIONS, FILTERED, ITEMS, LIMIT, QUERIES, Tried, answered, same

tried = Tried("haystack")
os.environ["PG_CONN_STR"] = "dbname=" + os.environ["PGDATABASE"]


def document(row):
    return Document(id=str(row.id), content=f"item {row.id}", embedding=row.embedding, meta={"category": row.category})


def ids(found):
    return [int(each.id) for each in found["documents"]]


FUNCTIONS = {"l2": "l2_distance", "ip": "inner_product", "cosine": "cosine_similarity"}
CATEGORY = {"field": "meta.category", "operator": "==", "value": 1}

for kind in "vector", "halfvec":
    for metric, function in FUNCTIONS.items():
        with tried(f"{kind} {metric}: extension, table and index by themselves; documents are written"):
            store = PgvectorDocumentStore(
                connection_string=Secret.from_env_var("PG_CONN_STR"),
                table_name=f"documents_{kind}_{metric}",
                embedding_dimension=DIMENSIONS,
                vector_type=kind,
                vector_function=function,
                search_strategy="hnsw",
                hnsw_index_name=f"hnsw_{kind}_{metric}",
                keyword_index_name=f"words_{kind}_{metric}",
                hnsw_index_creation_kwargs={"m": 16, "ef_construction": 64},
                hnsw_ef_search=400,
            )
            store.write_documents([document(row) for row in ITEMS])
            store.write_documents([document(row) for row in ITEMS[:20]], policy=DuplicatePolicy.OVERWRITE)
            same(store.count_documents(), len(ITEMS))
        with tried(f"{kind} {metric}: searches, with a filter and without"):
            retriever = PgvectorEmbeddingRetriever(document_store=store)
            for number, query in enumerate(QUERIES):
                answered(metric, number, ids(retriever.run(query.embedding, top_k=LIMIT)))
                answered(metric, number, ids(retriever.run(query.embedding, top_k=FILTERED, filters=CATEGORY)), filtered=True)
        with tried(f"{kind} {metric}: documents are deleted and written again"):
            store.delete_documents([str(row.id) for row in ITEMS[:50]])
            store.write_documents([document(row) for row in ITEMS[:50]])
            for number, query in enumerate(QUERIES):
                answered(metric, number, ids(retriever.run(query.embedding, top_k=LIMIT)))
tried.done()
