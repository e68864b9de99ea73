-- sparsevec: text and binary form, type modifier, representation, casts.
\pset format unaligned
\pset tuples_only on
SET extra_float_digits = 1;
-- text that is a value
SELECT replace(input, E'\n', '\n'), input::sparsevec FROM (VALUES
	('{1:1}/1'), ('{}/5'), ('{ }/5'), (' { 1 : 1.5 , 3 : -2e3 } / 4 '), ('{2:1,1:2}/3'), ('{3:3,1:1,2:2}/1000000000'),
	('{1000000000:-0.5}/1000000000'), ('{+1:+1}/+3'), ('{01:0x1p3}/03'), (E'{\t1:1\n}\n/\t3\n'), ('{1:1e-45,2:3.4028235e38,3:1e-40}/3'),
	('{1:0,2:-0,3:1}/3'), ('{1:0e99999999999}/3'),
	-- what is zero is forgotten at once, with its index
	('{4:0}/3'), ('{0:0,-5:0,99999999999999999999:0}/3'), ('{2:1,2:0}/3')) AS t (input);
-- text that is not
SELECT replace(input, E'\n', '\n'), outcome(format('SELECT %L::sparsevec', input)) FROM (VALUES
	(''), (' '), ('{'), ('}'), ('{}'), ('{}/'), ('{}/ '), ('{/3'), ('}/3'), ('/3'), ('[1,2]'), ('1:1}/3'), ('{1:1}'), ('{1:1}/'), ('{1:1/3'), ('{1:1'),
	('{1'), ('{1:'), ('{1:1,'), ('{1}/3'), ('{1:}/3'), ('{:1}/3'), ('{1:1,}/3'), ('{,1:1}/3'), ('{1:1,,2:2}/3'), ('{1:1;2:2}/3'), ('{1:1 2:2}/3'), ('{1:1:1}/3'),
	('{1.5:1}/3'), ('{0x2:1}/3'), ('{a:1}/3'), ('{1:a}/3'), ('{--1:1}/3'), ('{- 1:1}/3'), ('{1:- 1}/3'), ('{+:1}/3'), ('{-:1}/3'), ('{1:1}/- 3'), ('{1:1}/a'),
	('{1:1}/3x'), ('{1:1}/3 4'), ('{1:1}/3.5'), ('{1:1}/0x5'), ('{1:1}/3/4'), ('{1:1}}/3'), ('{1:1}x/3'),
	('{1:nan}/3'), ('{0:NaN}/3'), ('{1:inf}/3'), ('{1:-Infinity}/3'), ('{1:4e38}/3'), ('{1:1e-46}/3'), ('{1:-1e-999999}/3'), ('{1:0x1p-200}/3'),
	('{1:1}/0'), ('{}/0'), ('{}/-1'), ('{1:1}/-99999999999999999999'), ('{}/1000000001'), ('{}/2147483648'), ('{1:1}/99999999999999999999'),
	('{0:1}/3'), ('{-1:1}/3'), ('{4:1}/3'), ('{2147483648:1}/5'), ('{99999999999999999999:1}/5'), ('{-99999999999999999999:1}/5'),
	('{1:1,1:2}/3'), ('{3:1,2:5,3:1}/3'), ('{5:1,5:1}/3')) AS t (input);
-- the greatest number of elements; zeros that are written count
SELECT n, step, outcome(format('SELECT l2_norm(%L::sparsevec)', '{' || string_agg(i || ':' || x, ',' ORDER BY i * step) || '}/20000'))
	FROM (VALUES (15999, 1, 1), (16000, 1, 1), (16000, -1, 1), (16001, 1, 1), (16001, -1, 1), (16001, 1, 0), (20000, 1, 1)) AS t (n, step, x), generate_series(1, n) AS i
	GROUP BY n, step, x ORDER BY n, step, x;
