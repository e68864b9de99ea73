# vectorx_pgvector where there is no pgvector: types and operators of vectorx's own stand in for pgvector's, under its
# name and without what pgvector does not have, in a copy of the server.  So the second library works on types of
# another one in the same process, with every operator class, in all workers.  bench/bridge.py asks more, beside
# pgvector itself.
use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my $root = dirname(dirname(abs_path(__FILE__)));
my $config = copied_server();
my ($bin, $share) = map { chomp(my $dir = `'$config' --$_`); $dir } qw(bindir sharedir);

# Statements of the install script up to its access methods.
my ($version) = slurp_file("$root/vectorx.control") =~ /^default_version = '(.*)'/m;
my ($script) = slurp_file("$root/sql/vectorx--$version.sql") =~ /^(-- type\n.*?)^CREATE FUNCTION hnswhandler/ms;
$script = join(";\n", grep { !/_sphere|<<.*>>/ } split /;\n/, $script);
unlink glob("$share/extension/vector--*.sql");
for ([ 'vector.control', "default_version = '0.8.6'\nmodule_pathname = '\$libdir/vectorx'\nrelocatable = true\n" ], [ 'vector--0.8.6.sql', "$script;\n" ])
{
	open(my $out, '>', "$share/extension/$_->[0]") or die "$_->[0]: $!";
	print $out $_->[1];
	close($out);
}

my $node = new_node('main', "max_worker_processes = 16\nvectorx.merge_naptime = 100\n", install_path => dirname($bin));

sub sql
{
	my (@statements) = @_;

	return $node->safe_psql('postgres', join(';', @statements));
}

sql('CREATE SCHEMA ext', 'CREATE EXTENSION vector SCHEMA ext', 'ALTER DATABASE postgres SET search_path = public, ext');
sql('CREATE EXTENSION vectorx_pgvector');
sql(q(CREATE FUNCTION waves(seed int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	$$SELECT array_agg(sin(seed * 12.9898 + i * (seed % 97) * 0.233 + i) ORDER BY i)::vector FROM generate_series(1, 16) i$$));

# ---- operator classes

my %kinds = (
	vector => [ 'x', 'vector(16)' ], halfvec => [ 'x::halfvec', 'halfvec(16)' ],
	sparsevec => [ 'x::sparsevec', 'sparsevec(16)' ], bit => [ 'binary_quantize(x)', 'bit(16)' ]);
my %operators = (l2 => '<->', ip => '<#>', cosine => '<=>', l1 => '<+>', hamming => '<~>', jaccard => '<%>');
my @classes = split /\n/, sql("SELECT opcname FROM pg_opclass c JOIN pg_am m ON m.oid = opcmethod WHERE amname = 'vectorx' AND amvalidate(c.oid) ORDER BY 1");

is(scalar(@classes), 14, '14 operator classes, all valid');
for my $class (@classes)
{
	my ($kind, $metric) = $class =~ /^(\w+)_(\w+)_ops$/;
	my ($value, $column) = @{ $kinds{$kind} };
	my $far = "v $operators{$metric} (SELECT v FROM $class WHERE id = 7)";

	sql("CREATE TABLE $class AS SELECT i AS id, ($value)::$column AS v FROM (SELECT i, waves(i) AS x FROM generate_series(1, 1000) i) w",
		"CREATE INDEX ${class}_x ON $class USING vectorx (v $class) WITH (pending_limit = 0)", "INSERT INTO $class SELECT id + 1000, v FROM $class WHERE id <= 500",
		"DELETE FROM $class WHERE id % 5 = 3");
	sql("VACUUM $class");
	is(sql("SELECT problem FROM vectorx_check('${class}_x')"), '', "$class: sound");
	# far enough for these few rows: at the default one build in 200 or so has another ten
	my ($plan, $answer, $exact) = map { sql('SET vectorx.ef_search = 100', "SET enable_" . ($_->[0] ? 'seqscan' : 'indexscan') . ' = off', "SET enable_sort = " . ($_->[0] ? 'off' : 'on'), $_->[1]) }
	  [ 1, "EXPLAIN (COSTS off) SELECT id FROM $class ORDER BY $far LIMIT 10" ],
	  map { [ $_, "SELECT string_agg(round(d::numeric, 3)::text, ' ') FROM (SELECT $far AS d FROM $class ORDER BY $far LIMIT 10) s" ] } 1, 0;
	like($plan, qr/Index Scan using ${class}_x/, "$class: searched by the index");
	is($answer, $exact, "$class: the ten nearest");
	like(sql('SET enable_seqscan = off', "EXPLAIN (COSTS off) SELECT id FROM $class WHERE $far < 0.5"), qr/Index Scan using ${class}_x.*Index Cond: \(v <</s,
		"$class: within a distance");
	unlike(sql('SET vectorx.enable = off', 'SET enable_seqscan = off', "EXPLAIN SELECT id FROM $class ORDER BY $far LIMIT 10"), qr/${class}_x/, "$class: hidden");
}

# ---- workers

is(sql('SET enable_seqscan = off', 'SET vectorx.ef_search = 90', 'SET vectorx.iterative_scan = off', 'SET ' . ($node->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode') . ' = on',
		'SELECT count(*) FROM (SELECT id FROM vector_l2_ops ORDER BY v <-> waves(7) LIMIT 200) s') >= 90 ? 1 : 0, 1, 'a parallel query');
sql('CREATE TABLE large AS SELECT i AS id, waves(i) AS v FROM generate_series(1, 12000) i', 'ALTER TABLE large ALTER v TYPE vector(16), SET (parallel_workers = 2)');
my (undef, undef, $told) = $node->psql('postgres', 'SET client_min_messages = debug1; SET max_parallel_maintenance_workers = 2; CREATE INDEX large_v ON large USING vectorx (v vector_l2_ops)');
like($told, qr/using 2 parallel workers/, 'a build with workers');
is(sql('CREATE INDEX again ON large USING vectorx (v vector_l2_ops)', 'DROP INDEX again', 'SHOW vectorx.ef_search'), 40, 'who creates an index has the settings');
is(sql("SELECT live_nodes > 8000, (SELECT count(*) FROM vectorx_check('large_v')) FROM vectorx_info('large_v')"), 't|0', 'makes a sound index');
is(sql('SET max_parallel_workers_per_gather = 2', "SELECT count(DISTINCT query), count(*) FROM vectorx_search('large_v', (SELECT array_agg(v) FROM large WHERE id <= 400), 5)"), '400|2000',
	'vectorx_search');
sql('DO $$ BEGIN FOR i IN 12001 .. 15500 LOOP INSERT INTO large VALUES (i, waves(i) + waves(i + 1)); END LOOP; END $$');
ok($node->poll_query_until('postgres', "SELECT merges > 0 FROM vectorx_info('large_v')"), 'the worker that merges');
is(sql("SELECT count(*) FROM vectorx_check('large_v')"), 0, 'leaves a sound index');
is(sql("SELECT bool_and(scans > 0) FROM pg_stat_vectorx_indexes WHERE indexrelname ~ '_ops_x'"), 't', 'all have been counted');

log_is_clean($node);
$node->stop;
done_testing();
