# Makes a script of vectorx_pgvector of one of vectorx (docs/design/bridge.md):
#
#   awk -f sql/bridge.awk vectorx--X.sql vectorx--X.sql > vectorx_pgvector--X.sql
#   awk -f sql/bridge.awk vectorx--X.sql vectorx--W--X.sql > vectorx_pgvector--W--X.sql
#
# The first file, an install script, tells what functions are in the library; the second one is turned
# into what is written, a paragraph (a heading, or a statement) at a time.  What pgvector has
# is left out: there remain spheres and what is within them, the access method hnsw, as "vectorx", and
# functions for its indexes, named vectorx_... for hnsw_....

BEGIN { RS = ""; ORS = "\n\n" }

# ---- first: distances and norms that operator classes of hnsw name, and the library's names for functions

FNR == NR {
	if ($0 ~ /^CREATE FUNCTION/ && match($0, /'vectorx_[a-z0-9_]*'/))
		library[signature()] = substr($0, RSTART + 1, RLENGTH - 2)
	if ($0 ~ /^CREATE OPERATOR CLASS/ && $0 ~ /USING hnsw/)
		for (n = split($0, lines, "\n"); n > 0; n--)
			if (match(lines[n], /FUNCTION [12] .*\)/))
				wanted[substr(lines[n], RSTART + 11, RLENGTH - 11)] = 1
	next
}

# ---- then: what is written

FNR == 1 {
	$0 = "-- vectorx_pgvector: made of vectorx's install script by sql/bridge.awk"
	print
	next
}

/\\echo Use/ {
	sub(/EXTENSION vectorx/, "EXTENSION vectorx_pgvector")
	print
	next
}

/(^|\n)DO / {
	print "-- pgvector's schema is in the search path: types and operators without one are its"
	print "DO $$\n" \
		"BEGIN\n" \
		"\tIF EXISTS (SELECT FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_depend d\n" \
		"\t\t\tON d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.refobjid = e.oid\n" \
		"\t\tJOIN pg_catalog.pg_type t ON d.classid = 'pg_catalog.pg_type'::regclass AND d.objid = t.oid\n" \
		"\t\tWHERE e.extname = 'vector' AND t.typname = 'vector_sphere') THEN\n" \
		"\t\tRAISE feature_not_supported USING\n" \
		"\t\t\tMESSAGE = 'extension \"vector\" is vectorx in this database, not pgvector',\n" \
		"\t\t\tHINT = 'Its access method hnsw is what vectorx_pgvector is for.';\n" \
		"\tEND IF;\n" \
		"\tIF pg_catalog.to_regtype('sparsevec') IS NULL THEN\n" \
		"\t\tRAISE feature_not_supported USING\n" \
		"\t\t\tMESSAGE = 'vectorx_pgvector needs pgvector 0.7.0 or later',\n" \
		"\t\t\tHINT = 'ALTER EXTENSION vector UPDATE';\n" \
		"\tEND IF;\n" \
		"\tIF pg_catalog.current_schema() = 'pg_catalog' THEN\n" \
		"\t\tSET LOCAL allow_system_table_mods = on;\n" \
		"\tEND IF;\n" \
		"END\n" \
		"$$;"
	next
}

# A heading is written before the first statement below it that is.
/^--/ && !/\n/ {
	heading = $0
	next
}

# pgvector's functions under names of their own, which are the library's: an index knows its metric by their address.
/^CREATE FUNCTION/ && signature() in wanted {
	sub(/[a-z0-9_]+\(/, library[signature()] "(")
	sub(/\n\tSUPPORT [a-z_]+/, "")
	write()
	next
}

/^CREATE OPERATOR CLASS/ {
	if ($0 !~ /USING hnsw/)
		next
	for (theirs in wanted)
		if (theirs in library && (at = index($0, " " theirs)) > 0)
			$0 = substr($0, 1, at) library[theirs] substr($0, at + index(theirs, "("))
	write()
	next
}

# What a statement is about stands in its first words.
{
	about = $0
	sub(/^--[^\n]*\n/, "", about)
	sub(/ IS[ \n].*/, "", about)
	sub(/\n.*/, "", about)
}

about ~ /_sphere|_within_|<<|hnsw|vectorx_version|vectorx_indexes/ { write() }

# Name and arguments in CREATE FUNCTION.
function signature() {
	return substr($0, 17, index($0, ")") - 16)
}

function write() {
	if (heading != "")
		print named(heading)
	heading = ""
	print named($0)
}

# hnsw is vectorx, but in the library's names.
function named(text) {
	gsub(/vectorx_hnsw/, "vectorx_\001", text)
	gsub(/, 'ivfflathandler\(internal\)'::regprocedure/, "", text)
	gsub(/an hnsw/, "a vectorx", text)
	gsub(/hnsw/, "vectorx", text)
	gsub(/\001/, "hnsw", text)
	return text
}
