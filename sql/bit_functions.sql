-- Distances of bit strings.
\pset format unaligned
\pset tuples_only on
SET extra_float_digits = 1;
SELECT e, outcome('SELECT ' || e) FROM (VALUES
	($$hamming_distance(B'101', B'111')$$), ($$hamming_distance(B'', B'')$$), ($$B'000' <~> B'000'$$), ($$B'11111111111' <~> B'00000000000'$$), ($$hamming_distance(repeat('10', 8000)::bit(16000), repeat('01', 8000)::bit(16000))$$),
	($$jaccard_distance(B'101', B'111')$$), ($$jaccard_distance(B'', B'')$$), ($$B'000' <%> B'000'$$), ($$B'101' <%> B'011'$$), ($$B'100' <%> B'011'$$), ($$B'1010' <%> B'1010'$$),
	($$hamming_distance(B'101', B'11')$$), ($$jaccard_distance(B'101', B'11')$$), ($$B'1' <~> B''$$), ($$B'1' <%> B''$$), ($$NULL <~> B'1'$$),
	($$'101' <~> B'011'$$), ($$'101' <%> '011'$$), ($$B'101'::varbit <~> B'011'::varbit$$), ($$B'101'::varbit <%> B'011'$$), ($$5::bit(8) <~> 6::bit(8)$$), ($$binary_quantize('[1,-1,2]'::vector) <~> B'001'$$)) AS t (e);
-- any length: against single bits
CREATE TABLE pairs AS SELECT n, p, string_agg((sin(i * n * 1.7) < p)::int::text, '' ORDER BY i) AS a, string_agg((cos(i * n * 2.3) < p)::int::text, '' ORDER BY i) AS b
	FROM generate_series(1, 700) AS n, unnest(ARRAY[-0.9, 0, 0.7]) AS p, generate_series(1, n) AS i GROUP BY n, p;
INSERT INTO pairs SELECT n, 0, repeat(a, 23), repeat(b, 23) FROM pairs WHERE n > 600;
SELECT count(*) FROM pairs;
SELECT n, p FROM (SELECT n, p, a::varbit AS x, b::varbit AS y, s.* FROM pairs, LATERAL (
		SELECT count(*) FILTER (WHERE u <> v) AS differ, count(*) FILTER (WHERE u = '1' AND v = '1') AS common, count(*) FILTER (WHERE u = '1' OR v = '1') AS either
		FROM unnest(string_to_array(a, NULL), string_to_array(b, NULL)) AS e (u, v)) AS s) AS t
	WHERE (x <~> y) <> differ OR (y <~> x) <> differ OR (x <~> x) <> 0 OR (x <%> y) <> CASE WHEN common = 0 THEN 1 ELSE 1 - common::float8 / either END
		OR (x <%> y) <> (y <%> x)
	ORDER BY n, p;
DROP TABLE pairs;
-- what is quantised: squared L2 distance of vectors of 0 and 1
SELECT count(*) FROM (SELECT array_agg(round(random())) AS a, array_agg(round(random())) AS b FROM generate_series(1, 200) AS n, generate_series(1, n) AS i GROUP BY n) AS t
	WHERE (binary_quantize(a::vector) <~> binary_quantize(b::vector)) <> vector_l2_squared_distance(a::vector, b::vector);
-- with every set of kernels that this processor has
SET vectorx.simd = generic;
SELECT repeat('1100101', 1000)::varbit <~> repeat('1010011', 1000)::varbit, repeat('1100101', 1000)::varbit <%> repeat('1010011', 1000)::varbit;
RESET vectorx.simd;
SELECT repeat('1100101', 1000)::varbit <~> repeat('1010011', 1000)::varbit, repeat('1100101', 1000)::varbit <%> repeat('1010011', 1000)::varbit;
-- stored values that cannot be
CREATE CAST (bytea AS varbit) WITHOUT FUNCTION;
SELECT bytes, outcome(format('SELECT %L::bytea::varbit <~> %L::bytea::varbit', bytes, bytes)), outcome(format('SELECT %L::bytea::varbit <%%> %L::bytea::varbit', bytes, bytes))
	FROM (VALUES ('\x'::bytea), ('\x00'), ('\x00000000'), ('\xffffffff'), ('\x0000000000'), ('\x01010101'), ('\x7f7f7f7fff')) AS t (bytes);
DROP CAST (bytea AS varbit);
-- priced by length
CREATE FUNCTION plan_cost(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
	RETURN plan -> 0 -> 'Plan' ->> 'Total Cost';
END $$;
CREATE TABLE large AS SELECT repeat('1', 64000)::bit(64000) AS b FROM generate_series(1, 100);
ALTER TABLE large ALTER b SET STORAGE EXTERNAL;
CREATE TABLE small AS SELECT repeat('1', 64)::bit(64) AS b FROM generate_series(1, 100);
SELECT plan_cost('SELECT b <~> b FROM large') > 2 * plan_cost('SELECT b <~> b FROM small'), plan_cost('SELECT b <%> b FROM large') > 2 * plan_cost('SELECT b <%> b FROM small');
DROP FUNCTION plan_cost;
DROP TABLE large, small;
