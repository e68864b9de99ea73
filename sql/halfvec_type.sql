-- The type halfvec: text and binary form, type modifier, casts, catalog entries.
\pset format unaligned
\pset tuples_only on
-- text that is a halfvec; numbers are rounded once, however many digits they have
SELECT input, outcome(format('SELECT %L::halfvec', input)) FROM (VALUES
	('[1,2,3]'), (E' [ 1 ,\t2,3\n] '), ('[-0,+0.5,1e2,0x10]'), ('[65504,-65504]'), ('[65519.999999999999999999999]'),
	('[5.9604645e-8,2.98e-8,2.9802322387695312e-8]'), ('[1e-46]'), ('[0.1,0.2,3.14159265358979]'),
	('[1.00048828125]'), ('[1.00048828125000000000000000000000001]'), ('[1.00048828124999999999999999999999999]'),
	('[1.00146484375]'), ('[1.00146484374999999999999999999999999]'), ('[-1.00048828125000000000000000000000001]'),
	('[2.98023223876953125e-8]'), ('[2.98023223876953125000000000000000001e-8]'), ('[-2.98023223876953125000000000000000001e-8]'),
	('[100048828125000000000000000000000001e-35]'), ('[.00000000000100048828124999999999999999999999e12]'))
	AS t (input);
-- text that is not
SELECT input, outcome(format('SELECT %L::halfvec', input)) FROM (VALUES
	(''), ('['), ('[]'), ('[ ]'), ('1,2'), ('[1'), ('[1,'), ('[1,]'), ('[,1]'), ('[1 2]'), ('[a]'), ('[1]]'), ('[1,2'),
	('[nan]'), ('[1,-inf]'), ('[65520]'), ('[1,-65520]'), ('[65519.99,65520.000000000000001]'), ('[1e5]'), ('[4e38]'), ('[1e400]'), ('[0x1p16]'))
	AS t (input);
SELECT n, outcome(format('SELECT vector_dims(%L::halfvec)', '[' || repeat('1,', n - 1) || '1]'))
	FROM (VALUES (16000), (16001)) AS t (n);
-- type modifier
SELECT t, outcome(format('SELECT ''[1,2,3]''::%s', t)) FROM (VALUES
	('halfvec'), ('halfvec(3)'), ('halfvec(2)'), ('halfvec(16000)'), ('halfvec(16001)'), ('halfvec(0)'), ('halfvec(-1)'), ('halfvec(3,2)'), ('halfvec(''a'')')) AS types (t);
-- every half there is: its text is the float's, and gives it again
CREATE TABLE halves AS SELECT bits, CASE WHEN bits & 31744 = 0 THEN (bits & 1023) * 2.0::float8 ^ -24
		ELSE (1024 + (bits & 1023)) * 2.0::float8 ^ ((bits & 31744) / 1024 - 25) END * CASE WHEN bits < 32768 THEN 1 ELSE -1 END AS x
	FROM generate_series(0, 65535) AS bits WHERE bits & 31744 <> 31744;
SELECT count(*), min(x), max(x) FROM halves;
SELECT count(*) FROM halves, LATERAL (SELECT format('[%s]', x::real)::halfvec AS h) AS t
	WHERE h::text <> format('[%s]', x::real) OR h::vector <> ARRAY[x]::vector OR ARRAY[x]::halfvec <> h OR ARRAY[x::real]::halfvec <> h
		OR ARRAY[x]::vector::halfvec <> h OR h::real[] <> ARRAY[x]::real[] OR ARRAY[x::numeric]::halfvec <> h;
-- binary form: the bits themselves
SELECT count(*) FROM halves WHERE halfvec_send(ARRAY[x]::halfvec) <> '\x00010000'::bytea || substr(int4send(bits), 3) AND x <> 0;
SELECT encode(halfvec_send('[1,-2,0.5,65504]'), 'hex');
-- between two halves: the nearest, and of two as near the one whose last bit is zero
SELECT count(*) FROM (SELECT bits, x, lead(x) OVER (ORDER BY bits) AS next FROM halves WHERE bits < 32768) AS t,
	LATERAL (SELECT (x + next) / 2 AS middle, CASE WHEN bits % 2 = 0 THEN x ELSE next END AS even) AS m
	WHERE next IS NOT NULL AND (ARRAY[middle]::halfvec <> ARRAY[even]::halfvec OR ARRAY[-middle]::halfvec <> ARRAY[-even]::halfvec
		OR ARRAY[middle::numeric * 1.000000000000001]::halfvec NOT IN (ARRAY[x]::halfvec, ARRAY[next]::halfvec)
		OR ARRAY[middle * (1 + 3e-16)]::halfvec <> ARRAY[next]::halfvec OR ARRAY[middle * (1 - 3e-16)]::halfvec <> ARRAY[x]::halfvec);
