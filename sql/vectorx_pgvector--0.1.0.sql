-- vectorx_pgvector 0.1.0: install script

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION vectorx_pgvector" to load this file. \quit

-- pgvector's schema is in the search path: types and operators without one are its

DO $$
BEGIN
	IF pg_catalog.to_regtype('vector_sphere') IS NOT NULL THEN
		RAISE feature_not_supported USING
			MESSAGE = 'extension "vector" is vectorx in this database, not pgvector',
			HINT = 'Its access method hnsw is what vectorx_pgvector is for.';
	END IF;
	IF pg_catalog.to_regtype('sparsevec') IS NULL THEN
		RAISE feature_not_supported USING
			MESSAGE = 'vectorx_pgvector needs pgvector 0.7.0 or later',
			HINT = 'ALTER EXTENSION vector UPDATE';
	END IF;
END
$$;

-- version of the library

CREATE FUNCTION vectorx_version() RETURNS text
	AS 'MODULE_PATHNAME', 'vectorx_version' LANGUAGE C STABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION vectorx_version() IS
	'version of the library that is loaded, whatever the name of the extension';

-- within a distance: what a condition like v <-> q <= r becomes when an index serves it

CREATE TYPE vector_sphere AS (center vector, radius double precision);

CREATE FUNCTION vector_within_l2(vector, vector_sphere) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN ($1 <-> ($2).center) <= ($2).radius;

CREATE FUNCTION vector_within_ip(vector, vector_sphere) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN ($1 <#> ($2).center) <= ($2).radius;

CREATE FUNCTION vector_within_cosine(vector, vector_sphere) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN ($1 <=> ($2).center) <= ($2).radius;

CREATE FUNCTION vector_within_l1(vector, vector_sphere) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN ($1 <+> ($2).center) <= ($2).radius;

CREATE OPERATOR <<->> (
	LEFTARG = vector, RIGHTARG = vector_sphere, FUNCTION = vector_within_l2,
	RESTRICT = areasel, JOIN = areajoinsel
);

CREATE OPERATOR <<#>> (
	LEFTARG = vector, RIGHTARG = vector_sphere, FUNCTION = vector_within_ip,
	RESTRICT = areasel, JOIN = areajoinsel
);

CREATE OPERATOR <<=>> (
	LEFTARG = vector, RIGHTARG = vector_sphere, FUNCTION = vector_within_cosine,
	RESTRICT = areasel, JOIN = areajoinsel
);

CREATE OPERATOR <<+>> (
	LEFTARG = vector, RIGHTARG = vector_sphere, FUNCTION = vector_within_l1,
	RESTRICT = areasel, JOIN = areajoinsel
);

CREATE TYPE halfvec_sphere AS (center halfvec, radius double precision);

CREATE FUNCTION halfvec_within_l2(halfvec, halfvec_sphere) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN ($1 <-> ($2).center) <= ($2).radius;

CREATE FUNCTION halfvec_within_ip(halfvec, halfvec_sphere) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN ($1 <#> ($2).center) <= ($2).radius;

CREATE FUNCTION halfvec_within_cosine(halfvec, halfvec_sphere) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN ($1 <=> ($2).center) <= ($2).radius;

CREATE FUNCTION halfvec_within_l1(halfvec, halfvec_sphere) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN ($1 <+> ($2).center) <= ($2).radius;

CREATE OPERATOR <<->> (
	LEFTARG = halfvec, RIGHTARG = halfvec_sphere, FUNCTION = halfvec_within_l2,
	RESTRICT = areasel, JOIN = areajoinsel
);

CREATE OPERATOR <<#>> (
	LEFTARG = halfvec, RIGHTARG = halfvec_sphere, FUNCTION = halfvec_within_ip,
	RESTRICT = areasel, JOIN = areajoinsel
);

CREATE OPERATOR <<=>> (
	LEFTARG = halfvec, RIGHTARG = halfvec_sphere, FUNCTION = halfvec_within_cosine,
	RESTRICT = areasel, JOIN = areajoinsel
);

