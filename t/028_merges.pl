# Merges: the background worker comes without preload and goes again, is killed, finds no slot;
# indexes and databases are dropped and built anew beside it; standbys have what is pending, and so after
# promotion; who may merge; what an insert does that finds no room.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my $merger = q(FROM pg_stat_activity WHERE backend_type = 'vectorx merger');
my $gone = "SELECT count(*) = 0 $merger";
my $vector = q((SELECT array_agg(sin(x.i * k) + cos(x.i * k * k)) FROM generate_series(1, 8) k)::vector);

# Rows from..to, one a transaction if asked, into a table.
sub rows_of
{
	my ($table, $from, $to) = @_;
	return "INSERT INTO $table SELECT i, $vector FROM generate_series($from, $to) x(i);";
}

sub table_of
{
	my ($table, $options) = @_;
	return "CREATE TABLE $table (id int, v vector(8)); " . rows_of($table, 1, 100)
	  . "CREATE INDEX ${table}_v ON $table USING hnsw (v vector_l2_ops) WITH ($options);";
}

# The index is sound, and each row is found by its own vector.
sub is_whole
{
	my ($node, $db, $table, $name) = @_;
	is($node->safe_psql($db, "SELECT * FROM hnsw_check('${table}_v')"), '', "$name: sound") unless $node->safe_psql($db, 'SELECT pg_is_in_recovery()') eq 't';
	is($node->safe_psql($db, "SET enable_seqscan = off; SELECT count(*) FROM $table t WHERE t.id <> ALL
		(ARRAY(SELECT id FROM $table n ORDER BY n.v <-> t.v LIMIT 3))"), 0, "$name: each row is found by its own vector");
}

sub pending
{
	my ($node, $db, $table) = @_;
	return $node->safe_psql($db, "SELECT pending_rows FROM hnsw_info('${table}_v')");
}

my $node = new_node('merges', q(
jit = off
hnsw.merge_naptime = 50ms
restart_after_crash = on
), allows_streaming => 1);
$node->safe_psql('postgres', 'CREATE EXTENSION vectorx');

# ---- the worker comes, merges, and goes

$node->safe_psql('postgres', table_of('a', 'pending_limit = 400') . rows_of('a', 101, 150));
is(pending($node, 'postgres', 'a'), 50, 'few rows are pending');
is_whole($node, 'postgres', 'a', 'pending');
$node->safe_psql('postgres', join("\n", map { rows_of('a', $_, $_) } 151 .. 700));
ok($node->poll_query_until('postgres', q(SELECT merges > 0 AND pending_rows < 300 FROM hnsw_info('a_v'))),
	'a worker merges');
is_whole($node, 'postgres', 'a', 'merged by a worker');
ok($node->poll_query_until('postgres', $gone), 'it ends when there is nothing to do');
is($node->safe_psql('postgres', q(SELECT pending_rows < 100 FROM hnsw_info('a_v'))), 't', 'what nobody adds to is merged, too');

# ---- what it leaves pending is a setting

$node->safe_psql('postgres', table_of('few', 'pending_limit = 400') . rows_of('few', 101, 110));
my $asks = sub { $node->safe_psql('postgres', 'SELECT pg_sleep(1.1);' . join("\n", map { rows_of('a', $_, $_) } $_[0] .. $_[0] + 299)) };
$asks->(10001);
ok($node->poll_query_until('postgres', $gone), 'it has come and gone');
is(pending($node, 'postgres', 'few'), 10, 'few rows are left');
$node->append_conf('postgresql.conf', 'hnsw.merge_idle = 1');
$node->reload;
$asks->(20001);
ok($node->poll_query_until('postgres', q(SELECT pending_rows = 0 FROM hnsw_info('few_v'))), 'hnsw.merge_idle: few rows are merged, too');
ok($node->poll_query_until('postgres', $gone), 'it goes');

# ---- it is terminated, and comes again

$node->safe_psql('postgres', table_of('b', 'pending_limit = 400'));
for my $round (1 .. 5)
{
	$node->safe_psql('postgres', join("\n", map { rows_of('b', 100 + $_, 100 + $_) } 300 * ($round - 1) + 1 .. 300 * $round));
	$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) $merger");
	select(undef, undef, undef, 0.3);
}
$node->safe_psql('postgres', 'SELECT pg_sleep(1.1);' . rows_of('b', 1601, 1900));
is($node->safe_psql('postgres', 'SELECT count(*) FROM b'), 1900, 'inserts do not notice');
is_whole($node, 'postgres', 'b', 'worker terminated');
ok($node->poll_query_until('postgres', $gone), 'it ends again');

# ---- indexes and databases beside it

$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION vectorx;' . table_of('c', 'pending_limit = 300') . rows_of('c', 101, 1500));
for my $round (1 .. 5)
{
	my $from = 2000 + 300 * $round;
	$node->safe_psql('postgres', join("\n", map { rows_of('b', $_, $_) } $from .. $from + 299));
	$node->safe_psql('postgres', 'REINDEX INDEX b_v') if $round % 2 == 0;
	$node->safe_psql('postgres', 'DROP INDEX b_v; CREATE INDEX b_v ON b USING hnsw (v vector_l2_ops) WITH (pending_limit = 400)')
	  if $round % 2;
}
is_whole($node, 'postgres', 'b', 'dropped and built anew');
is($node->psql('postgres', 'DROP DATABASE other'), 0, 'a database can be dropped');

# ---- many indexes

$node->safe_psql('postgres', 'CREATE TABLE p (id int, v vector(8)) PARTITION BY HASH (id);'
	  . join('', map { "CREATE TABLE p$_ PARTITION OF p FOR VALUES WITH (MODULUS 200, REMAINDER $_);" } 0 .. 199)
	  . 'CREATE INDEX ON p USING hnsw (v vector_l2_ops) WITH (pending_limit = 64);' . rows_of('p', 1, 2000));
$node->safe_psql('postgres', rows_of('p', 2001, 20000));
ok($node->poll_query_until('postgres', q(SELECT max(pending_rows) < 64 AND min(merges) > 0 FROM pg_class,
	hnsw_info(oid) WHERE relkind = 'i' AND relname LIKE 'p%_v_idx')), '200 indexes are merged');
is($node->safe_psql('postgres', q(SELECT count(*) FROM pg_class, hnsw_check(oid::regclass) WHERE relkind = 'i' AND relname LIKE 'p%_v_idx')),
	0, 'they are sound');

# ---- who may, and where

$node->safe_psql('postgres', 'CREATE ROLE reader; GRANT SELECT ON a TO reader');
is(join(' ', states_of($node, "SET ROLE reader; SELECT hnsw_merge('a_v')")), '42501', 'not everybody may merge');
is(join(' ', states_of($node, "BEGIN READ ONLY; SELECT hnsw_merge('a_v')")), '25006', 'nor in a read-only transaction');
is(join(' ', states_of($node, "SELECT hnsw_merge('pg_class_oid_index')")), '42809', 'nor another index');

# ---- a standby, promoted with rows pending

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('merges_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->safe_psql('postgres', table_of('s', 'pending_limit = 2000') . rows_of('s', 101, 700));
$node->wait_for_catchup($standby);
is(pending($standby, 'postgres', 's'), 600, 'a standby has the pending rows');
is_whole($standby, 'postgres', 's', 'standby');
is(join(' ', states_of($standby, "SELECT hnsw_merge('s_v')")), '25006', 'it cannot merge');
is($node->safe_psql('postgres', "SELECT hnsw_merge('s_v')"), 600, 'the primary merges');
$node->safe_psql('postgres', rows_of('s', 701, 900));
$node->wait_for_catchup($standby);
is_whole($standby, 'postgres', 's', 'standby after a merge');
$standby->promote;
is_whole($standby, 'postgres', 's', 'promoted');
is($standby->safe_psql('postgres', "SELECT hnsw_merge('s_v')"), 200, 'it merges what is pending');
is_whole($standby, 'postgres', 's', 'promoted and merged');
log_is_clean($standby);
$standby->stop;

# ---- no worker to be had

$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->restart;
for my $profile (qw(latency balanced throughput))
{
	$node->safe_psql('postgres', table_of("w_$profile", 'pending_limit = 300') . "SET hnsw.write_profile = $profile;"
		  . rows_of("w_$profile", 101, 3000));
	my ($merges, $rows) = split(/\|/, $node->safe_psql('postgres', "SELECT merges, pending_rows FROM hnsw_info('w_${profile}_v')"));
	is($merges > 0 ? 1 : 0, $profile eq 'latency' ? 0 : 1, "$profile: who merges");
	cmp_ok($rows, '<=', 600, "$profile: no more are pending than may be");
	is_whole($node, 'postgres', "w_$profile", $profile);
}
$node->safe_psql('postgres', 'VACUUM w_latency');
is(pending($node, 'postgres', 'w_latency'), 0, 'VACUUM merges');
is_whole($node, 'postgres', 'w_latency', 'vacuumed');
log_is_clean($node);
$node->stop;

# ---- nobody waits long for the worker (stopped at a wait point, or with much to do)

my $library = $ENV{VX_WAIT_POINTS_LIBRARY};
SKIP:
{
	skip 'VX_WAIT_POINTS_LIBRARY names no library with wait points', 1 unless $library;

	my $way = new_node('way', qq(
dynamic_library_path = '$library:\$libdir'
hnsw.merge_naptime = 50ms
maintenance_work_mem = 1MB
));
	my $extension = q(CREATE EXTENSION vectorx; UPDATE pg_proc SET probin = 'vectorx' WHERE probin = '$libdir/vectorx';);
	$way->safe_psql('postgres', $extension);
	$way->safe_psql('postgres', q(LOAD 'vectorx'; ALTER DATABASE postgres SET vectorx.wait_point = 'merge-settle'));
	my $holder = session($way, q(SELECT pg_advisory_lock(77, hashtext('merge-settle'))), 'SELECT pg_sleep(10000)');
	my $waits = q(SELECT count(*) > 0 FROM pg_locks JOIN pg_stat_activity USING (pid)
		WHERE locktype = 'advisory' AND NOT granted AND backend_type = 'vectorx merger');
	$way->poll_query_until('postgres', q(SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = 77));

	$way->safe_psql('postgres', table_of('d', 'pending_limit = 400'));
	my $next = 101;
	foreach my $ddl ('VACUUM d', 'ALTER INDEX d_v SET (m = 8)', 'REINDEX INDEX d_v', 'ALTER TABLE d ADD c int', 'DROP INDEX d_v')
	{
		$way->safe_psql('postgres', join("\n", map { rows_of('d', $_, $_) } $next .. $next + 349));
		$next += 350;
		ok($way->poll_query_until('postgres', $waits), "before $ddl: the worker merges");
		is($way->safe_psql('postgres', "SET vectorx.wait_point = 'none'; $ddl"), '', "$ddl need not wait for it");
		is_whole($way, 'postgres', 'd', "after $ddl") unless $ddl =~ /DROP/;
	}

	# a merge in turn that is cancelled keeps what it has done but for the last part
	$way->safe_psql('postgres', table_of('o', 'pending_limit = 20000') . rows_of('o', 101, 1600));
	my $merge = session($way, "SET vectorx.wait_point = 'merge-settle'; SET vectorx.wait_point_skip = 1400", q(SELECT hnsw_merge('o_v')));
	ok($way->poll_query_until('postgres', q(SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND classid = 77 AND NOT granted)),
		'a merge is in its last part');
	$way->safe_psql('postgres', q(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT hnsw_merge%'));
	like(end_session($merge), qr/canceling statement/, 'it is cancelled');
	cmp_ok(pending($way, 'postgres', 'o'), '<', 900, 'what was linked before is pending no more');
	is_whole($way, 'postgres', 'o', 'cut off');
	$way->safe_psql('postgres', 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE \'%pg_sleep(10000)\' AND pid <> pg_backend_pid()');
	end_session($holder);

	# a merge that takes longer than the five seconds for which DROP DATABASE waits
	$way->safe_psql('postgres', 'CREATE DATABASE large');
	$way->safe_psql('large', $extension);
	$way->safe_psql('large', table_of('l', 'pending_limit = 20000, ef_construction = 1000'));
	my $inside = session($way, '\\c large', q(DO $$ BEGIN
		WHILE (SELECT datallowconn FROM pg_database WHERE datname = 'large') LOOP PERFORM pg_sleep(0.01); END LOOP; END $$),
		rows_of('l', 101, 19900), 'SELECT pg_sleep(1.1)', map { rows_of('l', $_, $_) } 19901 .. 19960);
	$way->poll_query_until('postgres', q(SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = 'large'));
	$way->safe_psql('postgres', 'ALTER DATABASE large WITH ALLOW_CONNECTIONS false');
	is(end_session($inside), '', 'rows are inserted');
	ok($way->poll_query_until('postgres', "SELECT count(*) > 0 $merger AND datname = 'large'"), 'a worker comes to a database that takes no connections');
	is($way->psql('postgres', 'DROP DATABASE large'), 0, 'DROP DATABASE ends it');
	log_is_clean($way);
	$way->stop;
}

done_testing();
