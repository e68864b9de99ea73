-- Pending rows: with pending_limit rows wait to be linked, and are found meanwhile.  The same for
-- every operator class and layout, with rows that are added, deleted, updated and equal, before and after merges.
\pset format unaligned
\pset tuples_only on
SELECT setseed(0.5);
SET jit = off;
-- A kind of index: how a value is made of a vector of so many dimensions.
CREATE TABLE hkinds (name text, opclass text, type text, dim int, value text, options text, shared bool);
INSERT INTO hkinds VALUES
	('exact', 'vector_l2_ops', 'vector(3)', 3, '%s', '', false), ('exact_ip', 'vector_ip_ops', 'vector(3)', 3, '%s', '', false),
	('exact_l1', 'vector_l1_ops', 'vector(10)', 10, '%s', '', false), ('bits4', 'halfvec_cosine_ops', 'halfvec(16)', 16, '%s', '', false),
	('bits2', 'vector_ip_ops', 'vector(64)', 64, '%s', '', false), ('bits2_m', 'vector_l2_ops', 'vector(64)', 64, '%s', ', m = 40', false),
	('bits1', 'vector_cosine_ops', 'vector(200)', 200, '%s', '', false), ('side', 'vector_l2_ops', 'vector(3000)', 3000, '%s', '', false),
	('side_ip', 'halfvec_ip_ops', 'halfvec(3000)', 3000, '%s', '', false), ('none', 'vector_l1_ops', 'vector(40)', 40, '%s', '', false),
	('hamming', 'bit_hamming_ops', 'bit(203)', 203, 'binary_quantize(%s)', '', false),
	('jaccard', 'bit_jaccard_ops', 'bit(203)', 203, 'binary_quantize(%s)', ', sketch_bits = exact', false),
	('sparse', 'sparsevec_l2_ops', 'sparsevec(300)', 300, '%s::sparsevec', '', false), ('sparse_ip', 'sparsevec_ip_ops', 'sparsevec(300)', 300, '%s::sparsevec', '', false);
-- Of temporary tables, which no worker merges; and of others, where it may.
INSERT INTO hkinds SELECT 'shared_' || name, opclass, type, dim, value, options, true FROM hkinds WHERE name IN ('exact', 'bits4', 'bits1', 'side', 'none', 'sparse');
-- For each: rows with no index, with one and no root, rows linked, rows pending.
CREATE PROCEDURE make(k hkinds) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE %s hpend_%s (id serial, v %s)', CASE WHEN k.shared THEN 'TABLE' ELSE 'TEMPORARY TABLE' END, k.name, k.type);
	EXECUTE format('INSERT INTO hpend_%s (v) SELECT %s FROM generate_series(1, 100)', k.name, format(k.value, format('random_vector(%s)', k.dim)));
	EXECUTE format('CREATE INDEX hpend_%1$s_v ON hpend_%1$s USING hnsw (v %2$s) WITH (pending_limit = 120%3$s)', k.name, k.opclass, k.options);
END
$$;
CREATE PROCEDURE add(k hkinds, n int) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO hpend_%s (v) SELECT %s FROM generate_series(1, %s)', k.name, format(k.value, format('random_vector(%s)', k.dim)), n);
END
$$;
-- Rows that are not as near to their own vector as any; rows that a scan to the end returns not once.
CREATE FUNCTION faults(k hkinds) RETURNS text LANGUAGE plpgsql SET enable_seqscan = off SET enable_sort = off AS $$
DECLARE
	op text := (SELECT o.oprname FROM pg_opclass c JOIN pg_amop ON amopfamily = opcfamily AND amoppurpose = 'o'
		JOIN pg_operator o ON o.oid = amopopr JOIN pg_am m ON m.oid = opcmethod AND amname = 'hnsw' WHERE opcname = k.opclass);
	r record;
	d float8;
	lost int := 0;
	n bigint;
	ids bigint;
BEGIN
	FOR r IN EXECUTE format('SELECT v::text AS q, v %s v AS own FROM hpend_%s ORDER BY id', op, k.name) LOOP
		EXECUTE format('SELECT v %1$s %3$L FROM hpend_%2$s ORDER BY v %1$s %3$L LIMIT 1', op, k.name, r.q) INTO d;
		/* by the inner product a longer one may be nearer */
		IF d IS NULL OR d > r.own + 1e-5 THEN
			lost := lost + 1;
		END IF;
	END LOOP;
	EXECUTE format('SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM hpend_%2$s ORDER BY v %1$s (SELECT v FROM hpend_%2$s LIMIT 1)) s', op, k.name) INTO n, ids;
	EXECUTE format('SELECT count(*) - $1 FROM hpend_%s', k.name) INTO d USING n;
	RETURN concat_ws(' ', CASE WHEN lost > 0 THEN lost || ' not found' END, CASE WHEN n <> ids OR d <> 0 THEN 'not all once' END,
		(SELECT string_agg(problem, ', ') FROM hnsw_check(format('hpend_%s_v', k.name)::regclass)));
