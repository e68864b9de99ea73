CREATE EXTENSION vectorx;
-- What a query gives: its only value, or its error with SQLSTATE and detail.
CREATE FUNCTION outcome(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	state text;
	message text;
	detail text;
BEGIN
	EXECUTE query INTO result;
	RETURN result;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE,
		message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' ', state, message, '(' || nullif(detail, '') || ')');
END
$$;
-- A vector of n random elements between -0.5 and 0.5.
CREATE FUNCTION random_vector(n int) RETURNS vector LANGUAGE sql VOLATILE AS $$
	SELECT array_agg(random() - 0.5)::vector FROM generate_series(1, n)
$$;
-- Whether a query of distances gives the same ones by index scan and by sort,
-- but for float rounding; if not, both.
CREATE FUNCTION index_agrees(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	planned bool := false;
	by_index float8[];
	by_sort float8[];
BEGIN
	query := format('SELECT array_agg(d) FROM (%s) AS s(d)', query);
	PERFORM set_config('enable_seqscan', 'off', true);
	PERFORM set_config('enable_sort', 'off', true);
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		planned := planned OR line ~ 'Index Scan using';
	END LOOP;
	IF NOT planned THEN
		RETURN 'the index is not used';
	END IF;
	EXECUTE query INTO by_index;
	PERFORM set_config('enable_seqscan', 'on', true);
	PERFORM set_config('enable_sort', 'on', true);
	PERFORM set_config('enable_indexscan', 'off', true);
	EXECUTE query INTO by_sort;
	PERFORM set_config('enable_indexscan', 'on', true);
	IF coalesce(cardinality(by_index), 0) = coalesce(cardinality(by_sort), 0) AND
		(SELECT coalesce(bool_and(abs(a - b) <= 1e-6 * greatest(abs(b), 1)), true)
			FROM unnest(by_index, by_sort) AS u(a, b)) THEN
		RETURN 'same';
	END IF;
	RETURN concat_ws(' ', 'index', by_index::text, 'sort', by_sort::text);
END
$$;
