-- The SQL surface of an extension, object by object: kind, name, and what must be the same
-- wherever an object of that name is.  bench/surface.py asks it of pgvector, and keeps the answer in
-- surface.tsv; 024_surface.pl asks it of vectorx.  Another spelling of a type would be a difference:
-- names are those of format_type.
WITH members AS (
	SELECT classid, objid FROM pg_depend
	WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = :'extension')
), functions AS (
	SELECT p.*, format('%s(%s)', p.proname, (SELECT string_agg(format_type(t, NULL), ', ' ORDER BY n)
			FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, n))) AS signature,
		concat_ws(', ', 'returns ' || CASE WHEN p.proretset THEN 'setof ' ELSE '' END || format_type(p.prorettype, NULL),
			CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END,
			CASE WHEN p.proisstrict THEN 'strict' ELSE 'not strict' END,
			CASE p.proparallel WHEN 's' THEN 'parallel safe' WHEN 'r' THEN 'parallel restricted' ELSE 'parallel unsafe' END,
			CASE WHEN p.prosecdef THEN 'security definer' END, CASE WHEN p.proleakproof THEN 'leakproof' END) AS what
	FROM pg_proc AS p JOIN members AS m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
), operators AS (
	SELECT o.oid, format('%s (%s, %s)', o.oprname, format_type(o.oprleft, NULL), format_type(o.oprright, NULL)) AS signature,
		o.oprcode, o.oprresult, o.oprcom, o.oprnegate, o.oprcanhash, o.oprcanmerge
	FROM pg_operator AS o JOIN members AS m ON m.classid = 'pg_operator'::regclass AND m.objid = o.oid
)
SELECT 'access method' AS kind, a.amname::text AS name, CASE a.amtype WHEN 'i' THEN 'index' ELSE 'table' END AS what
	FROM pg_am AS a JOIN members AS m ON m.classid = 'pg_am'::regclass AND m.objid = a.oid
UNION ALL
SELECT 'aggregate', f.signature, concat_ws(', ', f.what, 'transition ' || g.aggtransfn::regproc, 'state ' || format_type(g.aggtranstype, NULL),
		'final ' || nullif(g.aggfinalfn, 0)::regproc, 'combine ' || nullif(g.aggcombinefn, 0)::regproc, 'from ' || g.agginitval)
	FROM functions AS f JOIN pg_aggregate AS g ON g.aggfnoid = f.oid
UNION ALL
SELECT 'cast', format('%s as %s', format_type(c.castsource, NULL), format_type(c.casttarget, NULL)),
		concat_ws(', ', CASE c.castcontext WHEN 'i' THEN 'implicit' WHEN 'a' THEN 'assignment' ELSE 'explicit' END,
			'by ' || p.proname, CASE c.castmethod WHEN 'f' THEN 'function' WHEN 'i' THEN 'text' ELSE 'bytes' END)
	FROM pg_cast AS c JOIN members AS m ON m.classid = 'pg_cast'::regclass AND m.objid = c.oid LEFT JOIN pg_proc AS p ON p.oid = c.castfunc
UNION ALL
SELECT 'function', signature, what FROM functions WHERE prokind = 'f'
UNION ALL
SELECT 'operator', o.signature, concat_ws(', ', 'is ' || (SELECT proname FROM pg_proc WHERE oid = o.oprcode), 'returns ' || format_type(o.oprresult, NULL),
		'commutator ' || c.signature, 'negator ' || n.signature, CASE WHEN o.oprcanhash THEN 'hashes' END, CASE WHEN o.oprcanmerge THEN 'merges' END)
	FROM operators AS o LEFT JOIN operators AS c ON c.oid = o.oprcom LEFT JOIN operators AS n ON n.oid = o.oprnegate
UNION ALL
-- of an index's own methods only what sorts: a class may serve other operators besides
SELECT 'operator class', format('%s using %s', c.opcname, a.amname), concat_ws(', ', 'for ' || format_type(c.opcintype, NULL),
		CASE WHEN c.opcdefault THEN 'default' ELSE 'not default' END, CASE WHEN c.opckeytype <> 0 THEN 'stores ' || format_type(c.opckeytype, NULL) END,
		(SELECT string_agg(format('%s %s%s', s.amopstrategy, s.amopopr::regoperator, CASE s.amoppurpose WHEN 'o' THEN ' for order by' ELSE '' END), ', ' ORDER BY s.amopstrategy)
			FROM pg_amop AS s WHERE s.amopfamily = c.opcfamily AND s.amoplefttype = c.opcintype AND (s.amoppurpose = 'o' OR a.amname = 'btree')))
	FROM pg_opclass AS c JOIN members AS m ON m.classid = 'pg_opclass'::regclass AND m.objid = c.oid JOIN pg_am AS a ON a.oid = c.opcmethod
UNION ALL
SELECT 'type', t.typname::text, concat_ws(', ', 'length ' || t.typlen, CASE WHEN t.typbyval THEN 'by value' END, 'alignment ' || t.typalign::text, 'storage ' || t.typstorage::text,
		'category ' || t.typcategory::text, CASE WHEN t.typispreferred THEN 'preferred' END, 'input ' || t.typinput, 'output ' || t.typoutput,
		'receive ' || t.typreceive, 'send ' || t.typsend, 'modifier in ' || t.typmodin, 'modifier out ' || t.typmodout, 'delimiter ' || t.typdelim::text)
	FROM pg_type AS t JOIN members AS m ON m.classid = 'pg_type'::regclass AND m.objid = t.oid WHERE t.typtype = 'b' AND t.typelem = 0
UNION ALL
SELECT 'setting', name, concat_ws(', ', vartype, 'context ' || context, 'from ' || min_val, 'to ' || max_val, 'one of ' || array_to_string(enumvals, ' '))
	FROM pg_settings WHERE name ~ '^(hnsw|ivfflat)\.'
ORDER BY kind, name;
