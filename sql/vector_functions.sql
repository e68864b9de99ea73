-- Functions and operators from vectors to numbers, vectors and bit strings.
\pset format unaligned
\pset tuples_only on
SET extra_float_digits = 1;
-- arithmetic
SELECT e, outcome('SELECT ' || e) FROM (VALUES
	($$'[1,2,3]'::vector + '[4,5,6]'$$), ($$'[1,2,3]'::vector - '[4,5,7]'$$),
	($$'[1,2,3]'::vector * '[4,-5,6]'$$), ($$'[1,2]'::vector || '[3]'$$),
	($$'[1,2]'::vector + '[3]'$$), ($$'[1,2]'::vector - '[3]'$$), ($$'[1,2]'::vector * '[1,2,3]'$$),
	($$'[3e38]'::vector + '[3e38]'$$), ($$'[1,-3e38]'::vector + '[1,-3e38]'$$),
	($$'[-3e38]'::vector - '[3e38]'$$), ($$'[1e37]'::vector * '[1e37]'$$),
	($$'[1e-37]'::vector * '[1e-37]'$$), ($$'[1e-37,0]'::vector * '[0,1e-37]'$$),
	($$'[1e-30]'::vector * '[1e-14]'$$), ($$'[1e38]'::vector - '[1e38]'$$),
	($$NULL::vector + '[1]'$$), ($$'[1]'::vector || NULL$$)) AS t (e);
SELECT n, outcome(format('SELECT vector_dims(array_fill(0, ARRAY[%s])::vector || array_fill(0, ARRAY[8000])::vector)', n))
	FROM (VALUES (8000), (8001), (16000)) AS t (n);
