-- What a user may do with an index: inspection needs the right to read the whole
-- table, and tells numbers only; row security holds for rows an index scan finds;
-- settings out of range are refused.
CREATE ROLE regress_hnsw_owner;
CREATE ROLE regress_hnsw_none;
CREATE ROLE regress_hnsw_column;
CREATE ROLE regress_hnsw_reader;
CREATE ROLE regress_hnsw_writer;
CREATE SCHEMA hpriv AUTHORIZATION regress_hnsw_owner;
GRANT USAGE ON SCHEMA hpriv TO PUBLIC;
SET ROLE regress_hnsw_owner;
CREATE TABLE hpriv.docs (id int, tenant text, v vector(3));
INSERT INTO hpriv.docs
	SELECT i, CASE i % 2 WHEN 0 THEN 'regress_hnsw_reader' ELSE 'other' END, ARRAY[i, 0.0, 7.25]::vector
	FROM generate_series(1, 20) i;
CREATE INDEX docs_idx ON hpriv.docs USING hnsw (v vector_l2_ops);
GRANT SELECT (id, v) ON hpriv.docs TO regress_hnsw_column;
GRANT SELECT ON hpriv.docs TO regress_hnsw_reader;
GRANT INSERT, UPDATE, DELETE, REFERENCES, TRIGGER ON hpriv.docs TO regress_hnsw_writer;
RESET ROLE;
-- Both functions as a role.
CREATE FUNCTION inspected(role name) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('role', role, true);
	RETURN NEXT outcome('SELECT live_nodes FROM public.hnsw_info(''hpriv.docs_idx'')');
	RETURN NEXT outcome('SELECT count(*) FROM public.hnsw_check(''hpriv.docs_idx'')');
	PERFORM set_config('role', 'none', true);
END
$$;
SELECT * FROM inspected('regress_hnsw_owner');
SELECT * FROM inspected('regress_hnsw_reader');
-- no right at all, rights that do not include reading, and reading some columns
SELECT * FROM inspected('regress_hnsw_none');
SELECT * FROM inspected('regress_hnsw_writer');
SELECT * FROM inspected('regress_hnsw_column');
-- an index scan needs what any scan does
SET enable_seqscan = off;
SET ROLE regress_hnsw_column;
SELECT id FROM hpriv.docs ORDER BY v <-> '[3,0,7]' LIMIT 1;
SELECT outcome($$SELECT tenant FROM hpriv.docs ORDER BY v <-> '[3,0,7]' LIMIT 1$$);
SET ROLE regress_hnsw_none;
SELECT outcome($$SELECT id FROM hpriv.docs ORDER BY v <-> '[3,0,7]' LIMIT 1$$);
SELECT outcome($$CREATE INDEX ON hpriv.docs USING hnsw (v vector_l2_ops)$$);
SELECT outcome($$DROP INDEX hpriv.docs_idx$$);
SELECT outcome($$ALTER INDEX hpriv.docs_idx SET (ef_construction = 100)$$);
RESET ROLE;
-- row security: its rows only, nearest first; rows of others come from nowhere
SET ROLE regress_hnsw_owner;
ALTER TABLE hpriv.docs ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON hpriv.docs USING (tenant = current_user);
RESET ROLE;
SET ROLE regress_hnsw_reader;
EXPLAIN (COSTS OFF) SELECT id FROM hpriv.docs ORDER BY v <-> '[3,0,7.25]' LIMIT 4;
SELECT id FROM hpriv.docs ORDER BY v <-> '[3.1,0,7.25]' LIMIT 4;
SELECT count(*), count(*) FILTER (WHERE id % 2 = 1) AS foreign
	FROM (SELECT id FROM hpriv.docs ORDER BY v <-> '[3,0,7]') s;
-- where all of the nearest are hidden, none of them comes, nothing of theirs, and others do
SET hnsw.ef_search = 1;
SELECT id, v FROM hpriv.docs ORDER BY v <-> '[3,0,7.25]' LIMIT 4;
RESET hnsw.ef_search;
SET row_security = off;
SELECT outcome($$SELECT id FROM hpriv.docs ORDER BY v <-> '[3,0,7]' LIMIT 1$$);
RESET row_security;
-- a function of the user's, however cheap, does not see hidden rows
CREATE FUNCTION pg_temp.leak(id int, v vector) RETURNS bool LANGUAGE plpgsql COST 0.0000001 AS $$
BEGIN
	RAISE NOTICE 'row %: %', id, v;
	RETURN true;
END
$$;
SELECT id FROM hpriv.docs WHERE pg_temp.leak(id, v) ORDER BY v <-> '[3.1,0,7.25]' LIMIT 2;
DROP FUNCTION pg_temp.leak;
RESET ROLE;
-- inspection tells numbers of rows and pages, no element of a vector
SET ROLE regress_hnsw_reader;
SELECT row_to_json(i) ->> 'live_nodes' AS live_nodes, row_to_json(i)::text ~ '7[.]25' AS reveals
	FROM hnsw_info('hpriv.docs_idx') i;