SELECT ARRAY[1.00048828125]::halfvec, ARRAY[1.000488281250000000000000000001]::halfvec, ARRAY[1.001464843749999999999999999]::halfvec;
-- order as of the numbers
SELECT count(*) FROM (SELECT x, lead(x) OVER (ORDER BY ARRAY[x]::halfvec, x) AS next FROM halves) AS t WHERE next < x;
DROP TABLE halves;
-- casts
SELECT e, outcome('SELECT ' || e) FROM (VALUES
	($$ARRAY[1,2,3]::halfvec$$), ($$ARRAY[1.0,2.5,-3]::halfvec$$), ($$'{1,2,3}'::int[]::halfvec(3)$$), ($$'{1,2,3}'::int[]::halfvec(2)$$),
	($$'{65519,-65504}'::int[]::halfvec$$), ($$'{65520}'::int[]::halfvec$$), ($$'{-2147483648}'::int[]::halfvec$$), ($$'{65520}'::real[]::halfvec$$), ($$'{1e300}'::float8[]::halfvec$$),
	($$'{65519.999999}'::float8[]::halfvec$$), ($$'{-65520}'::numeric[]::halfvec$$), ($$'{65519.99999999999999999999}'::numeric[]::halfvec$$), ($$'{1e40}'::numeric[]::halfvec$$),
	($$'{}'::int[]::halfvec$$), ($$'{NULL}'::int[]::halfvec$$), ($$'{1,NULL}'::real[]::halfvec$$), ($$'{{1,2},{3,4}}'::real[]::halfvec$$), ($$'{NaN}'::real[]::halfvec$$),
	($$'{Infinity}'::real[]::halfvec$$), ($$'{1,-Infinity}'::float8[]::halfvec$$), ($$'{NaN}'::numeric[]::halfvec$$), ($$'{a}'::text[]::halfvec$$),
	($$'[1,2,3]'::halfvec::real[]$$), ($$'[1,2,3]'::halfvec::vector$$), ($$'[1,2,3]'::halfvec::vector(3)$$), ($$'[1,2,3]'::halfvec::vector(2)$$), ($$'[1,2,3]'::vector::halfvec(3)$$),
	($$'[1,2,3]'::vector::halfvec(2)$$), ($$'[1,2]'::halfvec::halfvec(2)$$), ($$'[1,2]'::halfvec::halfvec(1)$$), ($$'[0.1,1e-30]'::vector::halfvec$$), ($$'[1,65520]'::vector::halfvec$$), ($$'[-1e38]'::vector::halfvec$$),
	($$array_fill(1, ARRAY[16001])::halfvec$$), ($$vector_dims(array_fill(1, ARRAY[16000])::halfvec)$$),
	($$'[0,1.5,0,-2]'::halfvec::sparsevec$$), ($$'{2:1.5,4:-2}/4'::sparsevec::halfvec$$), ($$'[1,2]'::halfvec::sparsevec(3)$$), ($$'{2:1.5}/4'::sparsevec::halfvec(3)$$), ($$'{2:65520}/4'::sparsevec::halfvec$$), ($$'{1:1}/16001'::sparsevec::halfvec$$),
	/* a vector is a halfvec by itself, not the other way round */
	($$'[1,2]'::halfvec <-> '[1,0]'::vector$$), ($$vector_norm('[3,4]'::halfvec)$$)) AS t (e);
SELECT castsource::regtype, casttarget::regtype, castcontext FROM pg_cast
	WHERE 'halfvec'::regtype IN (castsource, casttarget)
	ORDER BY castsource::regtype::text, casttarget::regtype::text;
