-- Casts between vector and arrays.
\pset format unaligned
\pset tuples_only on
SELECT e, outcome('SELECT ' || e) FROM (VALUES
	($$ARRAY[1,2,3]::vector$$), ($$ARRAY[1.0,2.5,-3]::vector$$), ($$ARRAY[1,2,3]::real[]::vector$$), ($$ARRAY[0.1,1e300]::float8[]::vector$$),
	($$ARRAY[0.1,1e-300]::float8[]::vector$$), ($$ARRAY[1e50]::numeric[]::vector$$), ($$ARRAY[1e-60,0.1]::numeric[]::vector$$),
	($$'{1,2,3}'::int[]::vector(3)$$), ($$'{1,2,3}'::int[]::vector(2)$$), ($$'{1,2,3}'::real[]::vector(4)$$),
	($$'{16777217,-2147483648,2147483647}'::int[]::vector$$), ($$'{16777217,0.1}'::float8[]::vector$$),
	($$'{}'::int[]::vector$$), ($$'{}'::real[]::vector(3)$$), ($$'{NULL}'::int[]::vector$$), ($$'{1,NULL,3}'::real[]::vector$$), ($$'{1,NULL}'::numeric[]::vector$$), ($$'{1,NULL}'::float8[]::vector$$),
	($$'{{1,2},{3,4}}'::real[]::vector$$), ($$'{{1},{NULL}}'::int[]::vector$$), ($$'{NaN}'::real[]::vector$$), ($$'{Infinity}'::real[]::vector$$), ($$'{1,-Infinity}'::float8[]::vector$$),
	($$'{NaN}'::numeric[]::vector$$), ($$'{Infinity}'::numeric[]::vector$$), ($$'{4e38}'::float8[]::vector$$),
	($$'[5:7]={1,2,3}'::int[]::vector$$), ($$'[2:3]={1.5,2}'::numeric[]::vector$$), ($$'{a}'::text[]::vector$$), ($$'{1}'::int8[]::vector$$),
	($$'[1,2,3]'::vector::real[]$$), ($$'[1.5,-0]'::vector::float4[]$$), ($$'[1]'::vector::float8[]$$), ($$'[1]'::vector::int[]$$), ($$'[1,2]'::vector::vector(2)$$),
	($$'[1,2]'::vector::vector(3)$$), ($$'[1,2]'::vector(2)::vector(1)$$), ($$'[1,2]'::vector::text::vector$$),
	($$vector('[1,2,3]', 3, true)$$), ($$vector('[1,2,3]', 2, false)$$), ($$vector_to_float4('[1,2]', 5, true)$$), ($$array_to_vector('{1,2}'::real[], -1, false)$$),
	($$array_to_vector('{1,2}'::int[], 3, false)$$)) AS t (e);
-- limits
SELECT n, outcome(format('SELECT vector_dims(array_fill(1.5::real, ARRAY[%s])::vector)', n)),
		outcome(format('SELECT vector_dims(array_fill(1.5, ARRAY[%s])::vector)', n)) FROM (VALUES (16000), (16001)) AS t (n);
-- what a vector becomes is an ordinary array
SELECT array_dims(a), cardinality(a), a[2], a || 4::real, a = '{1,2,3}' FROM (SELECT '[1,2,3]'::vector::real[] AS a) AS t;
-- implicit to real[], by assignment only from arrays
CREATE FUNCTION real_sum(real[]) RETURNS real LANGUAGE sql AS 'SELECT sum(x) FROM unnest($1) AS x';
SELECT outcome($$SELECT unnest('[1,2]'::vector)$$);
SELECT real_sum('[1,2.5]'::vector);
DROP FUNCTION real_sum;
SELECT outcome($$SELECT '[1]'::vector + ARRAY[1]$$);
SELECT outcome($$SELECT l2_distance('[1]'::vector, ARRAY[1]::real[])$$);
CREATE TABLE cast_targets (v vector(3), a real[]);
INSERT INTO cast_targets VALUES (ARRAY[1,2,3], '[1,2]'::vector), ('{1,2,3}'::float8[], NULL), (ARRAY[1.5,2,3], '[3]'::vector), ('{1,2,3}'::real[], NULL);
SELECT v, a FROM cast_targets;
SELECT outcome('INSERT INTO cast_targets (v) VALUES (ARRAY[1,2]) RETURNING v');
DROP TABLE cast_targets;
-- there and back
SELECT count(*) FROM (SELECT ARRAY[i / 7.0, i ^ 3, -i]::real[] AS a FROM generate_series(-500, 500) AS i) AS t WHERE a::vector::real[] <> a;
-- an expanded array
DO $$
DECLARE a real[] := '{}'; v vector;
BEGIN
	FOR i IN 1..1000 LOOP a[i] := i; END LOOP;
	v := a::vector;
	RAISE NOTICE '% %', vector_dims(v), subvector(v, 999, 2);
END
$$;
