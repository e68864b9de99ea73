# vectorx in one process with pgvector's library, and its settings hnsw.*: preloaded
# in any order, loaded one after the other, and set before the library is loaded.
# A small library stands in for pgvector's (standin.c), so that this needs none;
# bench/beside.py asks the same of pgvector itself.
use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my $pg_config = $ENV{PG_CONFIG} || 'pg_config';

sub config
{
	my ($what) = @_;

	chomp(my $value = `'$pg_config' --$what`);
	return $value;
}

# ---- names (with __ they are the compiler's)

my %exports;
foreach my $library ('vectorx', 'vectorx_pgvector')
{
	my $exports = `nm -D --defined-only '@{[config('pkglibdir')]}/$library.so'`;
	is($?, 0, "nm reads $library");
	my @names = map { (split)[-1] } split /\n/, $exports;
	cmp_ok(scalar(grep { /^pg_finfo_vectorx_/ } @names), '>', 30, 'the functions of the extension are exported');
	is(join(' ', grep { !/^(_PG_init|Pg_magic_func|Hnsw(Build|Queries)Worker|(pg_finfo_)?vectorx_\w+|__.*)$/ } @names),
		'', 'and nothing but what the server looks up');
	is(`nm -D --undefined-only '@{[config('pkglibdir')]}/$library.so' | grep -i -e hnsw -e vectorx`, '', 'and it looks for nothing of its own elsewhere');
	$exports{$library} = join(' ', sort @names);
}
is($exports{vectorx_pgvector}, $exports{vectorx}, 'both have the same entry points');

my $standin = PostgreSQL::Test::Utils::tempdir() . '/standin';
my $source = dirname(abs_path(__FILE__)) . '/standin.c';
# without the warnings: a compiler older than the server's may not know them
my $compile = join(' ', config('cc'), config('cppflags'), config('cflags') =~ s/(^|\s)-W\S+//gr, config('cflags_sl'),
	'-I' . config('includedir-server'), "-shared -o $standin.so $source");
system($compile) == 0 or BAIL_OUT("cannot compile the stand-in: $compile");

# ---- both in one process

my $node = new_node('main', "work_mem = 1MB\nvectorx.ef_search = 77\n");
$node->safe_psql('postgres', qq(
CREATE EXTENSION vectorx;
CREATE FUNCTION calls_itself() RETURNS bool LANGUAGE c AS '$standin', 'standin_calls_itself';
));
$node->safe_psql('postgres', q(
CREATE TABLE items (id serial PRIMARY KEY, v vector(3));
INSERT INTO items (v) SELECT ARRAY[i % 7, i % 11, i % 13]::vector FROM generate_series(1, 600) i;
CREATE INDEX items_v ON items USING hnsw (v vector_l2_ops);
ANALYZE items;
CREATE TABLE others (v vector(3));
CREATE INDEX ON others USING hnsw (v vector_l2_ops);
CREATE ROLE app LOGIN;
GRANT SELECT ON items TO app;
-- A search, and what its plan costs before the first row, which grows with ef.
CREATE FUNCTION nearest() RETURNS bigint LANGUAGE sql SET enable_seqscan = off AS
	$$SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> '[3,4,5]' LIMIT 1) s$$;
CREATE FUNCTION all_of_them() RETURNS bigint LANGUAGE sql SET enable_seqscan = off SET enable_sort = off AS
	$$SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> '[3,4,5]') s$$;
CREATE FUNCTION startup_cost() RETURNS float8 LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) SELECT id FROM items ORDER BY v <-> ''[3,4,5]'' LIMIT 1' INTO plan;
	RETURN plan->0->'Plan'->'Plans'->0->>'Startup Cost';
END $$;
-- The same with a setting of its own, under which the search is the first.
CREATE FUNCTION nearest_of_90() RETURNS float8 LANGUAGE plpgsql SET hnsw.ef_search = 90 AS
	'BEGIN PERFORM nearest(); RETURN startup_cost(); END';
));