-- distances
SELECT e, outcome('SELECT ' || e) FROM (VALUES
	($$l2_distance('[0,0]'::vector, '[3,4]')$$), ($$l2_distance('[0,0]'::vector, '[0,1]')$$),
	($$'[1,2,3]'::vector <-> '[1,2,3]'$$), ($$l2_distance('[3e38]'::vector, '[-3e38]')$$),
	($$l2_distance('[1,1,1,1,1,1,1,1,1]'::vector, '[1,1,1,1,1,1,1,4,5]')$$),
	($$vector_l2_squared_distance('[0,0]', '[3,4]')$$),
	($$inner_product('[1,2]'::vector, '[3,4]')$$), ($$inner_product('[1,1,1,1,1,1,1,1,1]'::vector, '[1,2,3,4,5,6,7,8,9]')$$),
	($$inner_product('[3e38]'::vector, '[3e38]')$$), ($$'[1,2]'::vector <#> '[3,4]'$$),
	($$vector_negative_inner_product('[1,2]', '[-3,-4]')$$), ($$'[0]'::vector <#> '[1]'$$),
	($$cosine_distance('[1,2]'::vector, '[2,4]')$$), ($$cosine_distance('[1,2]'::vector, '[0,0]')$$),
	($$cosine_distance('[0]'::vector, '[0]')$$), ($$'[1,1]'::vector <=> '[1,1]'$$), ($$cosine_distance('[1,0]'::vector, '[0,2]')$$),
	($$cosine_distance('[1,1]'::vector, '[-1,-1]')$$), ($$round(cosine_distance('[1,1]'::vector, '[1.1,1.1]')::numeric, 6)$$),
	($$cosine_distance('[3e38]'::vector, '[3e38]')$$), ($$cosine_distance('[1e-30]'::vector, '[1e-30]')$$),
	($$cosine_distance('[1,2,3,4,5,6,7,8,9]'::vector, '[1,2,3,4,5,6,7,8,9]')$$),
	($$cosine_distance('[1,2,3,4,5,6,7,8,9]'::vector, '[-1,-2,-3,-4,-5,-6,-7,-8,-9]')$$),
	($$l1_distance('[0,0]'::vector, '[3,4]')$$), ($$'[0,0]'::vector <+> '[0,-1]'$$), ($$l1_distance('[3e38]'::vector, '[-3e38]')$$),
	($$l1_distance('[1,2,3,4,5,6,7,8,9]'::vector, '[1,2,3,4,5,6,7,8,9.5]')$$),
	($$vector_spherical_distance('[1,0]', '[0,1]')$$), ($$vector_spherical_distance('[1,0]', '[1,0]')$$),
	($$vector_spherical_distance('[1,0]', '[-1,0]')$$), ($$vector_spherical_distance('[2,0]', '[3,0]')$$),
	($$vector_spherical_distance('[2,0]', '[-3,0]')$$),
	($$l2_distance('[1,2]'::vector, '[3]')$$), ($$vector_l2_squared_distance('[1,2]', '[3]')$$), ($$inner_product('[1,2]'::vector, '[3]')$$),
	($$vector_negative_inner_product('[1]', '[3,4]')$$), ($$cosine_distance('[1,2]'::vector, '[3]')$$),
	($$l1_distance('[1,2]'::vector, '[3]')$$), ($$vector_spherical_distance('[1,2]', '[3]')$$),
	($$l2_distance(NULL, '[3]'::vector)$$)) AS t (e);
-- any number of elements: against sums in double precision
CREATE TABLE pairs AS SELECT n, array_agg((sin(i * n) * 3)::real ORDER BY i) AS a, array_agg((cos(i * 7 + n))::real ORDER BY i) AS b
	FROM unnest(ARRAY[1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 384, 1000, 1536, 2001]) AS n,
		generate_series(1, n) AS i GROUP BY n;
SELECT n FROM (SELECT n, a::vector AS v, b::vector AS w, s.* FROM pairs, LATERAL (
		SELECT sum((x::float8 - y) ^ 2) AS l2, sum(x::float8 * y) AS ip, sum(abs(x::float8 - y)) AS l1,
			sum(x::float8 * x) AS xx, sum(y::float8 * y) AS yy FROM unnest(a, b) AS u (x, y)) AS s) AS t
	WHERE abs((v <-> w) - sqrt(l2)) > 1e-5 * sqrt(l2)
		OR abs(vector_l2_squared_distance(v, w) - l2) > 1e-5 * l2
		OR abs(inner_product(v, w) - ip) > 1e-5 * sqrt(xx * yy)
		OR (v <#> w) <> -inner_product(v, w)
		OR abs((v <+> w) - l1) > 1e-5 * l1
		OR abs((v <=> w) - (1 - ip / sqrt(xx * yy))) > 1e-5
		OR abs(vector_norm(v) - sqrt(xx)) > 1e-12 * sqrt(xx)
		OR abs(vector_norm(l2_normalize(v)) - 1) > 1e-6
		OR abs((l2_normalize(v) <-> l2_normalize(w)) ^ 2 / 2 - (v <=> w)) > 1e-5
	ORDER BY n;
-- symmetric to the last bit, and no distance to itself
SELECT count(*) FROM pairs WHERE (a::vector <-> b::vector) <> (b::vector <-> a::vector) OR (a::vector <#> b::vector) <> (b::vector <#> a::vector)
	OR (a::vector <=> b::vector) <> (b::vector <=> a::vector) OR (a::vector <+> b::vector) <> (b::vector <+> a::vector)
	OR (a::vector <-> a::vector) <> 0 OR (a::vector <+> a::vector) <> 0 OR (a::vector <=> a::vector) NOT BETWEEN 0 AND 1e-6;
DROP TABLE pairs;
-- norm, dimensions, normalisation
SELECT e, outcome('SELECT ' || e) FROM (VALUES
	($$vector_norm('[3,4]')$$), ($$vector_norm('[0,1]')$$), ($$vector_norm('[0,0]')$$), ($$vector_norm('[3e37,4e37]')::real$$),
	($$vector_norm('[3e-40,4e-40]')::real$$), ($$vector_norm('[2,2,2,2]')$$),
	($$vector_dims('[1,2,3]'::vector)$$), ($$vector_dims(array_fill(0, ARRAY[16000])::vector)$$),
	($$l2_normalize('[3,4]'::vector)$$), ($$l2_normalize('[3,0]'::vector)$$), ($$l2_normalize('[0,0.1]'::vector)$$),
	($$l2_normalize('[0,0]'::vector)$$), ($$l2_normalize('[3e38]'::vector)$$), ($$l2_normalize('[-3e38,0]'::vector)$$),
	($$l2_normalize('[1e-45]'::vector)$$)) AS t (e);
-- parts
SELECT start, count, outcome(format('SELECT subvector(''[1,2,3,4,5]''::vector, %s, %s)', start, count)) FROM (VALUES
	(1, 3), (3, 2), (1, 5), (5, 1), (3, 9), (1, 2147483647), (2, 2147483647), (5, 2147483647), (6, 1), (6, 2147483647), (2147483647, 2147483647),
	(0, 3), (-1, 3), (-1, 2), (-3, 9), (0, 1), (-2147483648, 1), (-2147483648, 2147483647), (-2147483646, 2147483647), (1, 0), (1, -1), (3, -2147483648), (-5, 0))
	AS t (start, count);
-- bits
SELECT e, outcome('SELECT ' || e) FROM (VALUES
	($$binary_quantize('[1,0,-1]'::vector)$$), ($$binary_quantize('[0,0.1,-0.2,-0.3,0.4,0.5,0.6,-0.7,0.8,-0.9,1]'::vector)$$),
	($$binary_quantize('[-0,1e-45,-1e-45]'::vector)$$), ($$binary_quantize('[1,1,1,1,1,1,1,1]'::vector)$$),
	($$length(binary_quantize(array_fill(1, ARRAY[16000])::vector))$$), ($$binary_quantize('[1,-1]'::vector) = B'10'$$)) AS t (e);
-- comparison
SELECT a, b, a < b, a <= b, a = b, a <> b, a >= b, a > b, vector_cmp(a, b) FROM (VALUES
	('[1,2,3]'::vector, '[1,2,3]'::vector), ('[1,2,3]', '[1,2,4]'), ('[1,2,3]', '[1,2]'), ('[1,2]', '[1,2,3]'),
	('[1,3]', '[1,2,9]'), ('[2]', '[1,9,9]'), ('[-1]', '[1]'), ('[0]', '[-0]'), ('[0,1]', '[-0,2]'), ('[1e-45]', '[0]')) AS t (a, b);
