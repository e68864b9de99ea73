-- Stored values that cannot be vectors raise an error wherever they are read.
\pset format unaligned
\pset tuples_only on
-- superusers can have any bytes taken for a vector
CREATE CAST (bytea AS vector) WITHOUT FUNCTION;
-- the number of dimensions has two equal bytes, for either byte order
SELECT bytes, outcome(format('SELECT %L::bytea::vector', bytes)) FROM (VALUES
	('\x'::bytea), ('\x00'), ('\x0000'), ('\x0101'), ('\x01010000'), ('\x00000000'), ('\x0000000000000000'), ('\x0101000000000000'),
	('\xffff000000000000'), ('\x7f7f0000000000000000')) AS t (bytes);
SELECT e, outcome(format('SELECT %s', replace(e, 'bad', '''\x010100000000000000000000''::bytea::vector'))) FROM (VALUES
	('bad + bad'), ('bad - bad'), ('bad * bad'), ('bad || bad'), ('bad < bad'), ('bad = bad'), ('vector_cmp(bad, bad)'),
	('bad <-> bad'), ('bad <#> bad'), ('bad <=> bad'), ('bad <+> bad'), ('vector_l2_squared_distance(bad, bad)'), ('vector_spherical_distance(bad, bad)'), ('vector_norm(bad)'),
	('vector_dims(bad)'), ('l2_normalize(bad)'), ('subvector(bad, 1, 1)'), ('binary_quantize(bad)'), ('vector_send(bad)'), ('bad::real[]'),
	('bad::vector(257)'), ('vector_accum(''{0}'', bad)'), ('''[1]''::vector <-> bad')) AS t (e);
DROP CAST (bytea AS vector);
