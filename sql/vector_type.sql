-- The type itself: text form, type modifier, representation, catalog entries.
\pset format unaligned
\pset tuples_only on
-- text that is a vector
SELECT input, outcome(format('SELECT %L::vector', input)) FROM (VALUES
	('[1,2,3]'), ('[0]'), ('[-1,+2]'), ('[1.,.5]'), ('[1.25,-0.5e1,25e-1,1E2]'),
	('[-0,0,0.0]'), ('[00012,1.50]'), ('[1e-3,1e5,1e6,123456789]'),
	(' [ 1 ,  2,3   ] '), (E'\t[\n1\r,\x0b2\f]\n'), ('[0x10,0x1p3,0X1.8p-1]'),
	('[0.1,0.2,0.30000001192092896]'), ('[16777217,16777219,0.50000002980232239]'),
	('[3.4028235e38,-3.4028235e38]'), ('[340282346638528859811704183484516925440]'),
	('[1.17549435e-38,1.4e-45,1e-45,-1e-40]'), ('[1e-46,-1e-46,1e-400]'),
	('[0.000000000000000000000000000000000000000000001e45]'),
	('[123456789012345678901234567890,1.00000000000000000000000000000001]'))
	AS t (input);
-- text that is not
SELECT replace(input, E'\n', '\n'), outcome(format('SELECT %L::vector', input)) FROM (VALUES
	(''), (' '), ('['), ('[ '), ('[]'), ('[ ]'), (']'), ('1,2,3'), ('{1,2,3}'), ('hello'),
	('[1'), ('[1,'), ('[1,]'), ('[,1]'), ('[,]'), ('[1,,2]'), ('[1 2]'), ('[1;2]'),
	('[a]'), ('[1a]'), ('[1e]'), ('[1e+]'), ('[1.2.3]'), ('[.]'), ('[-]'), ('[--1]'),
	('[+-1]'), ('[- 1]'), ('[e5]'), ('[0x]'), ('[1,0x,2]'), ('["1"]'), ('[[1]]'),
	('[1]]'), ('[1][2]'), ('[1] x'), ('[1],'), ('[1,2'), ('[1,2,3'),
	('[nan]'), ('[NaN,1]'), ('[1,-nan]'), ('[inf]'), ('[1,-Infinity]'), ('[infinit]'),
	('[4e38]'), ('[1,-4e38,2]'), ('[3.4028236e38]'), ('[1e400,]'), ('[ -1e39 ]'),
	('[0x1p128]'), ('[340282356779733661637539395458142568448]'))
	AS t (input);
-- the greatest number of dimensions
SELECT n, outcome(format('SELECT vector_dims(%L::vector)', '[' || repeat('1,', n - 1) || '1]'))
	FROM (VALUES (15999), (16000), (16001), (20000)) AS t (n);
-- missing bracket after the last allowed element
SELECT left(outcome(format('SELECT %L::vector', '[' || repeat('1,', 16000))), 60);
-- type modifier
SELECT t, outcome(format('SELECT ''[1,2,3]''::%s', t)) FROM (VALUES
	('vector'), ('vector(3)'), ('vector(2)'), ('vector(4)'), ('vector(16000)'),
	('vector(16001)'), ('vector(0)'), ('vector(-1)'), ('vector(3,2)'), ('vector(''a'')'),
	('vector()'), ('vector(2147483648)')) AS types (t);
CREATE TABLE typmods (v vector(3), w vector);
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
	WHERE attrelid = 'typmods'::regclass AND attnum > 0 ORDER BY attnum;
INSERT INTO typmods VALUES ('[1,2,3]', '[1]'), (NULL, '[1,2]');
SELECT outcome('INSERT INTO typmods (v) VALUES (''[1,2]'') RETURNING v');
SELECT outcome('INSERT INTO typmods (v) SELECT w FROM typmods RETURNING v');
SELECT outcome('INSERT INTO typmods (v) VALUES (ARRAY[1,2,3,4]) RETURNING v');
SELECT v, w FROM typmods ORDER BY w;
DROP TABLE typmods;
-- output is the shortest text that gives the same number again
SELECT bool_and(format('[%s]', f)::vector::text = format('[%s]', f)
		AND format('[%s]', f)::vector::real[] = ARRAY[f])
	FROM (SELECT ((i::float8 / 7919) * 10 ^ (abs(i) % 73 - 35))::real AS f
		FROM generate_series(-20000, 20000) AS i WHERE i <> 0) AS floats;
-- text is rounded as for real, whatever the number of digits
SELECT count(*) FROM (SELECT rpad(((i::numeric * 7919 + 1) ^ 5 / 3)::text, 3 + i % 40, '7') || 'e-' || i % 50 AS t
		FROM generate_series(1, 20000) AS i) AS texts
	WHERE format('[%s]', t)::vector::real[] <> ARRAY[t::real];
-- representation: 8 bytes, then 4 for each element, kept uncompressed
SELECT pg_column_size('[1,2,3]'::vector), pg_column_size('[1]'::vector);
SELECT typlen, typbyval, typalign, typstorage, typcategory, typispreferred, typdelim
	FROM pg_type WHERE oid = 'vector'::regtype;
CREATE TABLE stored (v vector);
INSERT INTO stored SELECT array_fill(1, ARRAY[n])::vector FROM unnest(ARRAY[1, 25, 30, 480, 1536, 16000]) AS n;
SELECT vector_dims(v), pg_column_size(v), v = array_fill(1, ARRAY[vector_dims(v)])::vector FROM stored ORDER BY 1;
DROP TABLE stored;
-- binary form
SELECT input, encode(vector_send(input::vector), 'hex') FROM (VALUES ('[1]'), ('[1,-2,0.5]'), ('[-0,1e-45,3.4028235e38]')) AS t (input);
-- all that is made for the type
SELECT DISTINCT provolatile, proisstrict, proparallel, prokind FROM pg_proc
	WHERE ('vector'::regtype = ANY (proargtypes) OR prorettype = 'vector'::regtype) AND prokind = 'f'
	AND EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e');
SELECT castsource::regtype, casttarget::regtype, castcontext FROM pg_cast
	WHERE castfunc IN (SELECT oid FROM pg_proc WHERE proname IN ('vector', 'array_to_vector', 'vector_to_float4'))
	ORDER BY castsource::regtype::text, casttarget::regtype::text;
SELECT o.oprname, p.proname, com.oprname, neg.oprname, o.oprrest, o.oprjoin FROM pg_operator AS o
	JOIN pg_proc AS p ON p.oid = o.oprcode
	LEFT JOIN pg_operator AS com ON com.oid = o.oprcom
	LEFT JOIN pg_operator AS neg ON neg.oid = o.oprnegate
	WHERE o.oprleft = 'vector'::regtype AND o.oprright = 'vector'::regtype ORDER BY o.oprname COLLATE "C";
-- soft errors, which PostgreSQL has from 16 on
SELECT input, CASE WHEN current_setting('server_version_num')::int >= 160000
		THEN outcome(format('SELECT pg_input_is_valid(%L, ''vector(2)'')', input))
		ELSE (outcome(format('SELECT %L::vector(2)', input)) LIKE '[%')::text END
	FROM (VALUES ('[1,2]'), ('[1,2'), ('1'), ('[]'), ('[1,NaN]'), ('[1,inf]'), ('[1,1e39]'), ('[1,2]x'), ('[1,2,3]')) AS t (input);
