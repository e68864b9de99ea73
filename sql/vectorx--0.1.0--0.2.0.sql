-- vectorx 0.1.0 to 0.2.0

-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION vectorx UPDATE TO '0.2.0'" to load this file. \quit

DO $$
BEGIN
	-- a composite type, or a view, is otherwise refused there
	IF pg_catalog.current_schema() = 'pg_catalog' THEN
		SET LOCAL allow_system_table_mods = on;
	END IF;
END
$$;

-- version of the library

CREATE FUNCTION vectorx_version() RETURNS text
	AS 'MODULE_PATHNAME', 'vectorx_version' LANGUAGE C STABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION vectorx_version() IS
	'version of the library that is loaded, whatever the name of the extension';

-- what a call costs, for the planner

CREATE FUNCTION vector_function_cost(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'vectorx_function_cost' LANGUAGE C STRICT;

-- distances

ALTER FUNCTION l2_distance(vector, vector) SUPPORT vector_function_cost;
ALTER FUNCTION inner_product(vector, vector) SUPPORT vector_function_cost;
ALTER FUNCTION cosine_distance(vector, vector) SUPPORT vector_function_cost;
ALTER FUNCTION l1_distance(vector, vector) SUPPORT vector_function_cost;
ALTER FUNCTION vector_l2_squared_distance(vector, vector) SUPPORT vector_function_cost;
ALTER FUNCTION vector_negative_inner_product(vector, vector) SUPPORT vector_function_cost;
ALTER FUNCTION vector_spherical_distance(vector, vector) SUPPORT vector_function_cost;

-- other functions

ALTER FUNCTION vector_dims(vector) SUPPORT vector_function_cost;
ALTER FUNCTION vector_norm(vector) SUPPORT vector_function_cost;
ALTER FUNCTION l2_normalize(vector) SUPPORT vector_function_cost;
ALTER FUNCTION binary_quantize(vector) SUPPORT vector_function_cost;
ALTER FUNCTION subvector(vector, int, int) SUPPORT vector_function_cost;

-- arithmetic

ALTER FUNCTION vector_add(vector, vector) SUPPORT vector_function_cost;
ALTER FUNCTION vector_sub(vector, vector) SUPPORT vector_function_cost;
ALTER FUNCTION vector_mul(vector, vector) SUPPORT vector_function_cost;
ALTER FUNCTION vector_concat(vector, vector) SUPPORT vector_function_cost;

-- comparison

ALTER FUNCTION vector_lt(vector, vector) SUPPORT vector_function_cost;
ALTER FUNCTION vector_le(vector, vector) SUPPORT vector_function_cost;
ALTER FUNCTION vector_eq(vector, vector) SUPPORT vector_function_cost;
ALTER FUNCTION vector_ne(vector, vector) SUPPORT vector_function_cost;
ALTER FUNCTION vector_ge(vector, vector) SUPPORT vector_function_cost;
ALTER FUNCTION vector_gt(vector, vector) SUPPORT vector_function_cost;
ALTER FUNCTION vector_cmp(vector, vector) SUPPORT vector_function_cost;

-- casts

ALTER FUNCTION vector(vector, integer, boolean) SUPPORT vector_function_cost;
ALTER FUNCTION array_to_vector(integer[], integer, boolean) SUPPORT vector_function_cost;
ALTER FUNCTION array_to_vector(real[], integer, boolean) SUPPORT vector_function_cost;
ALTER FUNCTION array_to_vector(double precision[], integer, boolean) SUPPORT vector_function_cost;
ALTER FUNCTION array_to_vector(numeric[], integer, boolean) SUPPORT vector_function_cost;
ALTER FUNCTION vector_to_float4(vector, integer, boolean) SUPPORT vector_function_cost;

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

-- type halfvec

CREATE TYPE halfvec;

CREATE FUNCTION halfvec_in(cstring, oid, integer) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION halfvec_out(halfvec) RETURNS cstring
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION halfvec_typmod_in(cstring[]) RETURNS integer
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_typmod_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION halfvec_recv(internal, oid, integer) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION halfvec_send(halfvec) RETURNS bytea
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE TYPE halfvec (
	INPUT     = halfvec_in,
	OUTPUT    = halfvec_out,
	TYPMOD_IN = halfvec_typmod_in,
	RECEIVE   = halfvec_recv,
	SEND      = halfvec_send,
	STORAGE   = external
);

CREATE FUNCTION halfvec_function_cost(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_function_cost' LANGUAGE C STRICT;

-- distances of halfvec

CREATE FUNCTION l2_distance(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_l2_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION inner_product(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_inner_product' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION cosine_distance(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_cosine_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION l1_distance(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_l1_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION halfvec_l2_squared_distance(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_l2_squared_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION halfvec_negative_inner_product(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_negative_inner_product' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION halfvec_spherical_distance(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_spherical_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

-- other functions of halfvec

CREATE FUNCTION vector_dims(halfvec) RETURNS integer
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_vector_dims' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION l2_norm(halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_l2_norm' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION l2_normalize(halfvec) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_l2_normalize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION binary_quantize(halfvec) RETURNS bit
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_binary_quantize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION subvector(halfvec, int, int) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_subvector' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

-- arithmetic of halfvec

CREATE FUNCTION halfvec_add(halfvec, halfvec) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_add' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION halfvec_sub(halfvec, halfvec) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_sub' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION halfvec_mul(halfvec, halfvec) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_mul' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION halfvec_concat(halfvec, halfvec) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_concat' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

-- comparison of halfvec

CREATE FUNCTION halfvec_lt(halfvec, halfvec) RETURNS bool
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_lt' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION halfvec_le(halfvec, halfvec) RETURNS bool
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_le' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION halfvec_eq(halfvec, halfvec) RETURNS bool
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_eq' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION halfvec_ne(halfvec, halfvec) RETURNS bool
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_ne' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION halfvec_ge(halfvec, halfvec) RETURNS bool
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_ge' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION halfvec_gt(halfvec, halfvec) RETURNS bool
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_gt' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION halfvec_cmp(halfvec, halfvec) RETURNS int4
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_cmp' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

-- aggregates of halfvec

CREATE FUNCTION halfvec_accum(double precision[], halfvec) RETURNS double precision[]
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_accum' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION halfvec_avg(double precision[]) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_avg' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION halfvec_combine(double precision[], double precision[]) RETURNS double precision[]
	AS 'MODULE_PATHNAME', 'vectorx_vector_combine' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE AGGREGATE avg(halfvec) (
	SFUNC = halfvec_accum,
	STYPE = double precision[],
	FINALFUNC = halfvec_avg,
	COMBINEFUNC = halfvec_combine,
	INITCOND = '{0}',
	PARALLEL = SAFE
);

CREATE AGGREGATE sum(halfvec) (
	SFUNC = halfvec_add,
	STYPE = halfvec,
	COMBINEFUNC = halfvec_add,
	PARALLEL = SAFE
);

-- casts of halfvec

CREATE FUNCTION halfvec(halfvec, integer, boolean) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'vectorx_halfvec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION halfvec_to_vector(halfvec, integer, boolean) RETURNS vector
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_to_vector' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION vector_to_halfvec(vector, integer, boolean) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'vectorx_vector_to_halfvec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT vector_function_cost;

CREATE FUNCTION array_to_halfvec(integer[], integer, boolean) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'vectorx_array_to_halfvec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT vector_function_cost;

CREATE FUNCTION array_to_halfvec(real[], integer, boolean) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'vectorx_array_to_halfvec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT vector_function_cost;

CREATE FUNCTION array_to_halfvec(double precision[], integer, boolean) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'vectorx_array_to_halfvec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT vector_function_cost;

CREATE FUNCTION array_to_halfvec(numeric[], integer, boolean) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'vectorx_array_to_halfvec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT vector_function_cost;

CREATE FUNCTION halfvec_to_float4(halfvec, integer, boolean) RETURNS real[]
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_to_float4' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE CAST (halfvec AS halfvec)
	WITH FUNCTION halfvec(halfvec, integer, boolean) AS IMPLICIT;

CREATE CAST (halfvec AS vector)
	WITH FUNCTION halfvec_to_vector(halfvec, integer, boolean) AS ASSIGNMENT;

CREATE CAST (vector AS halfvec)
	WITH FUNCTION vector_to_halfvec(vector, integer, boolean) AS IMPLICIT;

CREATE CAST (halfvec AS real[])
	WITH FUNCTION halfvec_to_float4(halfvec, integer, boolean) AS ASSIGNMENT;

CREATE CAST (integer[] AS halfvec)
	WITH FUNCTION array_to_halfvec(integer[], integer, boolean) AS ASSIGNMENT;

CREATE CAST (real[] AS halfvec)
	WITH FUNCTION array_to_halfvec(real[], integer, boolean) AS ASSIGNMENT;

CREATE CAST (double precision[] AS halfvec)
	WITH FUNCTION array_to_halfvec(double precision[], integer, boolean) AS ASSIGNMENT;

CREATE CAST (numeric[] AS halfvec)
	WITH FUNCTION array_to_halfvec(numeric[], integer, boolean) AS ASSIGNMENT;

-- operators of halfvec

CREATE OPERATOR <-> (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = l2_distance,
	COMMUTATOR = '<->'
);

CREATE OPERATOR <#> (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_negative_inner_product,
	COMMUTATOR = '<#>'
);

CREATE OPERATOR <=> (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = cosine_distance,
	COMMUTATOR = '<=>'
);

CREATE OPERATOR <+> (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = l1_distance,
	COMMUTATOR = '<+>'
);

-- within a distance

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

CREATE OPERATOR + (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_add,
	COMMUTATOR = +
);

CREATE OPERATOR - (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_sub
);

CREATE OPERATOR * (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_mul,
	COMMUTATOR = *
);

CREATE OPERATOR || (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_concat
);

CREATE OPERATOR < (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_lt,
	COMMUTATOR = > , NEGATOR = >= ,
	RESTRICT = scalarltsel, JOIN = scalarltjoinsel
);

CREATE OPERATOR <= (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_le,
	COMMUTATOR = >= , NEGATOR = > ,
	RESTRICT = scalarlesel, JOIN = scalarlejoinsel
);

CREATE OPERATOR = (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_eq,
	COMMUTATOR = = , NEGATOR = <> ,
	RESTRICT = eqsel, JOIN = eqjoinsel
);

CREATE OPERATOR <> (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_ne,
	COMMUTATOR = <> , NEGATOR = = ,
	RESTRICT = neqsel, JOIN = neqjoinsel
);

CREATE OPERATOR >= (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_ge,
	COMMUTATOR = <= , NEGATOR = < ,
	RESTRICT = scalargesel, JOIN = scalargejoinsel
);

CREATE OPERATOR > (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_gt,
	COMMUTATOR = < , NEGATOR = <= ,
	RESTRICT = scalargtsel, JOIN = scalargtjoinsel
);

-- btree of halfvec

CREATE OPERATOR CLASS halfvec_ops
	DEFAULT FOR TYPE halfvec USING btree AS
	OPERATOR 1 < ,
	OPERATOR 2 <= ,
	OPERATOR 3 = ,
	OPERATOR 4 >= ,
	OPERATOR 5 > ,
	FUNCTION 1 halfvec_cmp(halfvec, halfvec);

-- type sparsevec

CREATE TYPE sparsevec;

CREATE FUNCTION sparsevec_in(cstring, oid, integer) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION sparsevec_out(sparsevec) RETURNS cstring
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION sparsevec_typmod_in(cstring[]) RETURNS integer
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_typmod_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION sparsevec_recv(internal, oid, integer) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION sparsevec_send(sparsevec) RETURNS bytea
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE TYPE sparsevec (
	INPUT     = sparsevec_in,
	OUTPUT    = sparsevec_out,
	TYPMOD_IN = sparsevec_typmod_in,
	RECEIVE   = sparsevec_recv,
	SEND      = sparsevec_send,
	STORAGE   = external
);

CREATE FUNCTION sparsevec_function_cost(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_function_cost' LANGUAGE C STRICT;

CREATE FUNCTION l2_distance(sparsevec, sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_l2_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT sparsevec_function_cost;

CREATE FUNCTION inner_product(sparsevec, sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_inner_product' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT sparsevec_function_cost;

CREATE FUNCTION cosine_distance(sparsevec, sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_cosine_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT sparsevec_function_cost;

CREATE FUNCTION l1_distance(sparsevec, sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_l1_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT sparsevec_function_cost;

CREATE FUNCTION sparsevec_l2_squared_distance(sparsevec, sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_l2_squared_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT sparsevec_function_cost;

CREATE FUNCTION sparsevec_negative_inner_product(sparsevec, sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_negative_inner_product' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT sparsevec_function_cost;

CREATE FUNCTION l2_norm(sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_l2_norm' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT sparsevec_function_cost;

CREATE FUNCTION l2_normalize(sparsevec) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_l2_normalize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT sparsevec_function_cost;

CREATE FUNCTION sparsevec_lt(sparsevec, sparsevec) RETURNS bool
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_lt' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT sparsevec_function_cost;

CREATE FUNCTION sparsevec_le(sparsevec, sparsevec) RETURNS bool
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_le' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT sparsevec_function_cost;

CREATE FUNCTION sparsevec_eq(sparsevec, sparsevec) RETURNS bool
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_eq' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT sparsevec_function_cost;

CREATE FUNCTION sparsevec_ne(sparsevec, sparsevec) RETURNS bool
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_ne' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT sparsevec_function_cost;

CREATE FUNCTION sparsevec_ge(sparsevec, sparsevec) RETURNS bool
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_ge' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT sparsevec_function_cost;

CREATE FUNCTION sparsevec_gt(sparsevec, sparsevec) RETURNS bool
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_gt' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT sparsevec_function_cost;

CREATE FUNCTION sparsevec_cmp(sparsevec, sparsevec) RETURNS int4
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_cmp' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT sparsevec_function_cost;

CREATE FUNCTION sparsevec(sparsevec, integer, boolean) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT sparsevec_function_cost;

CREATE FUNCTION vector_to_sparsevec(vector, integer, boolean) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'vectorx_vector_to_sparsevec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT vector_function_cost;

CREATE FUNCTION sparsevec_to_vector(sparsevec, integer, boolean) RETURNS vector
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_to_vector' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT sparsevec_function_cost;

CREATE FUNCTION array_to_sparsevec(integer[], integer, boolean) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'vectorx_array_to_sparsevec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT vector_function_cost;

CREATE FUNCTION array_to_sparsevec(real[], integer, boolean) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'vectorx_array_to_sparsevec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT vector_function_cost;

CREATE FUNCTION array_to_sparsevec(double precision[], integer, boolean) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'vectorx_array_to_sparsevec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT vector_function_cost;

CREATE FUNCTION array_to_sparsevec(numeric[], integer, boolean) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'vectorx_array_to_sparsevec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT vector_function_cost;

CREATE CAST (sparsevec AS sparsevec)
	WITH FUNCTION sparsevec(sparsevec, integer, boolean) AS IMPLICIT;

CREATE CAST (vector AS sparsevec)
	WITH FUNCTION vector_to_sparsevec(vector, integer, boolean) AS IMPLICIT;

CREATE CAST (sparsevec AS vector)
	WITH FUNCTION sparsevec_to_vector(sparsevec, integer, boolean) AS ASSIGNMENT;

CREATE CAST (integer[] AS sparsevec)
	WITH FUNCTION array_to_sparsevec(integer[], integer, boolean) AS ASSIGNMENT;

CREATE CAST (real[] AS sparsevec)
	WITH FUNCTION array_to_sparsevec(real[], integer, boolean) AS ASSIGNMENT;

CREATE CAST (double precision[] AS sparsevec)
	WITH FUNCTION array_to_sparsevec(double precision[], integer, boolean) AS ASSIGNMENT;

CREATE CAST (numeric[] AS sparsevec)
	WITH FUNCTION array_to_sparsevec(numeric[], integer, boolean) AS ASSIGNMENT;

CREATE FUNCTION halfvec_to_sparsevec(halfvec, integer, boolean) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'vectorx_halfvec_to_sparsevec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT halfvec_function_cost;

CREATE FUNCTION sparsevec_to_halfvec(sparsevec, integer, boolean) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'vectorx_sparsevec_to_halfvec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT sparsevec_function_cost;

CREATE CAST (halfvec AS sparsevec)
	WITH FUNCTION halfvec_to_sparsevec(halfvec, integer, boolean) AS IMPLICIT;

CREATE CAST (sparsevec AS halfvec)
	WITH FUNCTION sparsevec_to_halfvec(sparsevec, integer, boolean) AS ASSIGNMENT;

CREATE OPERATOR <-> (
	LEFTARG = sparsevec, RIGHTARG = sparsevec, FUNCTION = l2_distance,
	COMMUTATOR = '<->'
);

CREATE OPERATOR <#> (
	LEFTARG = sparsevec, RIGHTARG = sparsevec, FUNCTION = sparsevec_negative_inner_product,
	COMMUTATOR = '<#>'
);

CREATE OPERATOR <=> (
	LEFTARG = sparsevec, RIGHTARG = sparsevec, FUNCTION = cosine_distance,
	COMMUTATOR = '<=>'
);

CREATE OPERATOR <+> (
	LEFTARG = sparsevec, RIGHTARG = sparsevec, FUNCTION = l1_distance,
	COMMUTATOR = '<+>'
);

-- within a distance

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

CREATE OPERATOR < (
	LEFTARG = sparsevec, RIGHTARG = sparsevec, FUNCTION = sparsevec_lt,
	COMMUTATOR = > , NEGATOR = >= ,
	RESTRICT = scalarltsel, JOIN = scalarltjoinsel
);

CREATE OPERATOR <= (
	LEFTARG = sparsevec, RIGHTARG = sparsevec, FUNCTION = sparsevec_le,
	COMMUTATOR = >= , NEGATOR = > ,
	RESTRICT = scalarlesel, JOIN = scalarlejoinsel
);

CREATE OPERATOR = (
	LEFTARG = sparsevec, RIGHTARG = sparsevec, FUNCTION = sparsevec_eq,
	COMMUTATOR = = , NEGATOR = <> ,
	RESTRICT = eqsel, JOIN = eqjoinsel
);

CREATE OPERATOR <> (
	LEFTARG = sparsevec, RIGHTARG = sparsevec, FUNCTION = sparsevec_ne,
	COMMUTATOR = <> , NEGATOR = = ,
	RESTRICT = neqsel, JOIN = neqjoinsel
);

CREATE OPERATOR >= (
	LEFTARG = sparsevec, RIGHTARG = sparsevec, FUNCTION = sparsevec_ge,
	COMMUTATOR = <= , NEGATOR = < ,
	RESTRICT = scalargesel, JOIN = scalargejoinsel
);

CREATE OPERATOR > (
	LEFTARG = sparsevec, RIGHTARG = sparsevec, FUNCTION = sparsevec_gt,
	COMMUTATOR = < , NEGATOR = <= ,
	RESTRICT = scalargtsel, JOIN = scalargtjoinsel
);

CREATE OPERATOR CLASS sparsevec_ops
	DEFAULT FOR TYPE sparsevec USING btree AS
	OPERATOR 1 < ,
	OPERATOR 2 <= ,
	OPERATOR 3 = ,
	OPERATOR 4 >= ,
	OPERATOR 5 > ,
	FUNCTION 1 sparsevec_cmp(sparsevec, sparsevec);

-- bit strings

CREATE FUNCTION bit_function_cost(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'vectorx_bit_function_cost' LANGUAGE C STRICT;

CREATE FUNCTION hamming_distance(bit, bit) RETURNS float8
	AS 'MODULE_PATHNAME', 'vectorx_hamming_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT bit_function_cost;

CREATE FUNCTION jaccard_distance(bit, bit) RETURNS float8
	AS 'MODULE_PATHNAME', 'vectorx_jaccard_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT bit_function_cost;

CREATE OPERATOR <~> (
	LEFTARG = bit, RIGHTARG = bit, FUNCTION = hamming_distance,
	COMMUTATOR = '<~>'
);

CREATE OPERATOR <%> (
	LEFTARG = bit, RIGHTARG = bit, FUNCTION = jaccard_distance,
	COMMUTATOR = '<%>'
);

-- within a distance

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

-- access method hnsw

ALTER OPERATOR FAMILY vector_l2_ops USING hnsw ADD
	OPERATOR 2 <<->> (vector, vector_sphere);

ALTER OPERATOR FAMILY vector_ip_ops USING hnsw ADD
	OPERATOR 2 <<#>> (vector, vector_sphere);

ALTER OPERATOR FAMILY vector_cosine_ops USING hnsw ADD
	OPERATOR 2 <<=>> (vector, vector_sphere);

ALTER OPERATOR FAMILY vector_l1_ops USING hnsw ADD
	OPERATOR 2 <<+>> (vector, vector_sphere);

CREATE FUNCTION hnsw_halfvec_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_halfvec_support' LANGUAGE C;

CREATE OPERATOR CLASS halfvec_l2_ops
	FOR TYPE halfvec USING hnsw AS
	OPERATOR 1 <-> (halfvec, halfvec) FOR ORDER BY float_ops,
	OPERATOR 2 <<->> (halfvec, halfvec_sphere),
	FUNCTION 1 halfvec_l2_squared_distance(halfvec, halfvec),
	FUNCTION 3 hnsw_halfvec_support(internal);

CREATE OPERATOR CLASS halfvec_ip_ops
	FOR TYPE halfvec USING hnsw AS
	OPERATOR 1 <#> (halfvec, halfvec) FOR ORDER BY float_ops,
	OPERATOR 2 <<#>> (halfvec, halfvec_sphere),
	FUNCTION 1 halfvec_negative_inner_product(halfvec, halfvec),
	FUNCTION 3 hnsw_halfvec_support(internal);

CREATE OPERATOR CLASS halfvec_cosine_ops
	FOR TYPE halfvec USING hnsw AS
	OPERATOR 1 <=> (halfvec, halfvec) FOR ORDER BY float_ops,
	OPERATOR 2 <<=>> (halfvec, halfvec_sphere),
	FUNCTION 1 halfvec_negative_inner_product(halfvec, halfvec),
	FUNCTION 2 l2_norm(halfvec),
	FUNCTION 3 hnsw_halfvec_support(internal);

CREATE OPERATOR CLASS halfvec_l1_ops
	FOR TYPE halfvec USING hnsw AS
	OPERATOR 1 <+> (halfvec, halfvec) FOR ORDER BY float_ops,
	OPERATOR 2 <<+>> (halfvec, halfvec_sphere),
	FUNCTION 1 l1_distance(halfvec, halfvec),
	FUNCTION 3 hnsw_halfvec_support(internal);

CREATE FUNCTION hnsw_bit_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_bit_support' LANGUAGE C;

CREATE OPERATOR CLASS bit_hamming_ops
	FOR TYPE bit USING hnsw AS
	OPERATOR 1 <~> (bit, bit) FOR ORDER BY float_ops,
	OPERATOR 2 <<~>> (bit, bit_sphere),
	FUNCTION 1 hamming_distance(bit, bit),
	FUNCTION 3 hnsw_bit_support(internal);

CREATE OPERATOR CLASS bit_jaccard_ops
	FOR TYPE bit USING hnsw AS
	OPERATOR 1 <%> (bit, bit) FOR ORDER BY float_ops,
	OPERATOR 2 <<%>> (bit, bit_sphere),
	FUNCTION 1 jaccard_distance(bit, bit),
	FUNCTION 3 hnsw_bit_support(internal);

CREATE FUNCTION hnsw_sparsevec_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_sparsevec_support' LANGUAGE C;

CREATE OPERATOR CLASS sparsevec_l2_ops
	FOR TYPE sparsevec USING hnsw AS
	OPERATOR 1 <-> (sparsevec, sparsevec) FOR ORDER BY float_ops,
	OPERATOR 2 <<->> (sparsevec, sparsevec_sphere),
	FUNCTION 1 sparsevec_l2_squared_distance(sparsevec, sparsevec),
	FUNCTION 3 hnsw_sparsevec_support(internal);

CREATE OPERATOR CLASS sparsevec_ip_ops
	FOR TYPE sparsevec USING hnsw AS
	OPERATOR 1 <#> (sparsevec, sparsevec) FOR ORDER BY float_ops,
	OPERATOR 2 <<#>> (sparsevec, sparsevec_sphere),
	FUNCTION 1 sparsevec_negative_inner_product(sparsevec, sparsevec),
	FUNCTION 3 hnsw_sparsevec_support(internal);

CREATE OPERATOR CLASS sparsevec_cosine_ops
	FOR TYPE sparsevec USING hnsw AS
	OPERATOR 1 <=> (sparsevec, sparsevec) FOR ORDER BY float_ops,
	OPERATOR 2 <<=>> (sparsevec, sparsevec_sphere),
	FUNCTION 1 sparsevec_negative_inner_product(sparsevec, sparsevec),
	FUNCTION 2 l2_norm(sparsevec),
	FUNCTION 3 hnsw_sparsevec_support(internal);

CREATE OPERATOR CLASS sparsevec_l1_ops
	FOR TYPE sparsevec USING hnsw AS
	OPERATOR 1 <+> (sparsevec, sparsevec) FOR ORDER BY float_ops,
	OPERATOR 2 <<+>> (sparsevec, sparsevec_sphere),
	FUNCTION 1 l1_distance(sparsevec, sparsevec),
	FUNCTION 3 hnsw_sparsevec_support(internal);

-- access method ivfflat: the same by another name

CREATE FUNCTION ivfflathandler(internal) RETURNS index_am_handler
	AS 'MODULE_PATHNAME', 'vectorx_ivfflathandler' LANGUAGE C;

CREATE ACCESS METHOD ivfflat TYPE INDEX HANDLER ivfflathandler;

COMMENT ON ACCESS METHOD ivfflat IS 'hnsw index access method under the name ivfflat';

CREATE OPERATOR CLASS vector_l2_ops
	DEFAULT FOR TYPE vector USING ivfflat AS
	OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops,
	OPERATOR 2 <<->> (vector, vector_sphere),
	FUNCTION 1 vector_l2_squared_distance(vector, vector);

CREATE OPERATOR CLASS vector_ip_ops
	FOR TYPE vector USING ivfflat AS
	OPERATOR 1 <#> (vector, vector) FOR ORDER BY float_ops,
	OPERATOR 2 <<#>> (vector, vector_sphere),
	FUNCTION 1 vector_negative_inner_product(vector, vector);

CREATE OPERATOR CLASS vector_cosine_ops
	FOR TYPE vector USING ivfflat AS
	OPERATOR 1 <=> (vector, vector) FOR ORDER BY float_ops,
	OPERATOR 2 <<=>> (vector, vector_sphere),
	FUNCTION 1 vector_negative_inner_product(vector, vector),
	FUNCTION 2 vector_norm(vector);

-- pgvector's name; the same function as hnsw_halfvec_support, by which the type is known
CREATE FUNCTION ivfflat_halfvec_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_halfvec_support' LANGUAGE C;

CREATE OPERATOR CLASS halfvec_l2_ops
	FOR TYPE halfvec USING ivfflat AS
	OPERATOR 1 <-> (halfvec, halfvec) FOR ORDER BY float_ops,
	OPERATOR 2 <<->> (halfvec, halfvec_sphere),
	FUNCTION 1 halfvec_l2_squared_distance(halfvec, halfvec),
	FUNCTION 5 ivfflat_halfvec_support(internal);

CREATE OPERATOR CLASS halfvec_ip_ops
	FOR TYPE halfvec USING ivfflat AS
	OPERATOR 1 <#> (halfvec, halfvec) FOR ORDER BY float_ops,
	OPERATOR 2 <<#>> (halfvec, halfvec_sphere),
	FUNCTION 1 halfvec_negative_inner_product(halfvec, halfvec),
	FUNCTION 5 ivfflat_halfvec_support(internal);

CREATE OPERATOR CLASS halfvec_cosine_ops
	FOR TYPE halfvec USING ivfflat AS
	OPERATOR 1 <=> (halfvec, halfvec) FOR ORDER BY float_ops,
	OPERATOR 2 <<=>> (halfvec, halfvec_sphere),
	FUNCTION 1 halfvec_negative_inner_product(halfvec, halfvec),
	FUNCTION 2 l2_norm(halfvec),
	FUNCTION 5 ivfflat_halfvec_support(internal);

-- pgvector's name; the same function as hnsw_bit_support, by which the type is known
CREATE FUNCTION ivfflat_bit_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_bit_support' LANGUAGE C;

CREATE OPERATOR CLASS bit_hamming_ops
	FOR TYPE bit USING ivfflat AS
	OPERATOR 1 <~> (bit, bit) FOR ORDER BY float_ops,
	OPERATOR 2 <<~>> (bit, bit_sphere),
	FUNCTION 1 hamming_distance(bit, bit),
	FUNCTION 5 ivfflat_bit_support(internal);

-- inspection of hnsw indexes

DROP FUNCTION hnsw_info(regclass);

-- (Restricted: a worker cannot read the leader's temporary indexes.)
CREATE FUNCTION hnsw_info(
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
	OUT merged_rows bigint,
	OUT format int,
	OUT dead_rows bigint,
	OUT stale_links float8)
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_info' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION hnsw_info(regclass) IS
	'form, contents and pages of an hnsw index';

ALTER FUNCTION hnsw_check(regclass) PARALLEL RESTRICTED;

CREATE FUNCTION hnsw_prewarm(index regclass)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_prewarm' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED COST 10000;

COMMENT ON FUNCTION hnsw_prewarm(regclass) IS
	'read an hnsw index into the buffer cache; returns how many pages';

CREATE FUNCTION hnsw_last_scan(
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

COMMENT ON FUNCTION hnsw_last_scan() IS
	'what the last scan of an hnsw index that ended in this session has done';

CREATE FUNCTION hnsw_index_stats(
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
	OUT inserts bigint,
	OUT pending_inserts bigint,
	OUT merges bigint,
	OUT merged_rows bigint,
	OUT cache_hits bigint,
	OUT cache_misses bigint,
	OUT stats_reset timestamptz)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_index_stats' LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION hnsw_index_stats() IS
	'what has been done with hnsw indexes of the database, in all sessions';

CREATE VIEW pg_stat_vectorx_indexes AS
	WITH s AS (
		SELECT * FROM hnsw_index_stats()
	), n AS (
		SELECT CASE WHEN NOT EXISTS (SELECT FROM s WHERE index = 0) THEN 0::bigint END AS none
	)
	SELECT i.indrelid AS relid, i.indexrelid, ns.nspname AS schemaname, t.relname, c.relname AS indexrelname,
		coalesce(s.scans, n.none) AS scans, coalesce(s.searches, n.none) AS searches, coalesce(s.resumes, n.none) AS resumes,
		coalesce(s.sweeps, n.none) AS sweeps, coalesce(s.visited, n.none) AS visited, coalesce(s.scored, n.none) AS scored,
		coalesce(s.reranked, n.none) AS reranked, coalesce(s.returned, n.none) AS returned, coalesce(s.shed, n.none) AS shed,
		coalesce(s.inserts, n.none) AS inserts, coalesce(s.pending_inserts, n.none) AS pending_inserts,
		coalesce(s.merges, n.none) AS merges, coalesce(s.merged_rows, n.none) AS merged_rows,
		CASE WHEN pg_has_role('pg_monitor', 'USAGE') THEN coalesce(s.cache_hits, n.none) END AS cache_hits,
		CASE WHEN pg_has_role('pg_monitor', 'USAGE') THEN coalesce(s.cache_misses, n.none) END AS cache_misses, s.stats_reset
	FROM pg_index i
		JOIN pg_class c ON c.oid = i.indexrelid AND c.relkind = 'i'
		JOIN pg_am a ON a.oid = c.relam AND a.amhandler IN ('hnswhandler(internal)'::regprocedure, 'ivfflathandler(internal)'::regprocedure)
		JOIN pg_class t ON t.oid = i.indrelid
		JOIN pg_namespace ns ON ns.oid = t.relnamespace
		CROSS JOIN n
		LEFT JOIN s ON s.index = i.indexrelid;

COMMENT ON VIEW pg_stat_vectorx_indexes IS
	'hnsw indexes of the database, and what has been done with them in all sessions';

GRANT SELECT ON pg_stat_vectorx_indexes TO PUBLIC;

CREATE FUNCTION hnsw_stats_reset(index regclass DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_stats_reset' LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION hnsw_stats_reset(regclass) IS
	'sets what pg_stat_vectorx_indexes counts of an index, or of all of the database, to zero';

REVOKE ALL ON FUNCTION hnsw_stats_reset(regclass) FROM PUBLIC;

CREATE FUNCTION vectorx_cache_stats(
	OUT index oid,
	OUT file oid,
	OUT entries bigint,
	OUT bytes bigint,
	OUT hits bigint,
	OUT misses bigint,
	OUT merges bigint,
	OUT waits bigint,
	OUT evictions bigint)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'vectorx_cache_stats' LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION vectorx_cache_stats() IS
	'what the cache of search results has of hnsw indexes of the database';

REVOKE ALL ON FUNCTION vectorx_cache_stats() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION vectorx_cache_stats() TO pg_monitor;

CREATE VIEW vectorx_cache AS
	SELECT c.oid::regclass AS index, s.entries, s.bytes, s.hits, s.misses, s.merges, s.waits, s.evictions
	FROM vectorx_cache_stats() s
		JOIN pg_class c ON c.oid = s.index AND pg_relation_filenode(c.oid) = s.file;

COMMENT ON VIEW vectorx_cache IS
	'what the cache of search results has of each hnsw index of the database';

REVOKE ALL ON vectorx_cache FROM PUBLIC;

GRANT SELECT ON vectorx_cache TO pg_monitor;

CREATE FUNCTION vectorx_cache_reset() RETURNS void
	AS 'MODULE_PATHNAME', 'vectorx_cache_reset' LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION vectorx_cache_reset() IS
	'empties the cache of search results, of all databases';

REVOKE ALL ON FUNCTION vectorx_cache_reset() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION vectorx_cache_reset() TO pg_monitor;

CREATE FUNCTION hnsw_search(
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

COMMENT ON FUNCTION hnsw_search(regclass, anyarray, int, int) IS
	'the k nearest rows of each of many query vectors, by an hnsw index';

CREATE FUNCTION hnsw_recall(
	index regclass,
	sample int DEFAULT 200,
	k int DEFAULT 10,
	OUT recall float8,
	OUT lower float8,
	OUT upper float8,
	OUT k int,
	OUT sample int)
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_recall' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED COST 100000;

COMMENT ON FUNCTION hnsw_recall(regclass, int, int) IS
	'recall of an hnsw index with the settings of the session, measured by rows of the table that are left out';

CREATE FUNCTION hnsw_recall(
	index regclass,
	queries anyarray,
	k int DEFAULT 10,
	OUT recall float8,
	OUT lower float8,
	OUT upper float8,
	OUT k int,
	OUT sample int)
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_recall_queries' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED COST 100000;

COMMENT ON FUNCTION hnsw_recall(regclass, anyarray, int) IS
	'the same by these queries';

CREATE FUNCTION hnsw_calibrate(index regclass, queries anyarray)
	RETURNS int
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_calibrate' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 100000;

COMMENT ON FUNCTION hnsw_calibrate(regclass, anyarray) IS
	'measure on these queries how far searches of an hnsw index have to go for hnsw.target_recall';

CREATE FUNCTION hnsw_calibrate(index regclass, query text, queries int DEFAULT 1000)
	RETURNS int
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_calibrate_text' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 100000;

COMMENT ON FUNCTION hnsw_calibrate(regclass, text, int) IS
	'the same on the first column of what a query selects';

CREATE FUNCTION hnsw_merge(index regclass)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'vectorx_hnsw_merge' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 100000;

COMMENT ON FUNCTION hnsw_merge(regclass) IS
	'make the pending rows of an hnsw index part of its graph';