CREATE OPERATOR <<+>> (
	LEFTARG = halfvec, RIGHTARG = halfvec_sphere, FUNCTION = halfvec_within_l1,
	RESTRICT = areasel, JOIN = areajoinsel
);

CREATE TYPE sparsevec_sphere AS (center sparsevec, radius double precision);

CREATE FUNCTION sparsevec_within_l2(sparsevec, sparsevec_sphere) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN ($1 <-> ($2).center) <= ($2).radius;

CREATE FUNCTION sparsevec_within_ip(sparsevec, sparsevec_sphere) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN ($1 <#> ($2).center) <= ($2).radius;

CREATE FUNCTION sparsevec_within_cosine(sparsevec, sparsevec_sphere) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN ($1 <=> ($2).center) <= ($2).radius;

CREATE FUNCTION sparsevec_within_l1(sparsevec, sparsevec_sphere) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN ($1 <+> ($2).center) <= ($2).radius;

CREATE OPERATOR <<->> (
	LEFTARG = sparsevec, RIGHTARG = sparsevec_sphere, FUNCTION = sparsevec_within_l2,
	RESTRICT = areasel, JOIN = areajoinsel
);

CREATE OPERATOR <<#>> (
	LEFTARG = sparsevec, RIGHTARG = sparsevec_sphere, FUNCTION = sparsevec_within_ip,
	RESTRICT = areasel, JOIN = areajoinsel
);

CREATE OPERATOR <<=>> (
	LEFTARG = sparsevec, RIGHTARG = sparsevec_sphere, FUNCTION = sparsevec_within_cosine,
	RESTRICT = areasel, JOIN = areajoinsel
);

CREATE OPERATOR <<+>> (
	LEFTARG = sparsevec, RIGHTARG = sparsevec_sphere, FUNCTION = sparsevec_within_l1,
	RESTRICT = areasel, JOIN = areajoinsel
);

CREATE TYPE bit_sphere AS (center pg_catalog."bit", radius double precision);

CREATE FUNCTION bit_within_hamming(bit, bit_sphere) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN ($1 <~> ($2).center) <= ($2).radius;

CREATE FUNCTION bit_within_jaccard(bit, bit_sphere) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN ($1 <%> ($2).center) <= ($2).radius;

CREATE OPERATOR <<~>> (
	LEFTARG = bit, RIGHTARG = bit_sphere, FUNCTION = bit_within_hamming,
	RESTRICT = areasel, JOIN = areajoinsel
);

CREATE OPERATOR <<%>> (
	LEFTARG = bit, RIGHTARG = bit_sphere, FUNCTION = bit_within_jaccard,
	RESTRICT = areasel, JOIN = areajoinsel
);

-- distances and norms by which an index knows its metric: pgvector's, under names of their own