# Statements in one session: what they print, and the warnings and errors.
sub run_session
{
	my ($sql, %options) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 0, %options);
	$err =~ s/^(?!.*(?:WARNING|ERROR|FATAL|PANIC):).*\n?//mg;
	$err =~ s/^.*?(WARNING|ERROR|FATAL|PANIC):/$1:/mg;
	return ($out, $err);
}

sub is_session
{
	my ($sql, $out, $err, $name, %options) = @_;
	my ($got_out, $got_err) = run_session($sql, %options);

	is($got_out, $out, "$name: results");
	like($got_err, $err, "$name: messages");
}

my ($cost, $cost_of_90) = map { $node->safe_psql('postgres',
		"SELECT startup_cost(); SET hnsw.ef_search = $_; SELECT startup_cost()") =~ /(\S+)$/ } 40, 90;
cmp_ok($cost_of_90, '>', $cost, 'what a search costs tells ef_search');

foreach my $way ('shared_preload_libraries', 'session_preload_libraries')
{
	foreach my $libraries ($standin, 'vectorx', "$standin, vectorx", "vectorx, $standin", "vectorx, vectorx_pgvector, $standin",
		"$standin, vectorx_pgvector, vectorx")
	{
		my $when = "$way = $libraries" =~ s/\Q$standin\E/standin/r;

		$node->append_conf('postgresql.conf', "$way = '$libraries'");
		$node->restart;
		is_session("SET hnsw.ef_search = 90; SELECT nearest(), startup_cost() = $cost_of_90; SHOW hnsw.ef_search; "
			  . "INSERT INTO others SELECT v FROM items LIMIT 20; "
			  . "SELECT * FROM hnsw_check('others_v_idx'); CREATE INDEX again ON items USING hnsw (v vector_l1_ops); DROP INDEX again",
			"1|t\n90", qr/^$/, "$when: vectorx used");
		is_session('SET hnsw.ef_search = 90; SELECT calls_itself(); SHOW hnsw.ef_search; SHOW hnsw.max_scan_tuples',
			"t\n90\n20000", qr/^$/, "$when: the other used");
		is_session("SET hnsw.ef_search = 90; SELECT nearest(), startup_cost() = $cost_of_90; SELECT calls_itself()",
			"1|t\nt", qr/^$/, "$when: one after the other") if $libraries =~ /standin/;
		is_session("SELECT nearest(), startup_cost() = $cost; SHOW vectorx.ef_search; SHOW vectorx.simd; SHOW hnsw.ef_search", "1|t\n77\nauto\n40", qr/^$/,
			"$when: settings of the library for pgvector's types") if $libraries =~ /vectorx_pgvector/;
	}
	$node->append_conf('postgresql.conf', "$way = ''");
}
$node->restart;

is_session("LOAD '$standin'; SET hnsw.ef_search = 90; SELECT nearest(), startup_cost() = $cost_of_90; SELECT calls_itself(); "
	  . 'SET hnsw.ef_search = 1001; SHOW hnsw.ef_search',
	"1|t\nt\n90", qr/^ERROR:  1001 is outside the valid range for parameter "hnsw.ef_search" \(1 .. 1000\)$/,
	'the other one first: its setting is used');
is_session("LOAD '$standin'; SELECT all_of_them(); SET hnsw.iterative_scan = off; SELECT all_of_them(); SET hnsw.iterative_scan = relaxed_order; "
	  . 'SELECT all_of_them(); SET hnsw.max_scan_tuples = 50; SELECT all_of_them() < 600',
	"600\n40\n600\nt", qr/^$/, 'its settings of scans are used, its defaults are not');
is_session("SELECT '[1]'::vector; LOAD '$standin'; SELECT calls_itself()", "[1]\nt", qr/^$/,
	'the other one after vectorx, no index used');
is_session("SELECT nearest(); LOAD '$standin'", 1, qr/^ERROR:  attempt to redefine parameter "hnsw.ef_search"$/,
	'the other one after an index of vectorx: refused');

is_session("SET vectorx.ef_search = 20000; LOAD 'vectorx_pgvector'; SHOW vectorx.ef_search; SET vectorx.enable = off; SELECT nearest(), startup_cost() = $cost; SHOW vectorx.enable",
	"10000\n1|t\noff", qr/^WARNING:  20000 is outside the valid range for parameter "vectorx.ef_search" \(1 .. 10000\)$/,
	"the library for pgvector's types hides no other index");

