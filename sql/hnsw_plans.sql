-- when the planner takes an hnsw index
SELECT setseed(0.5);
CREATE TABLE hplan (id int, v vector(8), kind int);
INSERT INTO hplan SELECT i, random_vector(8), i % 10 FROM generate_series(1, 20000) AS i;
CREATE INDEX hplan_v ON hplan USING hnsw (v vector_l2_ops) WITH (ef_construction = 16);
VACUUM ANALYZE hplan;
-- the nearest rows
EXPLAIN (COSTS OFF) SELECT id FROM hplan ORDER BY v <-> '[1,2,3,4,5,6,7,8]' LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM hplan WHERE kind = 3 ORDER BY v <-> '[1,2,3,4,5,6,7,8]' LIMIT 3;
EXPLAIN (COSTS OFF) SELECT a.id, n.id FROM (SELECT * FROM hplan WHERE id < 3) AS a,
	LATERAL (SELECT id FROM hplan ORDER BY v <-> a.v LIMIT 3) AS n;
-- all rows: a scan returns hnsw.ef_search only
EXPLAIN (COSTS OFF) SELECT id FROM hplan ORDER BY v <-> '[1,2,3,4,5,6,7,8]';
-- no order, another order, another direction, another operator
EXPLAIN (COSTS OFF) SELECT id FROM hplan LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM hplan ORDER BY id LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM hplan ORDER BY v <-> '[1,2,3,4,5,6,7,8]' DESC LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM hplan ORDER BY v <#> '[1,2,3,4,5,6,7,8]' LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM hplan WHERE v <-> '[1,2,3,4,5,6,7,8]' < 1;
EXPLAIN (COSTS OFF) SELECT count(*) FROM hplan;
-- without another way it still cannot serve what it is not for
SET enable_seqscan = off;
SELECT count(*) FROM hplan;
RESET enable_seqscan;
DROP INDEX hplan_v;
-- partial
CREATE INDEX hplan_v ON hplan USING hnsw (v vector_l2_ops) WITH (ef_construction = 16)
	WHERE kind = 3;
ANALYZE hplan;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM hplan WHERE kind = 3 ORDER BY v <-> '[1,2,3,4,5,6,7,8]' LIMIT 3;
RESET enable_seqscan;
EXPLAIN (COSTS OFF) SELECT id FROM hplan WHERE kind = 4 ORDER BY v <-> '[1,2,3,4,5,6,7,8]' LIMIT 3;
SET hnsw.ef_search = 2000;
SELECT index_agrees($$SELECT v <-> '[0,0,0,0,0,0,0,0]' FROM hplan WHERE kind = 3 ORDER BY 1 LIMIT 50$$);
SELECT * FROM hnsw_check('hplan_v');
DROP INDEX hplan_v;
DELETE FROM hplan WHERE id > 1000;
-- an expression; its vectors have no column of their own
CREATE INDEX hplan_v ON hplan USING hnsw (((v + v)::vector(8)) vector_l2_ops);
VACUUM ANALYZE hplan;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM hplan ORDER BY (v + v)::vector(8) <-> '[0,0,0,0,0,0,0,0]' LIMIT 3;
RESET enable_seqscan;
SELECT index_agrees($$SELECT (v + v)::vector(8) <-> '[0,0,0,0,0,0,0,0]' FROM hplan ORDER BY 1 LIMIT 50$$);
INSERT INTO hplan SELECT i, random_vector(8), i % 10 FROM generate_series(1001, 1500) AS i;
SELECT index_agrees($$SELECT (v + v)::vector(8) <-> '[0,0,0,0,0,0,0,0]' FROM hplan ORDER BY 1 LIMIT 50$$);
SELECT * FROM hnsw_check('hplan_v');
-- an array's cast, with vectors of several lengths behind it
CREATE TABLE hplan_array (id serial, a real[]);
INSERT INTO hplan_array (a) VALUES ('{1,2,3}'), ('{4,5,6}'), ('{1,2}');
CREATE INDEX hplan_array_v ON hplan_array USING hnsw ((a::vector(3)) vector_l2_ops)
	WHERE array_length(a, 1) = 3;
SELECT index_agrees($$SELECT id FROM hplan_array WHERE array_length(a, 1) = 3
	ORDER BY a::vector(3) <-> '[4,4,4]' LIMIT 3$$);
DROP TABLE hplan, hplan_array;
