-- what hnsw refuses, and with which error
CREATE TABLE herr (id int, v vector, w vector(3), n int);
SELECT outcome('CREATE INDEX ON herr USING hnsw (v vector_l2_ops)');
SELECT outcome('CREATE INDEX ON herr USING hnsw (n vector_l2_ops)');
SELECT outcome('CREATE INDEX ON herr USING hnsw (w)');
SELECT outcome('CREATE INDEX ON herr USING hnsw (w vector_l2_ops, w vector_ip_ops)');
SELECT outcome('CREATE UNIQUE INDEX ON herr USING hnsw (w vector_l2_ops)');
SELECT outcome('CREATE INDEX ON herr USING hnsw (w vector_l2_ops DESC)');
SELECT outcome('CREATE INDEX ON herr USING hnsw (w vector_l2_ops) INCLUDE (n)');
SELECT outcome('CREATE INDEX ON herr USING hnsw ((v::vector(16001)) vector_l2_ops)');
-- dimensions of rows and queries
CREATE INDEX herr_w ON herr USING hnsw (w vector_l2_ops);
SELECT outcome($$INSERT INTO herr (w) VALUES ('[1,2]')$$);
INSERT INTO herr (w) VALUES ('[1,2,3]');
SET enable_seqscan = off;
SELECT outcome($$SELECT w FROM herr ORDER BY w <-> '[1,2]'$$);
SELECT outcome($$SELECT w FROM herr ORDER BY w <-> '[1,2,3,4]' LIMIT 1$$);
-- the scan after an error
SELECT outcome($$SELECT w FROM herr ORDER BY w <-> '[1,2,3]' LIMIT 1$$);
-- elements so large that distances overflow
SELECT outcome($$INSERT INTO herr (w) VALUES ('[3e38,3e38,3e38]')$$);
SELECT outcome($$SELECT w FROM herr ORDER BY w <-> '[3e38,-3e38,3e38]' LIMIT 1$$);
SELECT count(*) FROM herr;
SELECT * FROM hnsw_check('herr_w');
-- operator classes that cannot work
SET client_min_messages = warning;
CREATE FUNCTION herr_distance(vector, vector) RETURNS float8 LANGUAGE sql IMMUTABLE STRICT
	AS 'SELECT 1::float8';
CREATE OPERATOR <&&> (LEFTARG = vector, RIGHTARG = vector, FUNCTION = herr_distance);
CREATE OPERATOR CLASS herr_unknown_ops FOR TYPE vector USING hnsw AS
	OPERATOR 1 <&&> (vector, vector) FOR ORDER BY float_ops,
	FUNCTION 1 herr_distance(vector, vector);
CREATE OPERATOR CLASS herr_missing_ops FOR TYPE vector USING hnsw AS
	OPERATOR 1 <&&> (vector, vector) FOR ORDER BY float_ops;
CREATE OPERATOR CLASS herr_wrong_ops FOR TYPE vector USING hnsw AS
	OPERATOR 2 <-> (vector, vector) FOR ORDER BY float_ops,
	OPERATOR 3 = (vector, vector),
	FUNCTION 1 vector_dims(vector),
	FUNCTION 3 herr_distance(vector, vector);
ALTER OPERATOR FAMILY herr_missing_ops USING hnsw ADD OPERATOR 2 < (vector, vector);
SELECT outcome('CREATE INDEX ON herr USING hnsw (w herr_unknown_ops)');
SELECT outcome('CREATE INDEX ON herr USING hnsw (w herr_missing_ops)');
SET client_min_messages = info;
SELECT opcname, amvalidate(c.oid) FROM pg_opclass AS c JOIN pg_am AS a ON a.oid = opcmethod
	WHERE amname = 'hnsw' AND opcname LIKE 'herr%' ORDER BY 1;
RESET client_min_messages;
DROP OPERATOR FAMILY herr_unknown_ops USING hnsw;
DROP OPERATOR FAMILY herr_missing_ops USING hnsw;
DROP OPERATOR FAMILY herr_wrong_ops USING hnsw;
DROP OPERATOR <&&> (vector, vector);
DROP FUNCTION herr_distance;
-- inspection of what is not an hnsw index
CREATE INDEX herr_n ON herr (n);
SELECT outcome($$SELECT hnsw_info('herr_n')$$);
SELECT outcome($$SELECT hnsw_check('herr_n')$$);
SELECT outcome($$SELECT hnsw_info('herr')$$);
SELECT outcome($$SELECT hnsw_info(1)$$);
CREATE TABLE herr_parted (n int, v vector(3)) PARTITION BY LIST (n);
CREATE TABLE herr_part PARTITION OF herr_parted FOR VALUES IN (1);
CREATE INDEX herr_parted_v ON herr_parted USING hnsw (v vector_l2_ops);
SELECT outcome($$SELECT hnsw_info('herr_parted_v')$$);
SELECT outcome($$SELECT hnsw_check('herr_parted_v')$$);
INSERT INTO herr_parted VALUES (1, '[1,2,3]');
SELECT live_nodes FROM hnsw_info('herr_part_v_idx');
SELECT * FROM hnsw_check('herr_part_v_idx');
-- rights: those on the table
CREATE ROLE regress_hnsw_reader;
SET ROLE regress_hnsw_reader;
SELECT outcome($$SELECT live_nodes FROM hnsw_info('herr_w')$$);
SELECT outcome($$SELECT count(*) FROM hnsw_check('herr_w')$$);
RESET ROLE;
GRANT SELECT ON herr TO regress_hnsw_reader;
SET ROLE regress_hnsw_reader;
SELECT outcome($$SELECT live_nodes FROM hnsw_info('herr_w')$$);
SELECT outcome($$SELECT count(*) FROM hnsw_check('herr_w')$$);
RESET ROLE;
REVOKE ALL ON herr FROM regress_hnsw_reader;
DROP ROLE regress_hnsw_reader;
DROP TABLE herr, herr_parted;