END
$$;
CREATE FUNCTION counts(k hkinds) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN NOT k.shared THEN format('%s nodes, %s rows, %s pending', live_nodes, heap_tids, pending_rows) END FROM hnsw_info(format('hpend_%s_v', k.name)::regclass)
$$;
DO $$ DECLARE k hkinds; BEGIN FOR k IN TABLE hkinds LOOP CALL make(k); CALL add(k, 80); END LOOP; END $$;
SELECT name, counts(k), faults(k) FROM hkinds k;
-- equal vectors: of a pending row one node, of a linked one a node besides
DO $$ DECLARE k hkinds; BEGIN FOR k IN TABLE hkinds LOOP
	EXECUTE format('INSERT INTO hpend_%1$s (v) SELECT v FROM hpend_%1$s, generate_series(1, 3) WHERE id IN (5, 150)', k.name); END LOOP; END $$;
SELECT name, counts(k), faults(k) FROM hkinds k;
-- more than there is room for: linked at once
DO $$ DECLARE k hkinds; BEGIN FOR k IN TABLE hkinds LOOP CALL add(k, 100); END LOOP; END $$;
SELECT name, counts(k), faults(k) FROM hkinds k;
-- deleted and updated, before VACUUM has seen it
DO $$ DECLARE k hkinds; BEGIN FOR k IN TABLE hkinds LOOP
	EXECUTE format('DELETE FROM hpend_%s WHERE id %% 3 = 0', k.name);
	EXECUTE format('UPDATE hpend_%s SET v = %s WHERE id %% 7 = 1', k.name, format(k.value, format('random_vector(%s)', k.dim))); END LOOP; END $$;
SELECT name, faults(k) FROM hkinds k WHERE faults(k) <> '';
SELECT name, hnsw_merge(format('hpend_%s_v', name)::regclass) > 0 OR shared AS merged FROM hkinds;
SELECT name, counts(k), faults(k) FROM hkinds k;
SELECT format('VACUUM hpend_%s', name) FROM hkinds \gexec
SELECT name, counts(k), faults(k), dead_nodes FROM hkinds k, hnsw_info(format('hpend_%s_v', name)::regclass);
-- the pages are used again; there are twice as many where the worker merges while rows come
DO $$ DECLARE k hkinds; BEGIN FOR k IN TABLE hkinds LOOP CALL add(k, 50); END LOOP; END $$;
SELECT name, counts(k), pending_pages <= (120 / 32 + 1) * CASE WHEN name LIKE 'shared%' THEN 2 ELSE 1 END AS few, merges > 0 AS merged, merged_rows >= 120 AS rows, faults(k)
	FROM hkinds k, hnsw_info(format('hpend_%s_v', name)::regclass);
-- to a recall, within a distance
SET hnsw.target_recall = 0.95;
SELECT name, faults(k) FROM hkinds k WHERE faults(k) <> '';
RESET hnsw.target_recall;
SET enable_seqscan = off;
SELECT count(*) FROM hpend_exact WHERE v <-> (SELECT v FROM hpend_exact WHERE id = 320) < 1e-6;
-- all others deleted: nothing is there but what is pending
DO $$ DECLARE k hkinds; BEGIN FOR k IN TABLE hkinds LOOP
	PERFORM hnsw_merge(format('hpend_%s_v', k.name)::regclass);
	EXECUTE format('DELETE FROM hpend_%s', k.name);
	CALL add(k, 20); END LOOP; END $$;
SELECT name, faults(k) FROM hkinds k WHERE faults(k) <> '';
SELECT format('VACUUM hpend_%s', name) FROM hkinds \gexec
SELECT name, counts(k), faults(k) FROM hkinds k;
-- a cursor goes on over pending rows, while they are merged, too
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM hpend_shared_bits1 ORDER BY v <=> (SELECT v FROM hpend_shared_bits1 ORDER BY id LIMIT 1);
FETCH 1 FROM c \g /dev/null
MOVE 4 FROM c;
SELECT hnsw_merge('hpend_shared_bits1_v') >= 0 AS merged;
MOVE ALL FROM c;
\echo :ROW_COUNT
COMMIT;
-- the option
SELECT outcome('ALTER INDEX hpend_exact_v SET (pending_limit = -2)'), outcome('ALTER INDEX hpend_exact_v SET (pending_limit = 65537)');
ALTER INDEX hpend_exact_v SET (pending_limit = 0);
INSERT INTO hpend_exact (v) SELECT random_vector(3) FROM generate_series(1, 10);
SELECT pending_rows FROM hnsw_info('hpend_exact_v');
ALTER INDEX hpend_exact_v SET (pending_limit = 65536);
INSERT INTO hpend_exact (v) SELECT random_vector(3) FROM generate_series(1, 1000);
SELECT pending_rows, faults(k) FROM hnsw_info('hpend_exact_v'), hkinds k WHERE name = 'exact';
-- one that grows from nothing but one row
CREATE TEMPORARY TABLE hgrown (id serial, v vector(24));
CREATE INDEX hgrown_v ON hgrown USING hnsw (v vector_l2_ops) WITH (pending_limit = 2000);
INSERT INTO hgrown (v) SELECT random_vector(24) FROM generate_series(1, 1500);
SELECT live_nodes, pending_rows FROM hnsw_info('hgrown_v');
SELECT count(*) FROM hgrown g WHERE id % 10 = 0 AND id <> (SELECT id FROM hgrown ORDER BY v <-> g.v LIMIT 1);
DROP TABLE hgrown;
SELECT format('DROP TABLE hpend_%s', name) FROM hkinds \gexec
DROP FUNCTION faults, counts;
DROP PROCEDURE make, add;
DROP TABLE hkinds;
