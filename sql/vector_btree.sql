-- The order of vectors: sorting, btree indexes, and what the planner makes of them.
\pset format unaligned
\pset tuples_only on
CREATE TABLE ordered (v vector);
INSERT INTO ordered VALUES ('[0,0,0]'), ('[1,2,3]'), ('[1,1,1]'), (NULL), ('[1,2]'), ('[1,2,4]'), ('[-1]'), ('[-0,0,0]'), ('[1,2,3]');
SELECT v FROM ordered ORDER BY v;
SELECT v FROM ordered ORDER BY v DESC NULLS LAST;
SELECT v, count(*) FROM ordered WHERE v > '[0,0,0]' GROUP BY v ORDER BY v;
SELECT DISTINCT v FROM ordered WHERE v >= '[1,2]' ORDER BY v;
CREATE INDEX ordered_v ON ordered (v);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM ordered WHERE v = '[1,2,3]';
SELECT * FROM ordered WHERE v = '[1,2,3]';
SELECT * FROM ordered WHERE v = '[0,0,0]' ORDER BY v;
SELECT * FROM ordered WHERE v < '[1,2]' ORDER BY v;
SELECT * FROM ordered WHERE v <= '[1,2]' ORDER BY v;
SELECT * FROM ordered WHERE v >= '[1,2]' ORDER BY v;
SELECT * FROM ordered WHERE v > '[1,2]' ORDER BY v;
SELECT * FROM ordered WHERE v BETWEEN '[1]' AND '[1,2,3]' ORDER BY v;
EXPLAIN (COSTS OFF) SELECT v FROM ordered ORDER BY v LIMIT 1;
RESET enable_seqscan;
RESET enable_bitmapscan;
-- no equality by hashing: equal values need not have equal bytes
SELECT count(*) FROM pg_opclass AS c JOIN pg_am AS a ON a.oid = c.opcmethod WHERE a.amname = 'hash' AND c.opcintype = 'vector'::regtype;
-- uniqueness
CREATE TABLE keyed (v vector(2) PRIMARY KEY);
INSERT INTO keyed VALUES ('[1,2]'), ('[1,3]'), ('[0,0]');
SELECT outcome('INSERT INTO keyed VALUES (''[1,2]'') RETURNING v');
SELECT outcome('INSERT INTO keyed VALUES (''[0,-0]'') RETURNING v');
INSERT INTO keyed VALUES ('[1,3]'), ('[1,4]') ON CONFLICT DO NOTHING;
SELECT v FROM keyed ORDER BY v;
-- joins
SELECT count(*) FROM ordered AS a JOIN ordered AS b ON a.v = b.v;
SELECT count(*) FROM ordered AS a JOIN ordered AS b ON a.v < b.v;
DROP TABLE keyed, ordered;
-- sorting as element-wise comparison of arrays does, for many rows and values out of line
CREATE TABLE sorted AS SELECT i, ARRAY[(i * 7919) % 13, (i * 104729) % 101, i % 5]::real[] AS a FROM generate_series(1, 5000) AS i;
SELECT count(*) FROM (SELECT row_number() OVER (ORDER BY a::vector, i) AS r1, row_number() OVER (ORDER BY a, i) AS r2 FROM sorted) AS t WHERE r1 <> r2;
DROP TABLE sorted;
CREATE TABLE large AS SELECT i, (array_fill(0.5::real, ARRAY[1535]) || (i % 50)::real)::vector AS v FROM generate_series(1, 500) AS i;
SELECT count(DISTINCT v), min(i) FILTER (WHERE v = (array_fill(0.5::real, ARRAY[1535]) || 7::real)::vector) FROM large;
SELECT count(*) FROM (SELECT v < lead(v) OVER (ORDER BY v) AS up, v = lead(v) OVER (ORDER BY v) AS same FROM large) AS t WHERE up OR same;
DROP TABLE large;
-- the operator class is complete
SELECT amvalidate(c.oid), opcname, opcdefault FROM pg_opclass AS c JOIN pg_am AS a ON a.oid = c.opcmethod WHERE a.amname = 'btree' AND c.opcintype = 'vector'::regtype;
