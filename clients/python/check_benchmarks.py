"""What benchmarks of vector databases send, VectorDBBench and ann-benchmarks, with psycopg.

The statements of both, in their order and spelling: identifiers and numbers in quotes
where they have them, settings before anything else in a session.
"""

import threading

import numpy as np
import psycopg
from pgvector.psycopg import register_vector
from psycopg import sql
from shared import Tried, same, scans

tried = Tried("benchmarks")

ROWS, DIMENSIONS, LIMIT, QUERIES = 2000, 768, 10, 20
random = np.random.default_rng(7)
centres = random.standard_normal((40, DIMENSIONS))
vectors = (centres[random.integers(40, size=ROWS + QUERIES)] + random.standard_normal((ROWS + QUERIES, DIMENSIONS))).astype(np.float32)
rows, queries = vectors[:ROWS], vectors[ROWS:]
TABLE = sql.Identifier("vdb_bench")


def exact(query, metric, first=0):
    """The ids of the nearest rows from the id "first" on."""
    part = rows[first:]
    if metric == "l2":
        distances = ((part - query) ** 2).sum(axis=1)
    else:
        distances = -(part @ query) / np.linalg.norm(part, axis=1)
    return set(np.argsort(distances)[:LIMIT] + first)


def recall(search, metric, least, **of):
    """Fails if searches find too few of the nearest rows, or not as many rows as they are to."""
    found = 0
    for query in queries:
        ids = [row[0] for row in search(query)]
        same(len(ids), LIMIT)
        found += len(exact(query, metric, **of).intersection(ids))
    if found < least * LIMIT * QUERIES:
        raise AssertionError(f"recall {found / LIMIT / QUERIES:.3f}, not {least}")


def connect(*settings):
    """A session whose first statements are settings."""
    db = psycopg.connect(autocommit=True)
    for name, value in settings:
        db.execute(sql.SQL("SET {} = {}").format(sql.Identifier(name), sql.Identifier(value)))
    register_vector(db)
    return db


def plan(db, statement, parameters):
    return [line for (line,) in db.execute("EXPLAIN " + statement, parameters).fetchall()]


# ---- VectorDBBench

db = psycopg.connect()
with tried("VectorDBBench: extension, table, storage"):
    db.execute("CREATE EXTENSION IF NOT EXISTS vector")
    db.commit()
    register_vector(db)
    db.execute(sql.SQL("DROP TABLE IF EXISTS public.{}").format(TABLE))
    db.execute(sql.SQL("CREATE TABLE IF NOT EXISTS public.{} (id BIGINT PRIMARY KEY, embedding vector({}))").format(TABLE, DIMENSIONS))
    db.execute(sql.SQL("ALTER TABLE public.{} ALTER COLUMN embedding SET STORAGE PLAIN").format(TABLE))
    db.commit()
with tried("VectorDBBench: COPY ... BINARY"):
    with db.cursor().copy(sql.SQL("COPY public.{} FROM STDIN (FORMAT BINARY)").format(TABLE)) as copy:
        copy.set_types(["bigint", "vector"])
        for i, vector in enumerate(rows):
            copy.write_row((i, vector))
    db.commit()
with tried("VectorDBBench: settings of a build, for the session, the user and the table"):
    for setting, value in ("maintenance_work_mem", "256MB"), ("max_parallel_maintenance_workers", "2"):
        name = sql.Identifier(setting)
        db.execute(sql.SQL("SET {} TO {}").format(name, value))
        db.execute(sql.SQL("ALTER USER {} SET {} TO {}").format(sql.Identifier(db.info.user), name, value))
    db.execute(sql.SQL("ALTER TABLE public.{} SET (parallel_workers = 2)").format(TABLE))
    db.commit()
    same(db.execute("SHOW max_parallel_maintenance_workers").fetchone()[0], "2")


def create(index, expression, operators, **options):
    """CREATE INDEX as it has it; all of its options are names in quotes and strings."""
    given = sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(name), str(value)) for name, value in options.items())
    statement = sql.SQL("CREATE INDEX IF NOT EXISTS {} ON public.{} USING {} ({} {}) WITH ({})")
    db.execute(statement.format(sql.Identifier(index), TABLE, sql.Identifier("hnsw"), sql.SQL(expression), sql.Identifier(operators), given))
    db.commit()


HALF = f"(embedding::halfvec({DIMENSIONS}))"
BINARY = f"(binary_quantize(embedding)::bit({DIMENSIONS}))"
NEAREST = f"SELECT id FROM public.vdb_bench ORDER BY embedding <=> %s::vector({DIMENSIONS}) LIMIT %s::int"
OF_HALVES = f"SELECT id FROM public.vdb_bench ORDER BY {HALF} <=> %s::halfvec({DIMENSIONS}) LIMIT %s::int"
FILTERED = NEAREST.replace("ORDER BY", "WHERE id >= %s ORDER BY")
RERANKED = (
    f"SELECT i.id FROM (SELECT id, embedding FROM public.vdb_bench ORDER BY {BINARY} <~> "
    f"binary_quantize(%s::vector({DIMENSIONS}))::bit({DIMENSIONS}) LIMIT %s::int) i "
    f"ORDER BY i.embedding <=> %s::vector({DIMENSIONS}) LIMIT %s::int"
)