-- type modifier
SELECT t, outcome(format('SELECT ''{1:1}/3''::%s', t)) FROM (VALUES
	('sparsevec'), ('sparsevec(3)'), ('sparsevec(2)'), ('sparsevec(4)'), ('sparsevec(1000000000)'), ('sparsevec(1000000001)'), ('sparsevec(0)'), ('sparsevec(-1)'),
	('sparsevec(3,2)'), ('sparsevec(''a'')'), ('sparsevec()'), ('sparsevec(2147483648)')) AS types (t);
CREATE TABLE sparse (v sparsevec(5), w sparsevec);
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'sparse'::regclass AND attnum > 0 ORDER BY attnum;
INSERT INTO sparse VALUES ('{1:1}/5', '{2:1.5,1:-1}/3'), (NULL, '{}/2'), ('[0,0,7,0,1]'::vector, ARRAY[0,1]);
SELECT outcome('INSERT INTO sparse (v) SELECT w FROM sparse RETURNING v');
SELECT v, w FROM sparse ORDER BY w;
-- representation: 16 bytes, then 8 for each element, kept uncompressed
SELECT pg_column_size('{}/1000000000'::sparsevec), pg_column_size('{1:1,3:2}/3'::sparsevec);
SELECT typlen, typbyval, typalign, typstorage, typcategory, typispreferred, typdelim FROM pg_type WHERE oid = 'sparsevec'::regtype;
-- output is the shortest text that gives the same number again
SELECT bool_and(t::sparsevec::text = t) FROM (SELECT format('{%s:%s,%s:1}/%s', abs(i), f, abs(i) + 1, 30000 + abs(i)) AS t
	FROM (SELECT i, ((i::float8 / 7919) * 10 ^ (abs(i) % 73 - 35))::real AS f FROM generate_series(-20000, 20000) AS i WHERE i <> 0) AS floats) AS texts;
-- in any order
SELECT count(*) FROM (SELECT string_agg(i || ':' || x, ',' ORDER BY i) AS a, string_agg(i || ':' || x, ',' ORDER BY sin(i)) AS b
	FROM generate_series(1, 500) AS n, LATERAL (SELECT i * 3 AS i, i % n + 1 AS x FROM generate_series(1, n) AS i) AS e GROUP BY n) AS t
	WHERE format('{%s}/2000', a)::sparsevec::text <> format('{%s}/2000', b)::sparsevec::text OR format('{%s}/2000', a)::sparsevec::text <> format('{%s}/2000', a);