SELECT * FROM hnsw_check('hpriv.docs_idx');
RESET ROLE;
-- hnsw_search and hnsw_recall. Functions in an index that a user can have written run as the owner, and may come to
-- code of the caller's by what they name: only for who has the owner's privileges. What a call gives.
CREATE FUNCTION searched(role name, index text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('role', role, true);
	RETURN NEXT outcome(format('SELECT count(*) FROM public.hnsw_search(%L, ARRAY[''[3,0,7]'']::public.vector[], 3)', index));
	RETURN NEXT outcome(format('SELECT sample FROM public.hnsw_recall(%L, 5, 1)', index));
	PERFORM set_config('role', 'none', true);
END
$$;
SET ROLE regress_hnsw_owner;
CREATE TYPE hpriv.kind AS ENUM ('good', 'bad');
CREATE DOMAIN hpriv.even AS int CHECK (VALUE % 2 = 0);
CREATE TABLE hpriv.items (id int, kind hpriv.kind, e hpriv.even, j jsonb, v vector(3));
GRANT SELECT ON hpriv.items TO regress_hnsw_reader;
CREATE FUNCTION hpriv.of_json(j jsonb) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RETURN (j ->> 'e')::vector;
END
$$;
CREATE FUNCTION hpriv.of_sql(v vector) RETURNS vector LANGUAGE sql IMMUTABLE AS 'SELECT v';
CREATE FUNCTION hpriv.unit(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN l2_normalize(v); END';
-- what every reader may use
CREATE INDEX items_cast ON hpriv.items USING hnsw ((v::halfvec(3)::vector(3)) vector_l2_ops) WHERE id > 0 AND kind = 'good' AND e IN (2, 4, 6, 8);
CREATE INDEX items_bits ON hpriv.items USING hnsw ((binary_quantize(v)::bit(3)) bit_hamming_ops);
CREATE INDEX items_part ON hpriv.items USING hnsw ((CASE WHEN id < 5 THEN subvector(v, 1, 3) ELSE l2_normalize(v) + v END::vector(3)) vector_l2_ops);
-- and what not: of an expression, inlined, of a predicate, as a domain, or not looked into
CREATE INDEX items_json ON hpriv.items USING hnsw ((hpriv.of_json(j)::vector(3)) vector_l2_ops);
CREATE INDEX items_sql ON hpriv.items USING hnsw ((hpriv.of_sql(v)::vector(3)) vector_l2_ops);
CREATE INDEX items_where ON hpriv.items USING hnsw (v vector_l2_ops) WHERE hpriv.of_sql(v) IS NOT NULL;
CREATE INDEX items_domain ON hpriv.items USING hnsw (v vector_l2_ops) WHERE id::hpriv.even > 0;
CREATE INDEX items_greatest ON hpriv.items USING hnsw (v vector_l2_ops) WHERE greatest(id, 1) > 0;
CREATE INDEX items_unit ON hpriv.items USING hnsw ((hpriv.unit(v)::vector(3)) vector_l2_ops);
INSERT INTO hpriv.items SELECT i, 'good', i, jsonb_build_object('e', ARRAY[i, 0, 7.25]), ARRAY[i, 0.0, 7.25]::vector FROM generate_series(2, 8, 2) i;
RESET ROLE;
SELECT index, ARRAY(SELECT searched('regress_hnsw_reader', 'hpriv.items_' || index)) AS reader
	FROM unnest('{cast,part,json,sql,where,domain,greatest}'::text[]) WITH ORDINALITY AS i(index, n) ORDER BY n;
SET ROLE regress_hnsw_reader;
SELECT count(*) FROM hnsw_search('hpriv.items_bits', ARRAY['101']::bit(3)[], 3);
-- by the name of a type a reader would come to run his own as the owner
CREATE FUNCTION pg_temp.own(v public.vector) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE 'as %', current_user;
	RETURN true;
END
$$;
CREATE DOMAIN pg_temp.vector AS public.vector CHECK (pg_temp.own(VALUE));
SELECT outcome($$SELECT count(*) FROM hnsw_search('hpriv.items_json', ARRAY['[3,0,7]']::public.vector[], 3)$$);
SELECT outcome($$SELECT sample FROM hnsw_recall('hpriv.items_json', 2, 1)$$);
DROP DOMAIN pg_temp.vector;
DROP FUNCTION pg_temp.own;
RESET ROLE;
-- who has the owner's privileges has them run as the owner, and they find what VACUUM's find: before 17 by the search_path
CREATE FUNCTION hpriv.who(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF current_user <> 'regress_hnsw_owner' THEN
		RAISE 'as %', current_user;
	END IF;
	RETURN v;
END
$$;
SET ROLE regress_hnsw_owner;
CREATE INDEX items_who ON hpriv.items USING hnsw ((hpriv.who(v)::vector(3)) vector_l2_ops);
RESET ROLE;
SELECT searched('none', 'hpriv.items_who');
SELECT searched('regress_hnsw_owner', 'hpriv.items_who');
GRANT regress_hnsw_owner TO regress_hnsw_none;
SELECT searched('regress_hnsw_none', 'hpriv.items_who');
REVOKE regress_hnsw_owner FROM regress_hnsw_none;
SELECT CASE WHEN current_setting('server_version_num')::int < 170000 THEN result IN ('3', '4') ELSE result LIKE '42883 %' END AS as_vacuum
	FROM searched('regress_hnsw_owner', 'hpriv.items_unit') result;
SELECT current_setting('search_path');
-- row security holds in any parallel worker, where a function that says it may run there calls one of these
GRANT CREATE ON SCHEMA hpriv TO regress_hnsw_reader;
SET ROLE regress_hnsw_reader;
CREATE FUNCTION hpriv.in_worker() RETURNS int LANGUAGE plpgsql PARALLEL SAFE AS 'BEGIN RETURN pg_backend_pid(); END';
CREATE FUNCTION hpriv.hidden_search() RETURNS int LANGUAGE plpgsql PARALLEL SAFE AS $$
BEGIN
	RETURN (SELECT count(*) FROM hnsw_search('hpriv.docs_idx', ARRAY['[3,0,7]']::vector[], 20));
END
$$;
CREATE FUNCTION hpriv.hidden_recall() RETURNS int LANGUAGE plpgsql PARALLEL SAFE AS $$
BEGIN
	RETURN (SELECT sample FROM hnsw_recall('hpriv.docs_idx', 20, 1));
END
$$;
SELECT set_config(name, 'on', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT hpriv.in_worker() AS pid \gset
SELECT :pid <> pg_backend_pid() AS in_worker;
SELECT outcome('SELECT hpriv.hidden_search()');
SELECT outcome('SELECT hpriv.hidden_recall()');
SELECT set_config(name, 'off', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
RESET ROLE;
-- nor do plans give them to workers
SELECT p.oid::regprocedure AS function, proparallel FROM pg_proc p WHERE proname ~ '^hnsw_(search|recall|calibrate)$' ORDER BY p.oid::regprocedure::text COLLATE "C";
DROP FUNCTION searched;
-- no function runs with another user's rights, none changes a setting or looks names up
SELECT p.oid::regprocedure AS function, prosecdef, proconfig, lanname
	FROM pg_proc p JOIN pg_language l ON l.oid = prolang
	WHERE EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e'
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'vectorx'))
	AND (prosecdef OR proconfig IS NOT NULL OR (lanname NOT IN ('c', 'internal') AND prosqlbody IS NULL));
-- in a schema of its own, with nothing of it in the search path
CREATE SCHEMA hpriv_lib;
CREATE TABLE hpriv.path (id int, v vector(3));
INSERT INTO hpriv.path SELECT i, ARRAY[i, i, i]::vector FROM generate_series(1, 5) i;
ALTER EXTENSION vectorx SET SCHEMA hpriv_lib;
CREATE INDEX ON hpriv.path USING hnsw (v hpriv_lib.vector_l2_ops);
SET search_path = '';
SELECT id FROM hpriv.path ORDER BY v OPERATOR(hpriv_lib.<->) '[1,2,3.5]'::hpriv_lib.vector LIMIT 5;
SELECT sum::text, avg::text FROM (SELECT hpriv_lib.sum(v), hpriv_lib.avg(v) FROM hpriv.path) s;
SELECT * FROM hpriv_lib.hnsw_check('hpriv.path_v_idx');
VACUUM ANALYZE hpriv.path;
REINDEX TABLE hpriv.path;
RESET search_path;
ALTER EXTENSION vectorx SET SCHEMA public;
-- settings: out of range, of the wrong kind, and not for every user
SELECT outcome(format('SET hnsw.ef_search = %L', value))
	FROM unnest('{0,-1,10001,2147483647,2147483648,1e300,nan,off}'::text[]) WITH ORDINALITY AS u(value, n) ORDER BY n;
SELECT outcome('SET hnsw.unknown = 1');
SELECT outcome('SET vectorx.simd = 7');
SELECT outcome('SET vectorx.simd = avx9');
SET ROLE regress_hnsw_none;
SELECT outcome('SET vectorx.simd = generic');
RESET ROLE;
SELECT outcome(format('CREATE INDEX ON hpriv.path USING hnsw (v vector_l2_ops) WITH (%s)', option))
	FROM unnest('{m=1,m=101,m=-2147483649,ef_construction=3,ef_construction=1001,sketch_bits=3,sketch_bits=-1,own_vector=int4,unknown=1}'::text[])
		WITH ORDINALITY AS u(option, n) ORDER BY n;
SHOW hnsw.ef_search;
DROP SCHEMA hpriv, hpriv_lib CASCADE;
DROP FUNCTION inspected;
DROP ROLE regress_hnsw_owner, regress_hnsw_none, regress_hnsw_column, regress_hnsw_reader, regress_hnsw_writer;
