# Under pgvector's name: what "make install-as-vector" installs and refuses to, the extension "vector" that is vectorx,
# beside "vectorx" in another database, and a dump of pgvector's (pgvector_dump.sql, made by bench/migrate.py) restored
# under both names.  In a copy of the server: nothing of this is installed in the server itself.
use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my $here = dirname(abs_path(__FILE__));
my $root = dirname($here);
my $config = copied_server();
my ($bin, $share, $libraries) = map { chomp(my $dir = `'$config' --$_`); $dir } qw(bindir sharedir pkglibdir);
my $extensions = "$share/extension";
my $control = "$extensions/vector.control";
# where the original has pgvector
unlink $control, glob("$extensions/vector--*.sql"), "$libraries/vector.so";

sub spew
{
	my ($file, $text) = @_;

	open(my $out, '>', $file) or die "$file: $!";
	print $out $text;
	close($out);
}

# Status and messages of a goal of the Makefile.
sub make
{
	my ($goal) = @_;
	my $output = `make -s -C '$root' '$goal' PG_CONFIG='$config' 2>&1`;

	return ($?, $output);
}

delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL)};

# ---- files

sub files
{
	return join(' ', map { s/.*\///r } grep { -e } $control, glob("$extensions/vector--*.sql"), "$libraries/vector.so");
}

my $pgvectors = "default_version = '0.8.5'\nmodule_pathname = '\$libdir/vector'\n";
for my $name ('vector.control', 'vector--0.8.5.sql', 'vector--0.8.6.sql', 'vector.so')
{
	my $file = ($name eq 'vector.so' ? $libraries : $extensions) . "/$name";

	spew($file, $pgvectors);
	my ($status, $output) = make('install-as-vector');
	ok($status != 0 && $output =~ /pgvector is installed here: \Q$file\E is not vectorx's.*Nothing was done/, "pgvector's $name is in the way") or diag($output);
	($status, $output) = make('uninstall-as-vector');
	is($status, 0, 'nothing is there to be taken away') or diag($output);
	is(files() . ': ' . slurp_file($file), "$name: $pgvectors", 'and is as it was');
	unlink $file;
}
is(files(), '', '"make install" has installed no extension "vector"');
for my $time ('first', 'second')
{
	my ($status, $output) = make('install-as-vector');
	is($status, 0, "install-as-vector, $time time") or diag($output);
	is(files(), 'vector.control vector--0.8.6.sql', 'its files');
}
spew("$extensions/vector--0.8.5--0.8.6.sql", '');
isnt((make('install-as-vector'))[0], 0, 'a script of pgvector beside our files is in the way');
make('uninstall-as-vector');
is(files(), 'vector--0.8.5--0.8.6.sql', 'and is left where ours are removed');
unlink "$extensions/vector--0.8.5--0.8.6.sql";
symlink("$extensions/nowhere", $control) or die "symlink: $!";
isnt((make('install-as-vector'))[0], 0, 'so is a link that leads nowhere');
unlink $control;
is((make('install-as-vector'))[0], 0, 'installed again');
# what an interruption may leave
unlink $control;
is((make('install-as-vector'))[0], 0, 'over a script of ours without the control file');
unlink $control;
make('uninstall-as-vector');
is(files(), '', 'which is removed, too');
is((make('install-as-vector'))[0], 0, 'and again');
spew("$extensions/needs_vector.control", "default_version = '1'\nrequires = 'vector'\n");
spew("$extensions/needs_vector--1.sql", "CREATE FUNCTION origin(int) RETURNS vector LANGUAGE sql IMMUTABLE AS 'SELECT array_fill(0, ARRAY[\$1])::vector';\n");

# ---- the extension

my $node = new_node('main', '', install_path => dirname($bin));

# Statements in a database, none of which may fail.
sub sql
{
	my ($database, $sql) = @_;

	return $node->safe_psql($database, $sql);
}

# The messages of statements.
sub told
{
	my ($database, $sql) = @_;
	my (undef, undef, $err) = $node->psql($database, $sql, on_error_stop => 0);

	return $err;
}

sql('postgres', "CREATE DATABASE $_") for 'as_vector', 'as_vectorx';
my $form = q(
CREATE TABLE items (id serial PRIMARY KEY, v vector(3));
INSERT INTO items (v) SELECT ARRAY[i % 7, i % 11, i % 13]::vector FROM generate_series(1, 600) i;
CREATE INDEX items_v ON items USING hnsw (v vector_l2_ops);
SET enable_seqscan = off;
);
my $nearest = "SELECT id FROM items ORDER BY v <-> '[3,4,5.1]' LIMIT 1";
sql('as_vector', "CREATE EXTENSION IF NOT EXISTS vector; $form");
sql('as_vectorx', "CREATE EXTENSION vectorx; $form");
is(sql($_, "SET enable_seqscan = off; $nearest"), sql($_, "SET enable_indexscan = off; $nearest"), "$_: a search") for 'as_vector', 'as_vectorx';
is(sql('as_vector', "SELECT extversion, extversion >= '0.8', string_to_array(extversion, '.')::int[] >= '{0,8,0}' FROM pg_extension WHERE extname = 'vector'"),
	'0.8.6|t|t', 'its version is pgvector\'s');
is(sql($_, 'SELECT vectorx_version()'), sql('postgres', "SELECT default_version FROM pg_available_extensions WHERE name = 'vectorx'"),
	"$_: vectorx_version") for 'as_vector', 'as_vectorx';

# what is nobody else's schema
for my $name ('vector', 'vectorx')
{
	sql('postgres', "CREATE DATABASE catalog_$name");
	sql("catalog_$name", "CREATE EXTENSION $name SCHEMA pg_catalog; $form");
	is(sql("catalog_$name", "SET search_path = ''; SELECT '[1,2]'::vector, count(*) FROM pg_stat_vectorx_indexes"), '[1,2]|1', "$name in pg_catalog");
	is(sql("catalog_$name", "ALTER EXTENSION $name SET SCHEMA public; ALTER EXTENSION $name SET SCHEMA pg_catalog; SET enable_seqscan = off; $nearest"), sql('as_vector', $nearest),
		'moved out of it, and back');
	is(sql("catalog_$name", 'SHOW allow_system_table_mods'), 'off', 'and nothing else may be done there');
}

# operator classes as applications have made them for pgvector, with its numbers of support functions
sql('as_vector', q(CREATE OPERATOR CLASS lists_l2 FOR TYPE vector USING ivfflat AS OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops,
	FUNCTION 1 vector_l2_squared_distance(vector, vector), FUNCTION 3 l2_distance(vector, vector);
CREATE OPERATOR CLASS lists_cosine FOR TYPE halfvec USING ivfflat AS OPERATOR 1 <=> (halfvec, halfvec) FOR ORDER BY float_ops,
	FUNCTION 1 halfvec_negative_inner_product(halfvec, halfvec), FUNCTION 2 l2_norm(halfvec), FUNCTION 3 halfvec_spherical_distance(halfvec, halfvec),
	FUNCTION 4 l2_norm(halfvec), FUNCTION 5 ivfflat_halfvec_support(internal);
CREATE INDEX lists ON items USING ivfflat (v lists_l2) WITH (lists = 10);
CREATE INDEX halves ON items USING ivfflat ((v::halfvec(3)) lists_cosine) WITH (lists = 10)));
is(sql('as_vector', q(SELECT string_agg(amvalidate(oid)::text, ',') FROM pg_opclass WHERE opcname LIKE 'lists_%')), 'true,true', 'they are valid');
is(sql('as_vector', "DROP INDEX items_v; SET enable_seqscan = off; EXPLAIN (costs off) $nearest; $nearest") =~ s/.*Index Scan using (\w+).*?\n(\d+)$/$1 $2/sr, 'lists ' . sql('as_vectorx', $nearest),
	'and an index of them is used');
sql('as_vector', 'DROP OPERATOR CLASS lists_l2 USING ivfflat CASCADE; DROP OPERATOR CLASS lists_cosine USING ivfflat CASCADE; CREATE INDEX items_v ON items USING hnsw (v vector_l2_ops)');

# the two libraries, in either order
for my $libraries ('vectorx,vectorx_pgvector', 'vectorx_pgvector,vectorx')
{
	$node->append_conf('postgresql.conf', "shared_preload_libraries = '$libraries'\nvectorx.cache = on\nvectorx.cache_size = '64MB'\nhnsw.ef_search = 77");
	$node->restart;
	is(sql('as_vector', 'SHOW vectorx.cache; SHOW vectorx.cache_size; SHOW hnsw.ef_search'), "on\n64MB\n77", "settings with $libraries preloaded");
}
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\nvectorx.cache = off\nhnsw.ef_search = 40");
$node->restart;

my $surface = slurp_file("$here/surface.sql");
my %objects = map { $_ => sql("as_$_", $surface =~ s/:'extension'/'$_'/r) } 'vector', 'vectorx';
is($objects{vector}, $objects{vectorx}, 'the same objects under both names');
like($objects{vector}, qr/(.*\n){250}/, 'which are many');

like(told($_->[0], "CREATE EXTENSION $_->[1]"), qr/ERROR:  extensions "vector" and "vectorx" cannot both be in a database/, "$_->[1] beside the other name")
  for [ 'as_vector', 'vectorx' ], [ 'as_vectorx', 'vector' ];
like(told('as_vector', 'CREATE SCHEMA elsewhere; CREATE EXTENSION vectorx SCHEMA elsewhere'), qr/cannot both be in a database/, 'nor in another schema');

like(told('as_vector', 'ALTER EXTENSION vector UPDATE'), qr/^\S* NOTICE:  version "0.8.6" of extension "vector" is already installed$/, 'UPDATE has nothing to do');
like(told('as_vector', "UPDATE pg_extension SET extversion = '0.8.5' WHERE extname = 'vector'; ALTER EXTENSION vector UPDATE; "
		  . "UPDATE pg_extension SET extversion = '0.8.6' WHERE extname = 'vector'"),
	qr/ERROR:  extension "vector" has no update path from version "0.8.5" to version "0.8.6"/, 'the catalogue of another version is refused');


# A later version of vectorx: a copy of the scripts that has one.
my $next = PostgreSQL::Test::Utils::tempdir();
my ($today) = slurp_file("$root/vectorx.control") =~ /^default_version = '(.*)'/m;
mkdir "$next/$_" for 'scripts', 'sql';
spew("$next/$_", slurp_file("$root/$_")) for 'scripts/lib.sh', "sql/vectorx--$today.sql";
spew("$next/vectorx.control", slurp_file("$root/vectorx.control") =~ s/^default_version = .*/default_version = '99.0'/mr);
spew("$next/sql/vectorx--$today--99.0.sql", "-- $today to 99.0\n\n\n\\echo Use \"ALTER EXTENSION vectorx UPDATE TO '99.0'\" to load this file. \\quit\n"
	  . "CREATE FUNCTION nothing(vector) RETURNS vector LANGUAGE sql IMMUTABLE RETURN \$1;\n");
spew("$next/sql/vectorx--99.0.sql", slurp_file("$next/sql/vectorx--$today.sql") . slurp_file("$next/sql/vectorx--$today--99.0.sql") =~ s/.*quit\n//sr);
my $as_vector = slurp_file("$root/scripts/as-vector");
spew("$next/scripts/as-vector", $as_vector);
$node->command_fails_like([ 'bash', "$next/scripts/as-vector", 'install', $extensions, $libraries ], qr/VERSIONS has no line for vectorx 99\.0/, 'a version without a number under this name');
spew("$next/scripts/as-vector", $as_vector =~ s/^(VERSIONS=\(.*?)\)/$1  0.8.6.1=99.0\n)/msr);
$node->command_ok([ 'bash', "$next/scripts/as-vector", 'install', $extensions, $libraries ], 'a later version over this one');
is(files(), 'vector.control vector--0.8.6--0.8.6.1.sql vector--0.8.6.1.sql vector--0.8.6.sql', 'its files');
sql('as_vector', 'ALTER EXTENSION vector UPDATE');
is(sql('as_vector', "SELECT nothing('[1,2]'), extversion FROM pg_extension WHERE extname = 'vector'"), '[1,2]|0.8.6.1', 'UPDATE makes what is new');
sql('postgres', 'CREATE DATABASE later');
sql('later', 'CREATE EXTENSION vector');
is(sql('later', "SELECT nothing('[1,2]'), extversion FROM pg_extension WHERE extname = 'vector'"), '[1,2]|0.8.6.1', 'and a new extension has it');
$node->command_ok([ 'bash', "$next/scripts/as-vector", 'remove', $extensions, $libraries ], 'the later version is taken away');
is(files(), '', 'with all of its files');
is((make('install-as-vector'))[0], 0, 'and this one is back');
sql('as_vector', 'ALTER EXTENSION vector DROP FUNCTION nothing(vector); DROP FUNCTION nothing(vector); '
	  . "UPDATE pg_extension SET extversion = '0.8.6' WHERE extname = 'vector'");

sql('as_vector', 'CREATE EXTENSION needs_vector');
is(sql('as_vector', "SELECT origin(2) <-> '[3,4]'"), 5, 'an extension that requires "vector"');
like(told('as_vector', 'DROP EXTENSION vector'), qr/ERROR:  cannot drop extension vector because other objects depend on it/, 'depends on it');
sql('as_vector', 'DROP EXTENSION needs_vector');
sql('as_vector', 'ALTER EXTENSION vector SET SCHEMA elsewhere; ALTER DATABASE as_vector SET search_path = public, elsewhere');
is(sql('as_vector', "SELECT count(*) FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e' "
	  . "AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'vector') AND p.pronamespace <> 'elsewhere'::regnamespace"), 0, 'SET SCHEMA moves all');
is(sql('as_vector', "INSERT INTO items (v) VALUES ('[3,4,5.1]'); SET enable_seqscan = off; $nearest; SELECT count(*) FROM pg_stat_vectorx_indexes, hnsw_check(indexrelid)"), "601\n0", 'and it works there');
sql('as_vector', 'DROP TABLE items; DROP EXTENSION vector; CREATE EXTENSION vectorx; DROP EXTENSION vectorx; CREATE EXTENSION vector');

# ---- a dump of pgvector's

# From a newer server's program: what this one does not know.
my $dump = slurp_file("$here/pgvector_dump.sql");
my $folder = PostgreSQL::Test::Utils::tempdir();

sub restored
{
	my ($database, $what) = @_;

	for my $how ('SET enable_indexscan = off', 'SET enable_seqscan = off; SET enable_sort = off')
	{
		my @wrong;

		for (split /\n/, sql($database, 'SELECT id FROM asked ORDER BY id'))
		{
			my $statement = sql($database, "SELECT statement FROM asked WHERE id = $_");
			push @wrong, $statement if sql($database, "$how; SELECT ($statement) IS DISTINCT FROM (SELECT answer FROM asked WHERE id = $_)") ne 'f';
		}
		is(join("\n", @wrong), '', "$what: pgvector's answers, $how");
	}
	is(sql($database, 'SELECT count(*) FROM pg_stat_vectorx_indexes; SELECT * FROM pg_stat_vectorx_indexes, hnsw_check(indexrelid)'), 28, "$what: 28 indexes, all sound");
}

for my $name ('vector', 'vectorx')
{
	spew("$folder/dump", $name eq 'vector' ? $dump : $dump =~ s/(EXTENSION(?: IF NOT EXISTS)?) vector\b/$1 vectorx/gr);
	sql('postgres', "CREATE DATABASE restored_$name");
	$node->command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-h', $node->host, '-p', $node->port, '-f', "$folder/dump", "restored_$name" ],
		"$name: a dump of pgvector's is restored");
	restored("restored_$name", $name);
}

# ---- and moved on

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PATH} = "$bin:$ENV{PATH}";
sql('postgres', 'CREATE DATABASE moved; CREATE ROLE reader; ALTER ROLE reader IN DATABASE restored_vector SET hnsw.ef_search = 77; '
	  . 'ALTER DATABASE restored_vector SET search_path = app, public');
my $migrate = "$root/scripts/migrate-from-pgvector";
$node->command_checks_all([ $migrate, 'restored_vector', 'moved' ], 0, [qr/all is the same/], [qr/^$/], 'migrate-from-pgvector');
restored('moved', 'moved');
is(sql('moved', "SELECT extname FROM pg_extension WHERE extname LIKE 'vec%'; SHOW search_path; SELECT setconfig FROM pg_db_role_setting s "
	  . "JOIN pg_database d ON d.oid = setdatabase AND datname = 'moved' WHERE setrole = 'reader'::regrole"), "vector\napp, public\n{hnsw.ef_search=77}", 'with its settings');
$node->command_checks_all([ $migrate, 'restored_vector', 'moved' ], 2, [qr/source/], [qr/the target is not empty/], 'migrate-from-pgvector to what is not empty');
$node->command_checks_all([ $migrate, 'as_vectorx', 'moved' ], 2, [qr/^$/], [qr/the source has no extension "vector"/], 'migrate-from-pgvector from what is not pgvector');

# ---- taken away

is((make('uninstall-as-vector'))[0], 0, 'uninstall-as-vector');
is(files(), '', 'takes its files away');
ok(-e "$extensions/vectorx.control", 'and no other');
is((make('uninstall-as-vector'))[0], 0, 'a second time has nothing to do');
like(told('postgres', 'CREATE EXTENSION vector'), qr/ERROR:  extension "vector" is not available/, 'no new one can be made');
restored('restored_vector', 'a database that has it');

log_is_clean($node);
$node->stop;
done_testing();
