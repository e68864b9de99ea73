-- A database as applications have them on pgvector, small: every type, every operator class of hnsw, ivfflat and btree,
-- expression and partial indexes, views, functions with settings, partitions, generated columns.  The extension is there
-- already.  Run by pgvector itself (bench/migrate.py), whose dump of it is pgvector_dump.sql; nothing here may be
-- vectorx's own.  "asked" holds statements and what pgvector answers, exactly: it must be the answer wherever it is restored.
CREATE SCHEMA app;
CREATE FUNCTION app.waves(n int, seed int) RETURNS real[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN (SELECT array_agg(round((10 * sin(seed * 12.9898 + i * 78.233))::numeric, 3)::real ORDER BY i) FROM generate_series(1, n) i);
CREATE DOMAIN app.embedding AS vector(3) CHECK (vector_norm(VALUE) > 0);
CREATE TYPE app.pair AS (a vector, b halfvec);

CREATE TABLE items (
	id int PRIMARY KEY,
	tag text NOT NULL,
	v vector(8) NOT NULL CHECK (v <-> '[0,0,0,0,0,0,0,0]' < 100000),
	h halfvec(8),
	s sparsevec(12),
	b bit(8),
	free vector DEFAULT '[1,2]',
	list vector[],
	both_of app.pair,
	small app.embedding,
	norm float8 GENERATED ALWAYS AS (vector_norm(v)) STORED,
	signs bit(8) GENERATED ALWAYS AS (binary_quantize(v)) STORED,
	CONSTRAINT as_long CHECK (vector_dims(v) = vector_dims(h))
);
ALTER TABLE items ALTER COLUMN v SET STORAGE PLAIN;
ALTER TABLE items SET (parallel_workers = 2);
INSERT INTO items (id, tag, v, h, s, b, list, both_of, small)
	SELECT i, (ARRAY['red', 'green', 'blue'])[i % 3 + 1], x, x::halfvec,
		(ARRAY[0, x[1], 0, 0, x[2], x[3], 0, 0, 0, x[4], 0, x[5]]::real[])::vector::sparsevec, binary_quantize(x::vector),
		ARRAY[x[1:2]::vector, x[3:5]::vector], ROW(x[1:3]::vector, x[2:4]::halfvec)::app.pair, x[1:3]::vector
	FROM (SELECT i, app.waves(8, i) AS x FROM generate_series(1, 60) i) w;
INSERT INTO items (id, tag, v) VALUES (61, 'none', '[1,-0,0,0,1e-30,0,0,65504]'), (62, 'none', '[0,0,0,0,0,0,0,0]');

CREATE INDEX items_v_l2 ON items USING hnsw (v vector_l2_ops);
CREATE INDEX items_v_ip ON items USING hnsw (v vector_ip_ops) WITH (m = 8);
CREATE INDEX items_v_cosine ON items USING hnsw (v vector_cosine_ops) WITH ("m" = '12', ef_construction = 100);
CREATE INDEX items_v_l1 ON items USING hnsw (v vector_l1_ops);
CREATE INDEX items_h_l2 ON items USING hnsw (h halfvec_l2_ops);
CREATE INDEX items_h_ip ON items USING hnsw (h halfvec_ip_ops);
CREATE INDEX items_h_cosine ON items USING hnsw (h halfvec_cosine_ops);
CREATE INDEX items_h_l1 ON items USING hnsw (h halfvec_l1_ops);
CREATE INDEX items_s_l2 ON items USING hnsw (s sparsevec_l2_ops);
CREATE INDEX items_s_ip ON items USING hnsw (s sparsevec_ip_ops);
CREATE INDEX items_s_cosine ON items USING hnsw (s sparsevec_cosine_ops);
CREATE INDEX items_s_l1 ON items USING hnsw (s sparsevec_l1_ops);
CREATE INDEX items_b_hamming ON items USING hnsw (b bit_hamming_ops);
CREATE INDEX items_b_jaccard ON items USING hnsw (b bit_jaccard_ops);
CREATE INDEX items_v_lists ON items USING ivfflat (v) WITH (lists = 3);
CREATE INDEX items_v_ip_lists ON items USING ivfflat (v vector_ip_ops) WITH (lists = 3);
CREATE INDEX items_v_cosine_lists ON items USING ivfflat (v vector_cosine_ops);
CREATE INDEX items_h_lists ON items USING ivfflat (h halfvec_l2_ops) WITH (lists = 3);
CREATE INDEX items_h_ip_lists ON items USING ivfflat (h halfvec_ip_ops) WITH (lists = 3);
CREATE INDEX items_h_cosine_lists ON items USING ivfflat (h halfvec_cosine_ops) WITH (lists = 3);
CREATE INDEX items_b_lists ON items USING ivfflat (b bit_hamming_ops) WITH (lists = 3);
CREATE INDEX items_v_order ON items (v);
CREATE INDEX items_h_order ON items (h);
CREATE UNIQUE INDEX items_s_order ON items (s) WHERE s IS NOT NULL;
CREATE INDEX items_as_half ON items USING hnsw ((v::halfvec(8)) halfvec_cosine_ops);
CREATE INDEX items_quantized ON items USING hnsw ((binary_quantize(v)::bit(8)) bit_hamming_ops) WITH (m = 4);
CREATE INDEX items_beginning ON items USING hnsw ((subvector(v, 1, 3)::vector(3)) vector_l2_ops);
CREATE INDEX items_red ON items USING hnsw (v vector_l2_ops) WHERE tag = 'red';
COMMENT ON INDEX items_red IS 'only red ones';
CREATE STATISTICS items_statistics ON tag, norm FROM items;

CREATE TABLE app.documents (id int, day date NOT NULL, v vector(3), PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE app.documents_1 PARTITION OF app.documents FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE app.documents_2 PARTITION OF app.documents FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE INDEX documents_v ON app.documents USING hnsw (v vector_cosine_ops) WITH (ef_construction = 40);
INSERT INTO app.documents SELECT i, '2026-01-01'::date + i, app.waves(3, i)::vector FROM generate_series(0, 50) i;

CREATE VIEW nearest AS SELECT id, v <-> '[1,2,3,4,5,6,7,8]' AS distance FROM items
	ORDER BY v <-> '[1,2,3,4,5,6,7,8]', s <=> '{1:1}/12', b <~> '10101010' LIMIT 5;
CREATE VIEW app.centres AS SELECT tag, avg(v) AS centre, sum(h) AS total, (array_agg(v ORDER BY v DESC))[1] AS greatest FROM items GROUP BY tag;
CREATE MATERIALIZED VIEW app.kept AS SELECT id, v::vector(8) AS v, h::vector AS h FROM items WHERE id <= 40;
CREATE INDEX kept_v ON app.kept USING hnsw (v vector_l2_ops);
CREATE MATERIALIZED VIEW app.empty AS SELECT id, v FROM items WITH NO DATA;

CREATE FUNCTION like_item(item int, most int DEFAULT 3) RETURNS SETOF int LANGUAGE sql STABLE
	SET hnsw.ef_search = 100 SET hnsw.iterative_scan = relaxed_order SET ivfflat.probes = 3 AS
	$$SELECT id FROM items WHERE id <> item ORDER BY v <=> (SELECT v FROM items WHERE id = item) LIMIT most$$;
CREATE FUNCTION app.gap(a vector, b vector DEFAULT '[1,2,0.5]') RETURNS float8 LANGUAGE sql IMMUTABLE STRICT
	BEGIN ATOMIC SELECT (a - b) <+> (a * b); END;
CREATE FUNCTION app.halve() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN NEW.h := NEW.v::halfvec(8); NEW.b := binary_quantize(NEW.v); RETURN NEW; END$$;
CREATE TRIGGER halve BEFORE INSERT ON items FOR EACH ROW WHEN (NEW.h IS NULL) EXECUTE FUNCTION app.halve();
INSERT INTO items (id, tag, v) VALUES (63, 'made', '[8,7,6,5,4,3,2,1]');
ALTER TABLE app.documents ENABLE ROW LEVEL SECURITY;
CREATE POLICY near ON app.documents USING (v <=> '[1,1,1]' < 1.9);
GRANT SELECT ON items, nearest TO PUBLIC;

CREATE TABLE asked (id serial PRIMARY KEY, statement text NOT NULL, answer text);
INSERT INTO asked (statement)
	SELECT format('SELECT string_agg(id::text, '','') FROM (SELECT id FROM items WHERE %I IS NOT NULL ORDER BY %1$I %s %L, id LIMIT 10) n', c, o, q)
	FROM (VALUES ('v', '<->', '[1,2,3,4,5,6,7,8]'), ('v', '<#>', '[1,2,3,4,5,6,7,8]'), ('v', '<=>', '[1,2,3,4,5,6,7,8]'), ('v', '<+>', '[1,2,3,4,5,6,7,8]'),
		('h', '<->', '[1,2,-3,4,5,6,-7,8]'), ('h', '<#>', '[1,2,-3,4,5,6,-7,8]'), ('h', '<=>', '[1,2,-3,4,5,6,-7,8]'), ('h', '<+>', '[1,2,-3,4,5,6,-7,8]'),
		('s', '<->', '{2:1,5:-2,6:3}/12'), ('s', '<#>', '{2:1,5:-2,6:3}/12'), ('s', '<=>', '{2:1,5:-2,6:3}/12'), ('s', '<+>', '{2:1,5:-2,6:3}/12'),
		('b', '<~>', '10101010'), ('b', '<%>', '10101010'), ('signs', '<~>', '11110000')) AS q (c, o, q);
INSERT INTO asked (statement) VALUES
	('SELECT string_agg(id::text, '','') FROM nearest'),
	('SELECT string_agg(i::text, '','') FROM like_item(7) i'),
	('SELECT string_agg(id::text, '','') FROM (SELECT id FROM items WHERE tag = ''red'' ORDER BY v <-> ''[0,1,0,1,0,1,0,1]'' LIMIT 6) n'),
	('SELECT string_agg(id::text, '','') FROM (SELECT id FROM items ORDER BY v::halfvec(8) <=> ''[0,1,0,1,0,1,0,1]'' LIMIT 6) n'),
	('SELECT string_agg(id::text, '','') FROM (SELECT id FROM items ORDER BY subvector(v, 1, 3)::vector(3) <-> ''[3,2,1]'' LIMIT 6) n'),
	('SELECT string_agg(id::text, '','') FROM (SELECT id FROM (SELECT id, v FROM items ORDER BY binary_quantize(v)::bit(8) <~> ''11001010'', id LIMIT 20) n ORDER BY v <-> ''[1,1,-1,-1,1,-1,1,-1]'' LIMIT 3) m'),
	('SELECT string_agg(id::text, '','') FROM (SELECT id FROM app.documents ORDER BY v <=> ''[1,0,-1]'' LIMIT 7) n'),
	('SELECT string_agg(id::text, '','') FROM (SELECT id FROM app.kept ORDER BY v <-> ''[1,0,1,0,1,0,1,0]'' LIMIT 7) n'),
	('SELECT string_agg(id::text, '','' ORDER BY v, id) FROM items WHERE v > ''[3]'''),
	('SELECT string_agg(concat_ws(''/'', id, v, h, s, b, free, list, both_of, small, signs), ''; '' ORDER BY id) FROM items'),
	('SELECT string_agg(concat_ws(''/'', tag, round((centre <-> ''[0,0,0,0,0,0,0,0]'')::numeric, 2), vector_dims(total), greatest), ''; '' ORDER BY tag) FROM app.centres'),
	('SELECT string_agg(round(norm::numeric, 3)::text, '','' ORDER BY id) FROM items'),
	('SELECT round(sum(app.gap(small))::numeric, 3)::text FROM items');
DO $$
DECLARE
	a record;
BEGIN
	PERFORM set_config('enable_indexscan', 'off', true);
	FOR a IN SELECT * FROM asked LOOP
		EXECUTE a.statement INTO a.answer;
		UPDATE asked SET answer = a.answer WHERE id = a.id;
	END LOOP;
END
$$;
