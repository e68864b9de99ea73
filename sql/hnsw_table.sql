-- scans that go on with the rows of the table that meet the plan's conditions
SELECT setseed(0.5);
SET enable_seqscan = off;
SET enable_sort = off;
SET enable_bitmapscan = off;
SET jit = off;
CREATE TABLE htable (id int, grp int, tag text, v vector(4)) WITH (fillfactor = 60);
-- the farther from the query, the higher the group
INSERT INTO htable SELECT i, (v <-> '[0.5,0.5,0.5,0.5]') * 100, 'tag ' || i % 3, v FROM
	(SELECT i, random_vector(4) AS v FROM generate_series(1, 6000) AS i) s;
INSERT INTO htable VALUES (0, 150, NULL, NULL), (-1, 160, 'tag 1', '[0,0,0,0]');
CREATE INDEX htable_v ON htable USING hnsw (v vector_l2_ops);
ANALYZE htable;

-- What a condition finds, in order, against a sequential scan; and whether the table was read: the
-- rows that match are the farthest, and all others come before them else.
CREATE FUNCTION read_table(conditions text, k text, distance text DEFAULT 'v <-> ''[0.4,0.5,0.6,0.5]''', source text DEFAULT 'htable',
	OUT n bigint, OUT agrees bool, OUT by_table bool) LANGUAGE plpgsql AS $$
DECLARE
	query text := format('SELECT array_agg(d) FILTER (WHERE d IS NOT NULL) FROM (SELECT %s AS d FROM %s WHERE %s ORDER BY %1$s LIMIT %4$s) s', distance, source, conditions, k);
	found float8[];
	exact float8[];
BEGIN
	EXECUTE query INTO found;
	SELECT returned < 3000 INTO by_table FROM hnsw_last_scan();
	SET LOCAL enable_indexscan = off;
	SET LOCAL enable_seqscan = on;
	SET LOCAL enable_sort = on;
	EXECUTE query INTO exact;
	SET LOCAL enable_indexscan = on;
	SET LOCAL enable_seqscan = off;
	SET LOCAL enable_sort = off;
	n := cardinality(found);
	agrees := found IS NOT DISTINCT FROM exact;
END
$$;
SELECT * FROM read_table('grp > 145', '10');
SELECT * FROM read_table('grp > 145 AND tag = ''tag 2''', '10');
SELECT * FROM read_table('grp > 145', 'ALL');
SELECT * FROM read_table('grp > 1000', '10');
SELECT * FROM read_table('grp > 145', '10 OFFSET 30');
-- rows of other versions: updated in place and not, deleted
UPDATE htable SET tag = 'hot' WHERE id % 4 = 1;
UPDATE htable SET tag = 'hotter' WHERE id % 8 = 1;
UPDATE htable SET v = v + '[0.01,0,0,0]' WHERE id % 16 = 3;
DELETE FROM htable WHERE id % 5 = 2;
SELECT * FROM read_table('grp > 145', '10');
SELECT * FROM read_table('grp > 145 AND tag LIKE ''hot%''', 'ALL');
VACUUM htable;
SELECT * FROM read_table('grp > 145', 'ALL');
-- rows that nobody else sees, and those of a savepoint
BEGIN;
INSERT INTO htable SELECT 10000 + id, 200, 'new', v FROM htable WHERE grp > 150;
SAVEPOINT s;
DELETE FROM htable WHERE grp > 147 AND id < 10000;
SELECT * FROM read_table('grp > 145', 'ALL');
ROLLBACK TO s;
SELECT * FROM read_table('grp > 145', 'ALL');
ROLLBACK;
-- conditions that cannot be evaluated twice, or have plans of their own, are left to the executor
SELECT n, agrees, by_table FROM read_table('grp > 145 AND random() < 2', '10');
SELECT n, agrees, by_table FROM read_table('grp > (SELECT 145)', '10');
SELECT n, agrees, by_table FROM read_table('grp > 145 AND EXISTS (SELECT FROM pg_class c WHERE c.relname = tag || ''x'') IS NOT TRUE AND tag = ''tag 1''', '10');
-- nor are those that many rows meet
SELECT n, agrees, by_table FROM read_table('grp > 20', '3000');
SET hnsw.iterative_scan = off;
SELECT coalesce(n, 0) < 10 FROM read_table('grp > 145', '10');
SET hnsw.iterative_scan = relaxed_order;
SELECT * FROM read_table('grp > 145', 'ALL');
RESET hnsw.iterative_scan;
-- a predicate of the index is a condition, too; so are policies
CREATE INDEX htable_part ON htable USING hnsw (v vector_l1_ops) WHERE id % 2 = 0;
SELECT * FROM read_table('grp > 145 AND id % 2 = 0', 'ALL', 'v <+> ''[0.4,0.5,0.6,0.5]''');
-- an expression; no vector of zeros is in a cosine index
CREATE INDEX htable_half ON htable USING hnsw ((subvector(v, 1, 3)::vector(3)) vector_cosine_ops);
SELECT * FROM read_table('grp > 145 AND id >= 0', '10', '(subvector(v, 1, 3)::vector(3)) <=> ''[0.5,0.5,0.5]''');
SELECT count(*), count(*) FILTER (WHERE id = -1) AS zeros FROM
	(SELECT id FROM htable WHERE grp > 145 ORDER BY (subvector(v, 1, 3)::vector(3)) <=> '[0.5,0.5,0.5]') s;
