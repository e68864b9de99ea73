-- COPY in text and binary form, and binary input that is not a vector.
\pset format unaligned
\pset tuples_only on
CREATE TABLE copied (v vector(3));
COPY copied FROM STDIN;
[1,2,3]
 [ -1.5 , 2e3, 3 ]
\N
[0.1,1e-45,3.4028235e+38]
\.
COPY copied TO STDOUT;
COPY copied TO STDOUT (FORMAT csv);
-- a file that the server reads and writes
SELECT current_setting('data_directory') || '/vectorx_copy.bin' AS path \gset
COPY copied TO :'path' (FORMAT binary);
CREATE TABLE copied_back (v vector);
COPY copied_back FROM :'path' (FORMAT binary);
SELECT v FROM copied_back;
(TABLE copied EXCEPT ALL TABLE copied_back) UNION ALL (TABLE copied_back EXCEPT ALL TABLE copied);
TRUNCATE copied;
COPY copied FROM :'path' (FORMAT binary);
SELECT count(*), count(v) FROM copied;
INSERT INTO copied_back SELECT array_fill(0.25, ARRAY[n])::vector FROM unnest(ARRAY[1, 2000, 16000]) AS n;
COPY copied_back TO :'path' (FORMAT binary);
CREATE TABLE copied_again (v vector);
COPY copied_again FROM :'path' (FORMAT binary);
SELECT count(*) FROM copied_back AS a JOIN copied_again AS b ON a.v = b.v;
-- one row whose only field is the given bytes
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
	('\x000100003f800000'::bytea, 'vector'), ('\x000200003f800000bf000000', 'vector(2)'), ('\x000200003f800000bf000000', 'vector(3)'),
	('\x000100013f800000', 'vector'), ('\x0001ffff3f800000', 'vector'), ('\x00020001', 'vector(1)'),
	('\x00000000', 'vector'), ('\x80000000', 'vector'), ('\xffff00003f800000', 'vector'), ('\x3e810000', 'vector'), ('\x7fff0000', 'vector'),
	('\x000200003f800000', 'vector'), ('\x000200003f8000003f80', 'vector'), ('\x000100003f80000000', 'vector'), ('\x0001', 'vector'), ('\x', 'vector'), ('\x000100', 'vector'),
	('\x000100007fc00000', 'vector'), ('\x000100007f800000', 'vector'), ('\x00010000ff800000', 'vector'), ('\x000200003f8000007f800001', 'vector'),
	('\x0001000080000001', 'vector'), ('\x0001000080000000', 'vector')) AS t (field, type);
SELECT type, dims, outcome(format('SELECT copy_field(%L, %L, %L)', :'path', int2send(dims::int2) || '\x0000'::bytea || decode(repeat('3f000000', dims), 'hex'), type))
	FROM (VALUES ('vector', 16000), ('vector', 16001), ('vector(15999)', 16000)) AS t (type, dims);
COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; rm vectorx_copy.bin';
DROP FUNCTION copy_field;
DROP TABLE copied, copied_back, copied_again;
-- errors in text name the column
COPY (SELECT '[1,2,3]'::vector) TO STDOUT;
CREATE TABLE copied (v vector(2));
\set SHOW_CONTEXT always
COPY copied FROM STDIN;
[1,2]
[1,2,3]
\.
COPY copied FROM STDIN;
[1,NaN]
\.
SELECT count(*) FROM copied;
DROP TABLE copied;