# ---- settings made before they are known

# Each is the first statement of its session, or there before it.
my $told = 'WARNING:  20000 is outside the valid range for parameter "hnsw.ef_search" \(1 .. 10000\)';
my $out_of_range = qr/^$told$/;
foreach my $preload ('', 'vectorx')
{
	my $when = $preload ? 'preloaded' : 'not loaded';

	$node->append_conf('postgresql.conf', "shared_preload_libraries = '$preload'\nhnsw.ef_search = 20000");
	$node->restart;
	is_session('SELECT nearest(); SELECT nearest(); SHOW hnsw.ef_search; RESET hnsw.ef_search; SHOW hnsw.ef_search; '
		  . "SELECT min_val, max_val, boot_val, vartype FROM pg_settings WHERE name = 'hnsw.ef_search'",
		"1\n1\n10000\n10000\n1|10000|40|integer", $out_of_range, "$when, postgresql.conf");
	$node->append_conf('postgresql.conf', 'hnsw.ef_search = 40');
	$node->restart;
	$node->safe_psql('postgres', 'ALTER ROLE app SET hnsw.ef_search = -3');
	is_session('SELECT nearest(); SHOW hnsw.ef_search', "1\n1",
		qr/^WARNING:  -3 is outside the valid range for parameter "hnsw.ef_search" \(1 .. 10000\)$/,
		"$when, ALTER ROLE", extra_params => [ '-U', 'app' ]);
	$node->safe_psql('postgres', 'ALTER ROLE app RESET ALL');
	is_session('SET hnsw.ef_search = 20000; SELECT nearest(); SHOW hnsw.ef_search; SET hnsw.ef_search = 20000; '
		  . 'SET hnsw.ef_search = 200; SHOW hnsw.ef_search',
		"1\n10000\n200", qr/^$told\nERROR:  20000 is outside the valid range for parameter "hnsw.ef_search"/,
		"$when, SET");
	is_session('BEGIN; SET LOCAL hnsw.ef_search = 20000; SELECT nearest(); SHOW hnsw.ef_search; COMMIT; SHOW hnsw.ef_search',
		"1\n10000\n40", $out_of_range, "$when, SET LOCAL");
	is_session('SET hnsw.no_such = 1; SELECT nearest(); SELECT nearest(); SET hnsw.no_such = 2',
		"1\n1", qr/^WARNING: .*"hnsw.no_such".*\nERROR: .*"hnsw.no_such"[^\n]*$/,
		"$when, an unknown setting");
	is_session('SET hnsw.iterative_scan = off; SET hnsw.max_scan_tuples = 70; SET hnsw.scan_mem_multiplier = 2.5; SELECT all_of_them(); '
		  . 'SHOW hnsw.iterative_scan; SHOW hnsw.max_scan_tuples; SHOW hnsw.scan_mem_multiplier; RESET hnsw.iterative_scan; '
		  . 'SELECT all_of_them() < 600; RESET hnsw.max_scan_tuples; SELECT all_of_them()',
		"40\noff\n70\n2.5\nt\n600", qr/^$/, "$when, settings of scans");
	is_session('SELECT nearest_of_90(); SHOW hnsw.ef_search; BEGIN; SET LOCAL hnsw.ef_search = 7; '
		  . 'SELECT nearest_of_90(); SHOW hnsw.ef_search; ROLLBACK; SHOW hnsw.ef_search',
		"$cost_of_90\n40\n$cost_of_90\n7\n40", qr/^$/, "$when, a function's own");
	# the whole search in a worker, which cannot define it
	is_session('SET debug_parallel_query = on; SET force_parallel_mode = on; SET hnsw.ef_search = 90; SET enable_seqscan = off; '
		  . "SET hnsw.iterative_scan = off; "
		  . "SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> '[3,4,5]' LIMIT 200) s; SHOW hnsw.ef_search",
		"90\n90", qr/^ERROR:  unrecognized configuration parameter "(debug_parallel_query|force_parallel_mode)"$/,
		"$when, in a worker");
}
done_testing();