CREATE ROLE regress_htable;
GRANT SELECT ON htable TO regress_htable;
ALTER TABLE htable ENABLE ROW LEVEL SECURITY;
CREATE POLICY far ON htable USING (grp > 145);
SET ROLE regress_htable;
SELECT * FROM read_table('id % 10 < 5', '10');
RESET ROLE;
-- a predicate goes before the conditions of the plan, which has not those that it implies: a policy, or what guards an expression
DROP INDEX htable_v;
CREATE INDEX htable_guard ON htable USING hnsw (v vector_l2_ops) WHERE grp > 70 AND grp <> 100;
CREATE FUNCTION look(n int) RETURNS bool LANGUAGE plpgsql IMMUTABLE COST 1 AS $$
BEGIN
	IF n <= 145 THEN
		RAISE 'row % is hidden', n;
	END IF;
	RETURN n > 160;
END
$$;
SELECT * FROM read_table('grp > 70 AND grp <> 100 AND 100 / (grp - 100) = 1', '10');
DROP INDEX htable_guard;
CREATE INDEX htable_guard ON htable USING hnsw (v vector_l2_ops) WHERE grp > 145;
SET ROLE regress_htable;
SELECT * FROM read_table('look(grp) AND look(grp + 0) AND look(grp + 1 - 1)', '10');
RESET ROLE;
DROP INDEX htable_guard;
CREATE INDEX htable_v ON htable USING hnsw (v vector_l2_ops);
DROP FUNCTION look;
ALTER TABLE htable DISABLE ROW LEVEL SECURITY;
-- again for each outer row, from a cursor, in a prepared statement with a generic plan
SELECT count(*), count(DISTINCT s.id) FROM generate_series(1, 20) q,
	LATERAL (SELECT id, v <-> '[0.5,0.5,0.5,0.5]' AS d FROM htable WHERE grp > 144 + q % 2 ORDER BY v <-> array_fill(0.4 + q * 0.01, ARRAY[4])::vector LIMIT 10) s;
BEGIN;
DECLARE c CURSOR FOR SELECT round((v <-> '[0.5,0.5,0.5,0.5]')::numeric, 4) AS d, grp > 145 AS far FROM htable WHERE grp > 145 ORDER BY v <-> '[0.5,0.5,0.5,0.5]';
UPDATE htable SET grp = 0 WHERE grp > 145;
FETCH 3 FROM c;
UPDATE htable SET tag = 'again' WHERE grp = 0;
FETCH 3 FROM c;
COMMIT;
UPDATE htable SET grp = 155 WHERE grp = 0;
SELECT count(*) FROM htable WHERE grp = 155;
SET plan_cache_mode = force_generic_plan;
PREPARE p(int) AS SELECT count(*) FROM (SELECT id FROM htable WHERE grp = $1 ORDER BY v <-> '[0.5,0.5,0.5,0.5]' LIMIT 10) s;
EXECUTE p(155);
EXECUTE p(1550);
RESET plan_cache_mode;
-- an error of a condition is the statement's
SELECT outcome('SELECT count(*) FROM (SELECT id FROM htable WHERE 1 / (grp - 155) > 3 ORDER BY v <-> ''[0.5,0.5,0.5,0.5]'' LIMIT 10) s');
SELECT n, agrees FROM read_table('grp = 155', '10');
-- a predicate may run code of the table's owner, which a query does not name that merely implies it: it is not called
CREATE FUNCTION hcalled(int) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('htable.deny', true) = 'on' THEN
		RAISE EXCEPTION 'called';
	END IF;
	RETURN false;
END
$$;
CREATE INDEX htable_owners ON htable USING hnsw (v vector_l1_ops) WHERE hcalled(id) OR grp > 70;
SET htable.deny = on;
SELECT n, agrees, by_table FROM read_table('grp = 155', '10', 'v <+> ''[0.4,0.5,0.6,0.5]''');
DROP INDEX htable_owners;
CREATE INDEX htable_owners ON htable USING hnsw (v vector_l1_ops) WHERE grp > 70;
SELECT n, agrees, by_table FROM read_table('grp = 155', '10', 'v <+> ''[0.4,0.5,0.6,0.5]''');
DROP TABLE htable;
DROP FUNCTION read_table;
DROP FUNCTION hcalled;
DROP ROLE regress_htable;
