-- avg and sum, and the functions they are made of.
\pset format unaligned
\pset tuples_only on
SELECT avg(v), sum(v) FROM unnest(ARRAY['[1,2,3]'::vector, '[3,5,7]']) AS v;
SELECT avg(v), sum(v) FROM unnest(ARRAY['[1,2,3]'::vector, '[3,5,7]', NULL]) AS v;
SELECT avg(v) IS NULL, sum(v) IS NULL FROM unnest(ARRAY[]::vector[]) AS v;
SELECT avg(v) IS NULL, sum(v) IS NULL FROM unnest(ARRAY[NULL::vector, NULL]) AS v;
SELECT avg(v), sum(v) FROM unnest(ARRAY['[1.5,-2]'::vector]) AS v;
-- the mean does not overflow, the sum does
SELECT avg(v) FROM unnest(ARRAY['[3e38]'::vector, '[3e38]', '[3e38]']) AS v;
SELECT outcome($$SELECT sum(v) FROM unnest(ARRAY['[3e38]'::vector, '[3e38]']) AS v$$);
SELECT outcome($$SELECT avg(v) FROM unnest(ARRAY['[1,2]'::vector, '[3]']) AS v$$);
SELECT outcome($$SELECT sum(v) FROM unnest(ARRAY['[1,2]'::vector, '[3]']) AS v$$);
-- groups, order, filter, distinct, window frames
CREATE TABLE agg_rows AS SELECT i, i % 7 AS g, ARRAY[i % 100, -(i % 37), 1]::vector AS v FROM generate_series(1, 10000) AS i;
SELECT g, avg(v), sum(v), count(*) FROM agg_rows GROUP BY g ORDER BY g;
SELECT avg(v) FILTER (WHERE i <= 10), avg(DISTINCT v) FILTER (WHERE i <= 10), sum(v ORDER BY i DESC) FROM agg_rows;
SELECT i, avg(v) OVER (ORDER BY i), sum(v) OVER (ORDER BY i), avg(v) OVER (ORDER BY i ROWS 1 PRECEDING) FROM agg_rows WHERE i <= 5 ORDER BY i;
-- in parallel the same
ALTER TABLE agg_rows SET (parallel_workers = 2);
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT avg(v), sum(v) FROM agg_rows;
SELECT avg(v), sum(v) FROM agg_rows;
SELECT avg(v), sum(v) FROM agg_rows WHERE i < 0;
SELECT avg(v), sum(v) FROM agg_rows WHERE i = 4321;
SELECT g, avg(v), sum(v) FROM agg_rows GROUP BY g ORDER BY g;
INSERT INTO agg_rows VALUES (10001, 0, '[1,2]');
SELECT outcome('SELECT avg(v) FROM agg_rows') ~ '^22000 expected . dimensions, not .$';
SELECT outcome('SELECT sum(v) FROM agg_rows') ~ '^22000 different vector dimensions . and .$';
RESET max_parallel_workers_per_gather;
RESET min_parallel_table_scan_size;
RESET parallel_tuple_cost;
RESET parallel_setup_cost;
DROP TABLE agg_rows;
-- many dimensions
SELECT vector_dims(a), a = array_fill(2, ARRAY[16000])::vector FROM (SELECT avg(array_fill(i, ARRAY[16000])::vector) AS a FROM generate_series(1, 3) AS i) AS t;
-- transition functions called by hand
SELECT e, outcome('SELECT ' || e) FROM (VALUES
	($$vector_accum('{0}', '[1,2]')$$), ($$vector_accum('{1,10,20}', '[1,2]')$$), ($$vector_accum('{1,10}', '[1,2]')$$),
	($$vector_accum('{1,1.7976931348623157e308}', '[3e38]')$$), ($$vector_accum('{1,-1e308}', '[1]')$$),
	($$vector_accum('{}', '[1]')$$), ($$vector_accum('{{1,2}}', '[1]')$$), ($$vector_accum('{1,NULL}', '[1]')$$), ($$vector_accum(NULL, '[1]')$$),
	($$vector_combine('{0}', '{0}')$$), ($$vector_combine('{0}', '{2,1,2}')$$), ($$vector_combine('{2,1,2}', '{0}')$$), ($$vector_combine('{2,1,2}', '{3,10,20}')$$),
	($$vector_combine('{2,1,2}', '{3,10}')$$), ($$vector_combine('{}', '{1,2}')$$), ($$vector_combine('{1,2}', '{{1,2}}')$$),
	($$vector_combine('{1,1.5e308}', '{1,1.5e308}')$$),
	($$vector_avg('{0}')$$), ($$vector_avg('{2,3,4}')$$), ($$vector_avg('{}')$$), ($$vector_avg('{1}')$$), ($$vector_avg('{1,4e38}')$$), ($$vector_avg('{1,NaN}')$$),
	($$vector_avg('{0,1}')$$), ($$vector_avg(NULL)$$)) AS t (e);
-- a state has the dimensions of a vector, unless it is of no rows
SELECT e, outcome('SELECT array_length(' || e || ', 1)') FROM (VALUES
	($$vector_combine('{1}', '{2}')$$), ($$vector_combine('{0}', '{2}')$$), ($$vector_combine('{2}', '{0}')$$),
	($$vector_combine('{0}', array_fill(1::float8, ARRAY[16001]))$$), ($$vector_combine('{0}', array_fill(1::float8, ARRAY[16002]))$$),
	($$vector_combine(array_fill(1::float8, ARRAY[16002]), '{0}')$$), ($$vector_combine('{0}', array_fill(0::float8, ARRAY[16002]))$$),
	($$vector_combine(array_fill(1::float8, ARRAY[16002]), array_fill(1::float8, ARRAY[16002]))$$),
	($$vector_accum(array_fill(1::float8, ARRAY[16002]), array_fill(1, ARRAY[16000])::vector)$$)) AS t (e);
-- by hand, a state is not changed in place
SELECT vector_accum(s, '[1,2]'), vector_combine(s, '{1,5,5}'), s FROM (SELECT '{1,10,20}'::float8[] AS s OFFSET 0) AS t;
