-- The access method ivfflat: an hnsw index by another name.
\pset format unaligned
\pset tuples_only on
SELECT setseed(0.5);
-- before the first use a setting may be anything, as any other library's
SET ivfflat.probes = 10;
CREATE TABLE items (id serial PRIMARY KEY, v vector(8));
INSERT INTO items (v) SELECT random_vector(8) FROM generate_series(1, 2000);
CREATE INDEX items_l2 ON items USING ivfflat (v vector_l2_ops) WITH (lists = 100);
SHOW ivfflat.probes;
-- the default class; options of the graph
CREATE INDEX items_default ON items USING ivfflat (v) WITH (lists = 32768, m = 8, ef_construction = 40);
CREATE INDEX items_ip ON items USING ivfflat (v vector_ip_ops);
CREATE INDEX items_cosine ON items USING ivfflat (v vector_cosine_ops) WITH (lists = 1);
INSERT INTO items (v) SELECT random_vector(8) FROM generate_series(1, 200);
DELETE FROM items WHERE id % 7 = 0;
VACUUM ANALYZE items;
SELECT index, metric, m, ef_construction, heap_tids = (SELECT count(*) FROM items), (SELECT count(*) FROM hnsw_check(index))
	FROM unnest(ARRAY['items_l2', 'items_default', 'items_ip', 'items_cosine']::regclass[]) AS index, hnsw_info(index);
SELECT indexdef FROM pg_indexes WHERE tablename = 'items' ORDER BY 1;
-- what a search does is hnsw's: exact with much effort, all rows that are asked for, bounds
SET hnsw.ef_search = 1000;
DROP INDEX items_default;
SELECT index_agrees(format('SELECT v %s ''[0.1,0.2,-0.3,0.4,0,0,0.5,-0.1]'' FROM items ORDER BY 1 LIMIT %s', op, n)) FROM (VALUES ('<->'), ('<#>'), ('<=>')) AS o (op), (VALUES (1), (100), (2000)) AS l (n);
SELECT index_agrees('SELECT v <-> ''[0.1,0.2,-0.3,0.4,0,0,0.5,-0.1]'' FROM items WHERE id < 50 ORDER BY 1 LIMIT 10');
SET enable_seqscan = off;
EXPLAIN (COSTS off) SELECT id FROM items ORDER BY v <=> '[0.1,0.2,-0.3,0.4,0,0,0.5,-0.1]' LIMIT 5;
EXPLAIN (COSTS off) SELECT id FROM items WHERE v <-> '[0.1,0.2,-0.3,0.4,0,0,0.5,-0.1]' < 0.4 ORDER BY v <-> '[0.1,0.2,-0.3,0.4,0,0,0.5,-0.1]';
-- of which settings of ivfflat say nothing
CREATE FUNCTION found() RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(id::text, ' ') FROM (SELECT id FROM items ORDER BY v <-> '[0.1,0.2,-0.3,0.4,0,0,0.5,-0.1]' LIMIT 50) AS s $$;
SELECT found() AS few \gset
SET ivfflat.probes = 32768;
SET ivfflat.iterative_scan = relaxed_order;
SET ivfflat.max_probes = 1;
SELECT found() = :'few';
RESET enable_seqscan;
SELECT name, setting, vartype, min_val, max_val, enumvals, boot_val, context FROM pg_settings WHERE name LIKE 'ivfflat.%' ORDER BY name;
SELECT name, value, outcome(format('SELECT set_config(%L, %L, false)', name, value)) FROM (VALUES ('ivfflat.probes', '0'), ('ivfflat.probes', '32769'), ('ivfflat.max_probes', '0'), ('ivfflat.max_probes', '32769'),
	('ivfflat.iterative_scan', 'strict_order'), ('ivfflat.iterative_scan', 'off'), ('ivfflat.probes', '7')) AS t (name, value);
SELECT left(outcome('SELECT set_config(''ivfflat.lists'', ''3'', false)'), 5);
-- options
SELECT o, outcome(format('CREATE INDEX ON items USING ivfflat (v vector_l2_ops) WITH (%s)', o)) FROM (VALUES ('lists = 0'), ('lists = 32769'), ('lists = x'), ('m = 1'), ('probes = 3')) AS t (o);
SELECT outcome('CREATE INDEX ON items USING hnsw (v vector_l2_ops) WITH (lists = 3)');
SELECT outcome('CREATE INDEX ON items USING ivfflat (v vector_l1_ops)');
ALTER INDEX items_l2 SET (lists = 7);
ALTER INDEX items_l2 SET (m = 24);
-- no notice when it is built again
REINDEX INDEX items_l2;
VACUUM FULL items;
SELECT m FROM hnsw_info('items_l2');
SELECT indexrelname, scans > 0 FROM pg_stat_vectorx_indexes WHERE relname = 'items' ORDER BY 1;
-- empty, unlogged, partitioned, concurrently, an expression
CREATE UNLOGGED TABLE unlogged_items (v vector(3));
CREATE INDEX ON unlogged_items USING ivfflat (v);
CREATE TABLE parts (id int, v vector(3)) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE INDEX ON parts USING ivfflat (v vector_cosine_ops) WITH (lists = 5);
CREATE INDEX CONCURRENTLY ON unlogged_items USING ivfflat ((v::vector(3)) vector_ip_ops);
SELECT c.relname, am.amname, c.relkind, c.reloptions FROM pg_class AS c JOIN pg_am AS am ON am.oid = c.relam WHERE c.relname ~ '^(unlogged_items|parts|part1)' AND c.relkind IN ('i', 'I') ORDER BY 1;
-- halfvec
CREATE TABLE halves (id serial PRIMARY KEY, v halfvec(8));
INSERT INTO halves (v) SELECT random_vector(8) FROM generate_series(1, 500);
CREATE INDEX halves_l2 ON halves USING ivfflat (v halfvec_l2_ops) WITH (lists = 10);
CREATE INDEX halves_ip ON halves USING ivfflat (v halfvec_ip_ops);
CREATE INDEX halves_cosine ON halves USING ivfflat (v halfvec_cosine_ops);
SELECT index_agrees(format('SELECT v %s ''[0.1,0.2,-0.3,0.4,0,0,0.5,-0.1]'' FROM halves ORDER BY 1 LIMIT %s', op, n)) FROM (VALUES ('<->'), ('<#>'), ('<=>')) AS o (op), (VALUES (1), (100), (2000)) AS l (n);
DROP TABLE halves;
-- the operator classes are sound
SELECT opcname, opcdefault, amvalidate(c.oid) FROM pg_opclass AS c JOIN pg_am AS a ON a.oid = opcmethod WHERE amname = 'ivfflat' ORDER BY 1;
DROP FUNCTION found;
DROP TABLE items, unlogged_items, parts;
