"""llama-index-vector-stores-postgres: vector and halfvec, each metric it has."""

from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters, VectorStoreQuery
from llama_index.vector_stores.postgres import PGVectorStore
from shared import DIMENSIONS, FILTERED, ITEMS, LIMIT, QUERIES, Tried, answered

tried = Tried("llama_index")


def node(row):
    return TextNode(id_=str(row.id), text=f"item {row.id}", embedding=row.embedding, metadata={"category": row.category})


def ids(result):
    return [int(each) for each in result.ids]


CATEGORY = MetadataFilters(filters=[MetadataFilter(key="category", value=1)])

# It orders by cosine distance, whatever its index is for.
for kind, half in ("vector", False), ("halfvec", True):
    with tried(f"{kind}: extension, table and index by themselves; nodes are added"):
        store = PGVectorStore.from_params(
            connection_string="postgresql+psycopg2://",
            async_connection_string="postgresql+asyncpg://",
            table_name=f"nodes_{kind}",
            embed_dim=DIMENSIONS,
            use_halfvec=half,
            use_jsonb=True,
            hnsw_kwargs={
                "hnsw_m": 16, "hnsw_ef_construction": 64, "hnsw_ef_search": 400, "hnsw_dist_method": f"{kind}_cosine_ops",
            },
        )
        store.add([node(row) for row in ITEMS])
    with tried(f"{kind}: searches"):
        for number, query in enumerate(QUERIES):
            asked = VectorStoreQuery(query_embedding=query.embedding, similarity_top_k=LIMIT)
            answered("cosine", number, ids(store.query(asked)))
    with tried(f"{kind}: searches with a filter"):
        for number, query in enumerate(QUERIES):
            asked = VectorStoreQuery(query_embedding=query.embedding, similarity_top_k=FILTERED, filters=CATEGORY)
            answered("cosine", number, ids(store.query(asked)), filtered=True)
    with tried(f"{kind}: nodes are deleted and added again"):
        store.delete_nodes([str(row.id) for row in ITEMS[:50]])
        store.add([node(row) for row in ITEMS[:50]])
        for number, query in enumerate(QUERIES):
            asked = VectorStoreQuery(query_embedding=query.embedding, similarity_top_k=LIMIT)
            answered("cosine", number, ids(store.query(asked)))
tried.done()
