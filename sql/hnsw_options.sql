-- storage parameters and settings of hnsw
\set VERBOSITY sqlstate
CREATE TABLE hopt (id serial PRIMARY KEY, v vector(3));
CREATE INDEX ON hopt USING hnsw (v vector_l2_ops) WITH (m = 1);
CREATE INDEX ON hopt USING hnsw (v vector_l2_ops) WITH (m = 101);
CREATE INDEX ON hopt USING hnsw (v vector_l2_ops) WITH (ef_construction = 3);
CREATE INDEX ON hopt USING hnsw (v vector_l2_ops) WITH (ef_construction = 1001);
CREATE INDEX ON hopt USING hnsw (v vector_l2_ops) WITH (sketch_bits = 3);
CREATE INDEX ON hopt USING hnsw (v vector_l2_ops) WITH (own_vector = fp64);
CREATE INDEX ON hopt USING hnsw (v vector_l2_ops) WITH (lists = 10);
CREATE INDEX ON hopt USING hnsw (v vector_l2_ops) WITH (fillfactor = 50);
CREATE INDEX ON hopt USING hnsw (v vector_l1_ops) WITH (sketch_bits = 1);
SET hnsw.ef_search = 0;
SET hnsw.ef_search = 10001;
SET hnsw.no_such_setting = 1;
\set VERBOSITY default
SHOW hnsw.ef_search;
CREATE INDEX hopt_v ON hopt USING hnsw (v vector_l2_ops) WITH (m = 2, ef_construction = 4);
SELECT m, ef_construction, after_reindex FROM hnsw_info('hopt_v');
-- takes effect when the index is built again, and says so, in a new session, too
\c
ALTER INDEX hopt_v SET (m = 100, ef_construction = 1000);
SELECT m, ef_construction, after_reindex FROM hnsw_info('hopt_v');
ALTER INDEX hopt_v RENAME TO hopt_renamed;
ALTER INDEX hopt_renamed RENAME TO hopt_v;
ALTER INDEX hopt_v SET (m = 2, ef_construction = 4);
SELECT m, ef_construction, after_reindex FROM hnsw_info('hopt_v');
ALTER INDEX hopt_v SET (m = 100, ef_construction = 1000, sketch_bits = 2, own_vector = int8);
REINDEX INDEX hopt_v;
SELECT m, ef_construction, fanout, sketch, own_vector, after_reindex FROM hnsw_info('hopt_v');
ALTER INDEX hopt_v RESET (m, ef_construction, sketch_bits, own_vector);
REINDEX INDEX hopt_v;
SELECT m, ef_construction, fanout, sketch, own_vector, after_reindex FROM hnsw_info('hopt_v');
-- who creates an index has the settings, with options or without
\c
CREATE INDEX ON hopt USING hnsw (v vector_l2_ops);
SHOW hnsw.ef_search;
\c
CREATE INDEX ON hopt USING ivfflat (v vector_l2_ops);
SHOW hnsw.ef_search;
SHOW ivfflat.probes;
DROP TABLE hopt;
-- what REINDEX would refuse
CREATE TABLE hopt (v vector(5000));
CREATE INDEX hopt_v ON hopt USING hnsw (v vector_l2_ops);
ALTER INDEX hopt_v SET (sketch_bits = exact);
SELECT after_reindex FROM hnsw_info('hopt_v');
DROP TABLE hopt;

-- Every form of record: random rows, half of them there before CREATE INDEX,
-- searched with hnsw.ef_search above their number.
CREATE FUNCTION try_form(dims int, nrows int, opclass text, operator text, options text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	compared text;
	problems bigint;
BEGIN
	PERFORM setseed(0.75);
	EXECUTE format('CREATE TABLE form (id serial PRIMARY KEY, v vector(%s))', dims);
	INSERT INTO form (v) SELECT random_vector(dims) FROM generate_series(1, (nrows + 1) / 2);
	EXECUTE format('CREATE INDEX form_v ON form USING hnsw (v %s) WITH (%s)', opclass, options);
	INSERT INTO form (v) SELECT random_vector(dims) FROM generate_series(1, nrows / 2);
	DELETE FROM form WHERE id % 5 = 0;
	SELECT string_agg(DISTINCT c, ', ') INTO compared
		FROM (SELECT index_agrees(format(
				'SELECT v %s %L::vector FROM form ORDER BY 1 LIMIT 10', operator,
				random_vector(dims))) AS c
			FROM generate_series(1, 3)) AS s;
	SELECT count(*) INTO problems FROM hnsw_check('form_v');
	DROP TABLE form;
	RETURN CASE WHEN problems = 0 THEN compared ELSE problems || ' problems' END;
EXCEPTION WHEN invalid_parameter_value THEN
	RETURN 'does not fit';
END
$$;
SET hnsw.ef_search = 1000;
SELECT dims, sketch,
	try_form(dims, nrows, 'vector_l2_ops', '<->', format('sketch_bits = %s, own_vector = fp32', sketch)) AS fp32,
	try_form(dims, nrows, 'vector_l2_ops', '<->', format('sketch_bits = %s, own_vector = fp16', sketch)) AS fp16,
	try_form(dims, nrows, 'vector_l2_ops', '<->', format('sketch_bits = %s, own_vector = int8', sketch)) AS int8
	FROM (VALUES (1, 200), (3, 200), (20, 200), (100, 200), (384, 200), (1536, 60),
			(2000, 40), (5000, 20), (16000, 8)) AS d(dims, nrows),
		(VALUES (1, 'auto'), (2, '0'), (3, '1'), (4, '2'), (5, '4'), (6, 'exact')) AS s(n, sketch)
	ORDER BY dims, n;
SELECT dims,
	try_form(dims, nrows, 'vector_l2_ops', '<->', 'm = 8') AS l2,
	try_form(dims, nrows, 'vector_ip_ops', '<#>', 'm = 8') AS ip,
	try_form(dims, nrows, 'vector_cosine_ops', '<=>', 'm = 8') AS cosine,
	try_form(dims, nrows, 'vector_l1_ops', '<+>', 'm = 8') AS l1
	FROM (VALUES (2, 200), (20, 200), (100, 200), (384, 200), (1536, 60),
			(2000, 40), (5000, 20), (16000, 8)) AS d(dims, nrows)
	ORDER BY dims;
-- the widest list of neighbours
SELECT dims, try_form(dims, nrows, 'vector_l2_ops', '<->', 'm = 100') AS l2
	FROM (VALUES (3, 600), (100, 600)) AS d(dims, nrows) ORDER BY dims;
DROP FUNCTION try_form;

-- every instruction set finds the same
SELECT setseed(0.5);
CREATE TABLE hopt (id serial PRIMARY KEY, v vector(100));
INSERT INTO hopt (v) SELECT random_vector(100) FROM generate_series(1, 300);
CREATE INDEX hopt_v ON hopt USING hnsw (v vector_l2_ops);
SET vectorx.simd = generic;
SELECT index_agrees(format('SELECT v <-> %L::vector FROM hopt ORDER BY 1 LIMIT 20',
	random_vector(100)));
INSERT INTO hopt (v) SELECT random_vector(100) FROM generate_series(1, 100);
RESET vectorx.simd;
SELECT index_agrees(format('SELECT v <-> %L::vector FROM hopt ORDER BY 1 LIMIT 20',
	random_vector(100)));
SELECT * FROM hnsw_check('hopt_v');
DROP TABLE hopt;