CREATE FUNCTION vectorx_vector_l2_squared_distance(vector, vector) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION vectorx_vector_negative_inner_product(vector, vector) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION vectorx_vector_norm(vector) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION vectorx_l1_distance(vector, vector) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION vectorx_halfvec_l2_squared_distance(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION vectorx_halfvec_negative_inner_product(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION vectorx_halfvec_l2_norm(halfvec) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION vectorx_halfvec_l1_distance(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION vectorx_hamming_distance(bit, bit) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION vectorx_jaccard_distance(bit, bit) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION vectorx_sparsevec_l2_squared_distance(sparsevec, sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION vectorx_sparsevec_negative_inner_product(sparsevec, sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION vectorx_sparsevec_l2_norm(sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION vectorx_sparsevec_l1_distance(sparsevec, sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;


-- access method

CREATE FUNCTION vectorxhandler(internal) RETURNS index_am_handler
	AS 'MODULE_PATHNAME', 'vectorx_hnswhandler' LANGUAGE C;

CREATE ACCESS METHOD vectorx TYPE INDEX HANDLER vectorxhandler;

COMMENT ON ACCESS METHOD vectorx IS 'vectorx index access method';

CREATE OPERATOR CLASS vector_l2_ops
	FOR TYPE vector USING vectorx AS
	OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops,
	OPERATOR 2 <<->> (vector, vector_sphere),
	FUNCTION 1 vectorx_vector_l2_squared_distance(vector, vector);

CREATE OPERATOR CLASS vector_ip_ops
	FOR TYPE vector USING vectorx AS
	OPERATOR 1 <#> (vector, vector) FOR ORDER BY float_ops,
	OPERATOR 2 <<#>> (vector, vector_sphere),
	FUNCTION 1 vectorx_vector_negative_inner_product(vector, vector);

CREATE OPERATOR CLASS vector_cosine_ops
	FOR TYPE vector USING vectorx AS
	OPERATOR 1 <=> (vector, vector) FOR ORDER BY float_ops,
	OPERATOR 2 <<=>> (vector, vector_sphere),
	FUNCTION 1 vectorx_vector_negative_inner_product(vector, vector),
	FUNCTION 2 vectorx_vector_norm(vector);

CREATE OPERATOR CLASS vector_l1_ops
	FOR TYPE vector USING vectorx AS
	OPERATOR 1 <+> (vector, vector) FOR ORDER BY float_ops,
	OPERATOR 2 <<+>> (vector, vector_sphere),
	FUNCTION 1 vectorx_l1_distance(vector, vector);

CREATE FUNCTION vectorx_halfvec_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_halfvec_support' LANGUAGE C;

CREATE OPERATOR CLASS halfvec_l2_ops
	FOR TYPE halfvec USING vectorx AS
	OPERATOR 1 <-> (halfvec, halfvec) FOR ORDER BY float_ops,
	OPERATOR 2 <<->> (halfvec, halfvec_sphere),
	FUNCTION 1 vectorx_halfvec_l2_squared_distance(halfvec, halfvec),
	FUNCTION 3 vectorx_halfvec_support(internal);

CREATE OPERATOR CLASS halfvec_ip_ops
	FOR TYPE halfvec USING vectorx AS
	OPERATOR 1 <#> (halfvec, halfvec) FOR ORDER BY float_ops,
	OPERATOR 2 <<#>> (halfvec, halfvec_sphere),
	FUNCTION 1 vectorx_halfvec_negative_inner_product(halfvec, halfvec),
	FUNCTION 3 vectorx_halfvec_support(internal);

CREATE OPERATOR CLASS halfvec_cosine_ops
	FOR TYPE halfvec USING vectorx AS
	OPERATOR 1 <=> (halfvec, halfvec) FOR ORDER BY float_ops,
	OPERATOR 2 <<=>> (halfvec, halfvec_sphere),
	FUNCTION 1 vectorx_halfvec_negative_inner_product(halfvec, halfvec),
	FUNCTION 2 vectorx_halfvec_l2_norm(halfvec),
	FUNCTION 3 vectorx_halfvec_support(internal);

CREATE OPERATOR CLASS halfvec_l1_ops
	FOR TYPE halfvec USING vectorx AS
	OPERATOR 1 <+> (halfvec, halfvec) FOR ORDER BY float_ops,
	OPERATOR 2 <<+>> (halfvec, halfvec_sphere),
	FUNCTION 1 vectorx_halfvec_l1_distance(halfvec, halfvec),
	FUNCTION 3 vectorx_halfvec_support(internal);

CREATE FUNCTION vectorx_bit_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_bit_support' LANGUAGE C;

CREATE OPERATOR CLASS bit_hamming_ops
	FOR TYPE bit USING vectorx AS
	OPERATOR 1 <~> (bit, bit) FOR ORDER BY float_ops,
	OPERATOR 2 <<~>> (bit, bit_sphere),
	FUNCTION 1 vectorx_hamming_distance(bit, bit),
	FUNCTION 3 vectorx_bit_support(internal);

CREATE OPERATOR CLASS bit_jaccard_ops
	FOR TYPE bit USING vectorx AS
	OPERATOR 1 <%> (bit, bit) FOR ORDER BY float_ops,
	OPERATOR 2 <<%>> (bit, bit_sphere),
	FUNCTION 1 vectorx_jaccard_distance(bit, bit),
	FUNCTION 3 vectorx_bit_support(internal);

CREATE FUNCTION vectorx_sparsevec_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_sparsevec_support' LANGUAGE C;

CREATE OPERATOR CLASS sparsevec_l2_ops
	FOR TYPE sparsevec USING vectorx AS
	OPERATOR 1 <-> (sparsevec, sparsevec) FOR ORDER BY float_ops,
	OPERATOR 2 <<->> (sparsevec, sparsevec_sphere),
	FUNCTION 1 vectorx_sparsevec_l2_squared_distance(sparsevec, sparsevec),
	FUNCTION 3 vectorx_sparsevec_support(internal);

CREATE OPERATOR CLASS sparsevec_ip_ops
	FOR TYPE sparsevec USING vectorx AS
	OPERATOR 1 <#> (sparsevec, sparsevec) FOR ORDER BY float_ops,
	OPERATOR 2 <<#>> (sparsevec, sparsevec_sphere),
	FUNCTION 1 vectorx_sparsevec_negative_inner_product(sparsevec, sparsevec),
	FUNCTION 3 vectorx_sparsevec_support(internal);

CREATE OPERATOR CLASS sparsevec_cosine_ops
	FOR TYPE sparsevec USING vectorx AS
	OPERATOR 1 <=> (sparsevec, sparsevec) FOR ORDER BY float_ops,
	OPERATOR 2 <<=>> (sparsevec, sparsevec_sphere),
	FUNCTION 1 vectorx_sparsevec_negative_inner_product(sparsevec, sparsevec),
	FUNCTION 2 vectorx_sparsevec_l2_norm(sparsevec),
	FUNCTION 3 vectorx_sparsevec_support(internal);

CREATE OPERATOR CLASS sparsevec_l1_ops
	FOR TYPE sparsevec USING vectorx AS
	OPERATOR 1 <+> (sparsevec, sparsevec) FOR ORDER BY float_ops,
	OPERATOR 2 <<+>> (sparsevec, sparsevec_sphere),
	FUNCTION 1 vectorx_sparsevec_l1_distance(sparsevec, sparsevec),
	FUNCTION 3 vectorx_sparsevec_support(internal);

-- inspection of vectorx indexes

-- (Restricted: a worker cannot read the leader's temporary indexes.)
CREATE FUNCTION vectorx_info(
	index regclass,
	OUT dimensions int,
	OUT metric text,
	OUT m int,
	OUT ef_construction int,
	OUT levels int,
	OUT live_nodes bigint,
	OUT dead_nodes bigint,
	OUT free_slots bigint,
	OUT heap_tids bigint,
	OUT meta_pages bigint,
	OUT node_pages bigint,
	OUT upper_pages bigint,
	OUT side_pages bigint,
	OUT overflow_pages bigint,
	OUT free_pages bigint,
	OUT bytes_per_node int,
	OUT nodes_per_page int,
	OUT fanout int,
	OUT mean_fanout float8,
	OUT sketch text,
	OUT own_vector text,
	OUT entry_point tid,
	OUT after_reindex text,
	OUT calibrated_by text,
	OUT calibration_queries int,
	OUT search_factors real[],
	OUT pending_rows bigint,
	OUT pending_pages bigint,
	OUT merges bigint,
	OUT merged_rows bigint)
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_info' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION vectorx_info(regclass) IS
	'form, contents and pages of a vectorx index';

CREATE FUNCTION vectorx_check(
	index regclass,
	OUT block bigint,
	OUT slot int,
	OUT problem text)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_check' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION vectorx_check(regclass) IS
	'violated invariants of a vectorx index; no rows if it is sound';

CREATE FUNCTION vectorx_last_scan(
	OUT index oid,
	OUT searches bigint,
	OUT resumes bigint,
	OUT sweeps bigint,
	OUT width int,
	OUT visited bigint,
	OUT scored bigint,
	OUT reranked bigint,
	OUT returned bigint,
	OUT shed bigint)
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_last_scan' LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION vectorx_last_scan() IS
	'what the last scan of a vectorx index that ended in this session has done';

CREATE FUNCTION vectorx_index_stats(
	OUT index oid,
	OUT scans bigint,
	OUT searches bigint,
	OUT resumes bigint,
	OUT sweeps bigint,
	OUT visited bigint,
	OUT scored bigint,
	OUT reranked bigint,
	OUT returned bigint,
	OUT shed bigint,
	OUT stats_reset timestamptz)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_index_stats' LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION vectorx_index_stats() IS
	'what scans of vectorx indexes of the database have done, in all sessions';

CREATE VIEW pg_stat_vectorx_indexes AS
	SELECT i.indrelid AS relid, i.indexrelid, n.nspname AS schemaname, t.relname, c.relname AS indexrelname,
		coalesce(s.scans, 0) AS scans, coalesce(s.searches, 0) AS searches, coalesce(s.resumes, 0) AS resumes,
		coalesce(s.sweeps, 0) AS sweeps, coalesce(s.visited, 0) AS visited, coalesce(s.scored, 0) AS scored,
		coalesce(s.reranked, 0) AS reranked, coalesce(s.returned, 0) AS returned,
		coalesce(s.shed, 0) AS shed, s.stats_reset
	FROM pg_index i
		JOIN pg_class c ON c.oid = i.indexrelid AND c.relkind = 'i'
		JOIN pg_am a ON a.oid = c.relam AND a.amhandler = 'vectorxhandler(internal)'::regprocedure
		JOIN pg_class t ON t.oid = i.indrelid
		JOIN pg_namespace n ON n.oid = t.relnamespace
		LEFT JOIN vectorx_index_stats() s ON s.index = i.indexrelid;

COMMENT ON VIEW pg_stat_vectorx_indexes IS
	'vectorx indexes of the database, and what scans have done in all sessions';

GRANT SELECT ON pg_stat_vectorx_indexes TO PUBLIC;

CREATE FUNCTION vectorx_stats_reset(index regclass DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_stats_reset' LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION vectorx_stats_reset(regclass) IS
	'sets what pg_stat_vectorx_indexes counts of an index, or of all of the database, to zero';

REVOKE ALL ON FUNCTION vectorx_stats_reset(regclass) FROM PUBLIC;

CREATE FUNCTION vectorx_search(
	index regclass,
	queries anyarray,
	k int,
	ef int DEFAULT NULL,
	OUT query int,
	OUT rank int,
	OUT ctid tid,
	OUT distance float8)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_search' LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000;

COMMENT ON FUNCTION vectorx_search(regclass, anyarray, int, int) IS
	'the k nearest rows of each of many query vectors, by a vectorx index';

CREATE FUNCTION vectorx_calibrate(index regclass, queries anyarray)
	RETURNS int
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_calibrate' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 100000;

COMMENT ON FUNCTION vectorx_calibrate(regclass, anyarray) IS
	'measure on these queries how far searches of a vectorx index have to go for vectorx.target_recall';

CREATE FUNCTION vectorx_calibrate(index regclass, query text, queries int DEFAULT 1000)
	RETURNS int
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_calibrate_text' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 100000;

COMMENT ON FUNCTION vectorx_calibrate(regclass, text, int) IS
	'the same on the first column of what a query selects';

CREATE FUNCTION vectorx_merge(index regclass)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_merge' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 100000;

COMMENT ON FUNCTION vectorx_merge(regclass) IS
	'make the pending rows of a vectorx index part of its graph';

CREATE FUNCTION vectorx_build_memory(
	rows bigint,
	dim int,
	m int DEFAULT 16,
	ef_construction int DEFAULT 64,
	opclass text DEFAULT 'vector_l2_ops',
	own_vector text DEFAULT 'auto',
	workers int DEFAULT NULL)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_build_memory' LANGUAGE C STABLE PARALLEL SAFE;

COMMENT ON FUNCTION vectorx_build_memory(bigint, int, int, int, text, text, int) IS
	'bytes of maintenance_work_mem that hold the graph of a vectorx index while it is built';