-- binary form: dimensions, number of elements, zero, indices from 0, elements
SELECT encode(sparsevec_send(input), 'hex') FROM (VALUES ('{1:1,3:-2}/4'::sparsevec), ('{}/258'), ('{1000000000:1e-45}/1000000000')) AS t (input);
SELECT current_setting('data_directory') || '/vectorx_sparse.bin' AS path \gset
COPY sparse TO :'path' (FORMAT binary);
CREATE TABLE sparse_back (LIKE sparse);
COPY sparse_back FROM :'path' (FORMAT binary);
(TABLE sparse EXCEPT ALL TABLE sparse_back) UNION ALL (TABLE sparse_back EXCEPT ALL TABLE sparse);
-- a field of the given bytes
CREATE FUNCTION copy_field(path text, field bytea, type text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	id oid := lo_from_bytea(0, '\x5047434f50590aff0d0a000000000000000000'::bytea || '\x0001' || int4send(length(field)) || field || '\xffff');
BEGIN
	PERFORM lo_export(id, path);
	PERFORM lo_unlink(id);
	EXECUTE format('CREATE TABLE copy_target (v %s)', type);
	EXECUTE format('COPY copy_target FROM %L (FORMAT binary)', path);
	SELECT left(v::text, 40) INTO result FROM copy_target;
	DROP TABLE copy_target;
	RETURN result;
END
$$;
SELECT dim, nnz, zero, rest, outcome(format('SELECT copy_field(%L, %L, %L)', :'path', int4send(dim) || int4send(nnz) || int4send(zero) || rest, type)) FROM (VALUES
	(3, 1, 0, '\x000000023f800000'::bytea, 'sparsevec'), (3, 0, 0, '\x', 'sparsevec'), (1000000000, 1, 0, '\x3b9ac9ffbf800000', 'sparsevec'), (3, 2, 0, '\x00000000000000023f80000000000001', 'sparsevec(3)'),
	(3, 1, 0, '\x000000033f800000', 'sparsevec'), (3, 1, 0, '\xffffffff3f800000', 'sparsevec'), (3, 2, 0, '\x00000001000000003f8000003f800000', 'sparsevec'), (3, 2, 0, '\x00000001000000013f8000003f800000', 'sparsevec'),
	(3, 1, 0, '\x0000000000000000', 'sparsevec'), (3, 1, 0, '\x0000000080000000', 'sparsevec'), (3, 1, 0, '\x000000007fc00000', 'sparsevec'), (3, 1, 0, '\x00000000ff800000', 'sparsevec'),
	(3, 1, 1, '\x000000003f800000', 'sparsevec'), (3, 1, -1, '\x000000003f800000', 'sparsevec'), (3, 1, 0, '\x000000003f800000', 'sparsevec(2)'),
	(0, 0, 0, '\x', 'sparsevec'), (-1, 0, 0, '\x', 'sparsevec'), (1000000001, 0, 0, '\x', 'sparsevec'), (3, -1, 0, '\x', 'sparsevec'), (3, -2147483648, 0, '\x', 'sparsevec'), (3, 4, 0, '\x', 'sparsevec'), (2, 16001, 0, '\x', 'sparsevec'), (2147483647, 2147483647, 0, '\x', 'sparsevec'),
	(3, 1, 0, '\x000000003f8000', 'sparsevec'), (3, 1, 0, '\x00000000', 'sparsevec'), (3, 1, 0, '\x000000003f80000000', 'sparsevec')) AS t (dim, nnz, zero, rest, type);
SELECT field, outcome(format('SELECT copy_field(%L, %L, ''sparsevec'')', :'path', field)) FROM (VALUES ('\x'::bytea), ('\x000000'), ('\x00000003'), ('\x0000000300000001'), ('\x000000030000000100000000')) AS t (field);
SELECT n, outcome(format('SELECT copy_field(%L, %L, ''sparsevec'')', :'path', int4send(20000) || int4send(n) || int4send(0) || string_agg(int4send(i), '' ORDER BY i) || decode(repeat('3f000000', n), 'hex')))
	FROM (VALUES (16000), (16001)) AS t (n), generate_series(1, n) AS i GROUP BY n;
COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; rm vectorx_sparse.bin';
DROP FUNCTION copy_field;
DROP TABLE sparse, sparse_back;
-- casts
SELECT e, outcome('SELECT ' || e) FROM (VALUES
	($$'[0,-0,1.5]'::vector::sparsevec$$), ($$'[0,-0,1.5]'::vector::sparsevec(2)$$), ($$'[0]'::vector::sparsevec$$), ($$'{1:1,3:-2}/4'::sparsevec::vector$$), ($$'{1:1}/3'::sparsevec::vector(2)$$),
	($$vector_dims('{16000:1}/16000'::sparsevec::vector)$$), ($$'{1:1}/16001'::sparsevec::vector$$), ($$'{1:1}/16001'::sparsevec::vector(5)$$), ($$'{1:1}/3'::sparsevec::sparsevec(3)$$), ($$'{1:1}/3'::sparsevec::sparsevec(2)$$),
	($$sparsevec('{1:1}/3', 2, false)$$), ($$'{1:1}/3'::sparsevec::real[]$$),
	($$ARRAY[0,2,0]::sparsevec$$), ($$ARRAY[0.0,0.1,2.5]::sparsevec$$), ($$'{0,-0,1.5}'::real[]::sparsevec$$), ($$'{0,1e-60,1.5}'::float8[]::sparsevec$$), ($$'{0,1e-60}'::numeric[]::sparsevec$$),
	($$'{1,2}'::int[]::sparsevec(2)$$), ($$'{1,2}'::int[]::sparsevec(3)$$), ($$'{}'::int[]::sparsevec$$), ($$'{}'::real[]::sparsevec(3)$$), ($$'{1,NULL}'::real[]::sparsevec$$), ($$'{NULL,NaN}'::float8[]::sparsevec$$), ($$'{{1,2},{3,4}}'::real[]::sparsevec$$),
	($$'{NaN}'::real[]::sparsevec$$), ($$'{1,-Infinity}'::float8[]::sparsevec$$), ($$'{4e38}'::float8[]::sparsevec$$), ($$'{1e50}'::numeric[]::sparsevec$$), ($$'{NaN}'::numeric[]::sparsevec$$), ($$'[5:7]={1,0,3}'::int[]::sparsevec$$), ($$'{a}'::text[]::sparsevec$$),
	($$array_fill(0, ARRAY[100000])::sparsevec$$), ($$array_fill(0, ARRAY[100000])::sparsevec(5)$$), ($$l2_norm(array_fill(1, ARRAY[16000])::sparsevec)$$), ($$array_fill(1, ARRAY[16001])::sparsevec$$),
	($$l2_norm((array_fill(1.5::real, ARRAY[16000]) || array_fill(0::real, ARRAY[100]))::sparsevec)$$)) AS t (e);
SELECT count(*) FROM (SELECT ARRAY[i / 7.0 * (i % 3), i ^ 3 * (i % 2), -i]::real[] AS a FROM generate_series(-500, 500) AS i) AS t
	WHERE a::sparsevec::vector <> a::vector OR a::vector::sparsevec::text <> a::sparsevec::text;
-- a vector stands for a sparsevec without a cast, not the other way round
SELECT outcome($$SELECT l2_norm('[3,4]'::vector)$$), outcome($$SELECT vector_norm('{1:1}/1'::sparsevec)$$);
-- stored values that cannot be
CREATE CAST (bytea AS sparsevec) WITHOUT FUNCTION;
SELECT bytes, outcome(format('SELECT %L::bytea::sparsevec', bytes)) FROM (VALUES ('\x'::bytea), ('\x01'), ('\x0101010100000000000000'), ('\x010101010000000001010101'), ('\x000000000000000000000000'),
	('\xffffffff0000000000000000'), ('\x01010101ffffffff00000000'), ('\x01010101010101010000000000000000')) AS t (bytes);
SELECT e, outcome(format('SELECT %s', replace(e, 'bad', '''\x010101010101010100000000''::bytea::sparsevec'))) FROM (VALUES
	('bad < bad'), ('sparsevec_cmp(bad, bad)'), ('bad <-> bad'), ('bad <#> bad'), ('bad <=> bad'), ('bad <+> bad'), ('l2_norm(bad)'), ('l2_normalize(bad)'), ('sparsevec_send(bad)'), ('bad::vector'), ('bad::sparsevec(5)')) AS t (e);
-- an element beyond the end of 257 dimensions, in one byte order or the other
SELECT count(*) FROM (VALUES ('\x010100000100000000000000010101010000803f'::bytea), ('\x000001010000000100000000010101013f800000')) AS t (bytes)
	WHERE outcome(format('SELECT %L::bytea::sparsevec::vector', bytes)) = 'XX001 invalid value of type sparsevec (The value has 24 bytes and claims 257 dimensions and 1 elements.)';
DROP CAST (bytea AS sparsevec);
-- soft errors, which PostgreSQL has from 16 on
SELECT input, CASE WHEN current_setting('server_version_num')::int >= 160000
		THEN outcome(format('SELECT pg_input_is_valid(%L, ''sparsevec(2)'')', input))
		ELSE (outcome(format('SELECT %L::sparsevec(2)', input)) LIKE '{%')::text END
	FROM (VALUES ('{1:1}/2'), ('{1:1}/3'), ('{1:1}'), ('{1:1'), ('1'), ('{1:x}/2'), ('{1:NaN}/2'), ('{1:1e39}/2'), ('{1:1e-99}/2'), ('{3:1}/2'), ('{1:1,1:1}/2'), ('{1:1}/2x'), ('{}/0'), ('{}/1000000001'), ('{1:1}/')) AS t (input);
