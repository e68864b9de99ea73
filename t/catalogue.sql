-- All that an extension has in the catalogues, object by object: kind, name, definition, comment and rights.  Names stand
-- for OIDs, so that two databases can be compared (032_upgrade.pl).
SET search_path = pg_catalog;
WITH members AS (
	SELECT classid, objid, o.type AS kind, o.identity AS name FROM pg_depend, pg_identify_object(classid, objid, 0) AS o
	WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = :'extension')
), names AS (
	SELECT f.oid AS family, format('%s using %s', f.opfname, a.amname) AS name FROM pg_opfamily AS f JOIN pg_am AS a ON a.oid = f.opfmethod
), definitions AS (
	SELECT 'pg_proc'::regclass AS classid, oid AS objid, pg_get_functiondef(oid) AS what, proacl AS acl FROM pg_proc WHERE prokind = 'f'
	UNION ALL
	SELECT 'pg_proc'::regclass, p.oid, concat_ws(', ', g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggserialfn, g.aggdeserialfn, g.aggmtransfn, g.aggkind,
			g.aggsortop, format_type(g.aggtranstype, NULL), g.aggtransspace, g.agginitval, g.aggfinalextra, g.aggfinalmodify, p.prorettype::regtype,
			p.provolatile, p.proparallel, p.proisstrict, p.procost, p.prosupport), p.proacl
		FROM pg_aggregate AS g JOIN pg_proc AS p ON p.oid = g.aggfnoid
	UNION ALL
	SELECT 'pg_type'::regclass, t.oid, concat_ws(', ', t.typlen, t.typbyval, t.typtype, t.typcategory, t.typispreferred, t.typisdefined, t.typdelim,
			t.typinput, t.typoutput, t.typreceive, t.typsend, t.typmodin, t.typmodout, t.typanalyze, t.typsubscript, t.typalign, t.typstorage,
			t.typnotnull, t.typbasetype::regtype, t.typtypmod, t.typndims, t.typdefault, format_type(t.typarray, NULL),
			(SELECT string_agg(format('%s %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = t.typrelid)), t.typacl
		FROM pg_type AS t
	UNION ALL
	SELECT 'pg_operator'::regclass, oid, concat_ws(', ', oprkind, oprcanmerge, oprcanhash, oprresult::regtype, oprcom::regoperator, oprnegate::regoperator,
			oprcode, oprrest, oprjoin), NULL FROM pg_operator
	UNION ALL
	SELECT 'pg_opclass'::regclass, c.oid, concat_ws(', ', f.name, c.opcintype::regtype, c.opcdefault, c.opckeytype::regtype), NULL
		FROM pg_opclass AS c JOIN names AS f ON f.family = c.opcfamily
	UNION ALL
	SELECT 'pg_opfamily'::regclass, f.family, concat_ws(E'\n',
			(SELECT string_agg(concat_ws(', ', o.amoplefttype::regtype, o.amoprighttype::regtype, o.amopstrategy, o.amoppurpose, o.amopopr::regoperator, s.name), E'\n'
					ORDER BY o.amopstrategy, o.amopopr::regoperator::text)
				FROM pg_amop AS o LEFT JOIN names AS s ON s.family = o.amopsortfamily WHERE o.amopfamily = f.family),
			(SELECT string_agg(concat_ws(', ', amproclefttype::regtype, amprocrighttype::regtype, amprocnum, amproc::regprocedure), E'\n' ORDER BY amprocnum)
				FROM pg_amproc WHERE amprocfamily = f.family)), NULL
		FROM names AS f
	UNION ALL
	SELECT 'pg_cast'::regclass, oid, concat_ws(', ', castfunc::regprocedure, castcontext, castmethod), NULL FROM pg_cast
	UNION ALL
	SELECT 'pg_am'::regclass, oid, concat_ws(', ', amhandler, amtype), NULL FROM pg_am
	UNION ALL
	SELECT 'pg_class'::regclass, oid, concat_ws(', ', relkind, reloptions, pg_get_viewdef(oid),
			(SELECT string_agg(format('%s %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid)), relacl
		FROM pg_class AS c WHERE relkind = 'v'
)
SELECT m.kind, m.name, d.what, obj_description(m.objid, m.classid::regclass::name) AS comment, d.acl::text,
	(SELECT format('%s %s', privtype, initprivs) FROM pg_init_privs AS i WHERE i.objoid = m.objid AND i.classoid = m.classid AND i.objsubid = 0) AS initial
FROM members AS m LEFT JOIN definitions AS d USING (classid, objid)
ORDER BY m.kind, m.name, d.what;