CREATE TABLE half_columns (h halfvec(3), v vector(3), a real[]);
INSERT INTO half_columns VALUES ('[1,2,3]'::vector, '[1,2,3]'::halfvec, '[1,2,3]'::halfvec), (ARRAY[1,2,3], NULL, NULL);
SELECT * FROM half_columns;
SELECT outcome('INSERT INTO half_columns (h) VALUES (''[1,2]'') RETURNING h'), outcome('INSERT INTO half_columns (h) VALUES (''[1,2]''::vector) RETURNING h');
DROP TABLE half_columns;
-- representation: 8 bytes, then 2 for each element, kept uncompressed
SELECT pg_column_size('[1,2,3]'::halfvec), pg_column_size('[1]'::halfvec);
SELECT typlen, typbyval, typalign, typstorage, typcategory, typispreferred, typdelim FROM pg_type WHERE oid = 'halfvec'::regtype;
CREATE TABLE stored (h halfvec);
INSERT INTO stored SELECT array_fill(1, ARRAY[n])::halfvec FROM unnest(ARRAY[1, 25, 60, 960, 1536, 16000]) AS n;
SELECT vector_dims(h), pg_column_size(h), h = array_fill(1, ARRAY[vector_dims(h)])::halfvec FROM stored ORDER BY 1;
-- binary COPY there and back; and what is no halfvec
SELECT current_setting('data_directory') || '/vectorx_half.bin' AS path \gset
COPY stored TO :'path' (FORMAT binary);
CREATE TABLE stored_again (h halfvec);
COPY stored_again FROM :'path' (FORMAT binary);
SELECT count(*) FROM stored AS a JOIN stored_again AS b USING (h);
DROP TABLE stored, stored_again;
CREATE FUNCTION copy_field(path text, field bytea, type text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	id oid;
BEGIN
	id := lo_from_bytea(0, '\x5047434f50590aff0d0a000000000000000000'::bytea || '\x0001'
		|| int4send(length(field)) || field || '\xffff');
	PERFORM lo_export(id, path);
	PERFORM lo_unlink(id);
	EXECUTE format('CREATE TABLE copy_target (v %s)', type);
	EXECUTE format('COPY copy_target FROM %L (FORMAT binary)', path);
	SELECT left(v::text, 40) INTO result FROM copy_target;
	DROP TABLE copy_target;
	RETURN result;
END
$$;
SELECT field, type, outcome(format('SELECT copy_field(%L, %L, %L)', :'path', field, type)) FROM (VALUES
	('\x000100003c00'::bytea, 'halfvec'), ('\x000200003c00b800', 'halfvec(2)'), ('\x000200003c00b800', 'halfvec(3)'), ('\x000100013c00', 'halfvec'), ('\x00000000', 'halfvec'),
	('\x80000000', 'halfvec'), ('\xffff00003c00', 'halfvec'), ('\x3e810000', 'halfvec'), ('\x000200003c00', 'halfvec'), ('\x000100003c0000', 'halfvec'), ('\x0001', 'halfvec'), ('\x', 'halfvec'),
	('\x000100007c00', 'halfvec'), ('\x00010000fc00', 'halfvec'), ('\x000200003c007e00', 'halfvec'), ('\x000200003c00fc01', 'halfvec'), ('\x0003000080010000fbff', 'halfvec')) AS t (field, type);
COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; rm vectorx_half.bin';
DROP FUNCTION copy_field;
-- stored values that cannot be halfvecs
CREATE CAST (bytea AS halfvec) WITHOUT FUNCTION;
SELECT bytes, outcome(format('SELECT %L::bytea::halfvec', bytes)) FROM (VALUES
	('\x'::bytea), ('\x00'), ('\x01010000'), ('\x00000000'), ('\x000000000000'), ('\x010100000000'), ('\xffff00000000'), ('\x7f7f00000000')) AS t (bytes);
SELECT p.oid::regprocedure, outcome(format('SELECT %s(%s)', proname, (SELECT string_agg(CASE WHEN t = 'halfvec'::regtype THEN '''\x0101000000000000''::bytea::halfvec'
		WHEN t = 'integer'::regtype THEN '1' WHEN t = 'boolean'::regtype THEN 'true' ELSE '''{0}''' END, ', ' ORDER BY n) FROM unnest(proargtypes) WITH ORDINALITY AS u (t, n))))
	FROM pg_proc AS p WHERE 'halfvec'::regtype = ANY (proargtypes) AND prokind = 'f' AND prolang = (SELECT oid FROM pg_language WHERE lanname = 'c')
	ORDER BY proname COLLATE "C", p.oid::regprocedure::text COLLATE "C";
DROP CAST (bytea AS halfvec);
-- all that is made for the type
SELECT DISTINCT provolatile, proisstrict, proparallel FROM pg_proc
	WHERE ('halfvec'::regtype = ANY (proargtypes) OR prorettype = 'halfvec'::regtype) AND prokind = 'f'
	AND EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e');
SELECT o.oprname, p.proname, com.oprname, neg.oprname, o.oprrest, o.oprjoin FROM pg_operator AS o
	JOIN pg_proc AS p ON p.oid = o.oprcode LEFT JOIN pg_operator AS com ON com.oid = o.oprcom LEFT JOIN pg_operator AS neg ON neg.oid = o.oprnegate
	WHERE o.oprleft = 'halfvec'::regtype AND o.oprright = 'halfvec'::regtype ORDER BY o.oprname COLLATE "C";
-- the operators are those of vector, one for one, and so are the functions they have names in common with
SELECT o.oprname, o.oprrest, o.oprjoin FROM pg_operator AS o WHERE oprleft = 'vector'::regtype AND oprright IN ('vector'::regtype, 'vector_sphere'::regtype)
	EXCEPT SELECT o.oprname, o.oprrest, o.oprjoin FROM pg_operator AS o WHERE oprleft = 'halfvec'::regtype AND oprright IN ('halfvec'::regtype, 'halfvec_sphere'::regtype);
-- soft errors, which PostgreSQL has from 16 on
SELECT input, CASE WHEN current_setting('server_version_num')::int >= 160000
		THEN outcome(format('SELECT pg_input_is_valid(%L, ''halfvec(2)'')', input))
		ELSE (outcome(format('SELECT %L::halfvec(2)', input)) LIKE '[%')::text END
	FROM (VALUES ('[1,2]'), ('[1,2'), ('1'), ('[]'), ('[1,NaN]'), ('[1,inf]'), ('[1,65520]'), ('[1,2]x'), ('[1,2,3]')) AS t (input);