with tried('VectorDBBench: WITH ("m" = \'16\', "ef_construction" = \'64\')'):
    create("vdb_hnsw", "embedding", "vector_cosine_ops", m=16, ef_construction=64)
    create("vdb_hnsw", "embedding", "vector_cosine_ops", m=16, ef_construction=64)
with tried("VectorDBBench: an index of halfvec"):
    create("vdb_half", HALF, "halfvec_cosine_ops", m=16, ef_construction=128)
with tried("VectorDBBench: an index of bits"):
    create("vdb_bits", BINARY, "bit_hamming_ops", m=16, ef_construction=64)
db.close()

for mode in "off", "strict_order", "relaxed_order":
    with tried(f'VectorDBBench: SET "hnsw.iterative_scan" = "{mode}" first, a search'):
        with connect(("hnsw.iterative_scan", mode), ("hnsw.ef_search", "200")) as db, db.cursor() as cursor:
            recall(lambda q: cursor.execute(NEAREST, (q, LIMIT), prepare=True, binary=True).fetchall(), "cosine", 0.99)
            scans(plan(db, NEAREST, (queries[0], LIMIT)), "vdb_hnsw")
            same(db.execute("SHOW hnsw.iterative_scan").fetchone()[0], mode)
with connect(("hnsw.ef_search", "200")) as db, db.cursor() as cursor:
    with tried("VectorDBBench: half of the rows filtered"):
        recall(lambda q: cursor.execute(FILTERED, (1000, q, LIMIT), prepare=True, binary=True).fetchall(), "cosine", 0.98, first=1000)
    with tried("VectorDBBench: 99 in 100 rows filtered"):
        recall(lambda q: cursor.execute(FILTERED, (1980, q, LIMIT), prepare=True, binary=True).fetchall(), "cosine", 0.9, first=1980)
    with tried("VectorDBBench: a search of halves"):
        recall(lambda q: cursor.execute(OF_HALVES, (q, LIMIT), prepare=True, binary=True).fetchall(), "cosine", 0.99)
        scans(plan(db, OF_HALVES, (queries[0], LIMIT)), "vdb_half")
    with tried("VectorDBBench: a search of bits, reranked"):
        recall(lambda q: cursor.execute(RERANKED, (q, 200, q, LIMIT), prepare=True, binary=True).fetchall(), "cosine", 0.9)
        scans(plan(db, RERANKED, (queries[0], 200, queries[0], LIMIT)), "vdb_bits")

# ---- ann-benchmarks

ran = threading.Event()
seen = set()


def watch():
    """Another session, which reads how far CREATE INDEX is."""
    with psycopg.connect(autocommit=True) as other:
        while not ran.wait(0.002):
            seen.update(other.execute(
                "SELECT phase, round(100.0 * blocks_done / nullif(blocks_total, 0), 1), tuples_done, tuples_total "
                "FROM pg_stat_progress_create_index"
            ).fetchall())


db = psycopg.connect(autocommit=True)
register_vector(db)
with tried("ann-benchmarks: table, storage, COPY in binary form"):
    db.execute("DROP TABLE IF EXISTS items")
    db.execute(f"CREATE TABLE items (id int, embedding vector({DIMENSIONS}))")
    db.execute("ALTER TABLE items ALTER COLUMN embedding SET STORAGE PLAIN")
    with db.cursor().copy("COPY items (id, embedding) FROM STDIN WITH (FORMAT BINARY)") as copy:
        copy.set_types(["int4", "vector"])
        for i, vector in enumerate(rows):
            copy.write_row((i, vector))
with tried("ann-benchmarks: CREATE INDEX, its progress read beside it"):
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        db.execute("SET maintenance_work_mem = '256MB'")
        db.execute("CREATE INDEX ON items USING hnsw (embedding vector_l2_ops) WITH (m = 16, ef_construction = 200)")
    finally:
        ran.set()
        watcher.join()
    phases = {phase for phase, *_numbers in seen}
    if not any("loading tuples" in phase or "linking nodes" in phase for phase in phases):
        raise AssertionError(f"phases seen: {phases}")
    for _phase, share, done, total in seen:
        if (share or 0) > 100 or (total and done > total):
            raise AssertionError(f"further than the end: {seen}")
with tried("ann-benchmarks: searches"):
    nearest = "SELECT id FROM items ORDER BY embedding <-> %s LIMIT %s"
    with db.cursor() as cursor:
        for ef_search, least in (10, 0.7), (40, 0.9), (200, 0.99):
            db.execute(f"SET hnsw.ef_search = {ef_search}")
            recall(lambda q: cursor.execute(nearest, (q, LIMIT), binary=True, prepare=True).fetchall(), "l2", least)
    scans(plan(db, nearest, (queries[0], LIMIT)), "items_embedding_idx")
with tried("ann-benchmarks: the index's size"):
    assert db.execute("SELECT pg_relation_size('items_embedding_idx')").fetchone()[0] > ROWS * DIMENSIONS
with tried("what was set for the user, in a later session"):
    with psycopg.connect() as later:
        same(later.execute("SHOW maintenance_work_mem").fetchone()[0], "256MB")
db.execute("ALTER USER CURRENT_USER RESET ALL")
tried.done()
