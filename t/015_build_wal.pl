# What CREATE INDEX writes to the WAL, by one process and by several, within
# maintenance_work_mem and beyond: hardly more than the index is large, and with
# that a standby finds the same rows, every page of it being compared with the
# primary's (wal_consistency_checking).  Next to nothing for unlogged tables, and
# for tables made in the same transaction with wal_level = minimal, where the index
# is sound after the server is killed right after the commit.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;
use CrashTest;

my $conf = q(
jit = off
shared_buffers = '64MB'
max_wal_size = '2GB'
checkpoint_timeout = '1h'
max_parallel_workers_per_gather = 0
max_parallel_maintenance_workers = 3
dynamic_shared_memory_type = mmap
restart_after_crash = off
);
my $primary = new_node('primary', $conf . "wal_consistency_checking = 'all'\n", allows_streaming => 1);
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

# Enough for the changes of catalogs to count little; of bit and sparse, which are small, they are some 70 kB.
my %rows = (v3 => 6000, v100 => 2500, l1 => 4000, dup => 3000, cos => 1200, side => 300, bit => 3000, sparse => 1500);
my @names = sort keys %rows;
create_tables($primary, \@names);
$primary->safe_psql('postgres', "DROP INDEX ${_}_idx") foreach @names;
fill_tables($primary, \%rows);
# hint bits, which are logged here
$primary->safe_psql('postgres', "VACUUM $_") foreach @names;
is(leftovers($primary), '', 'nothing is left of nothing');

# The WAL that statements write, in bytes; all pages they touch first are whole in it.
sub wal_of
{
	my ($node, $sql) = @_;
	my ($before, @rest) = split /\n/, $node->safe_psql('postgres', qq(
CHECKPOINT;
SET wal_consistency_checking = '';
SELECT pg_current_wal_insert_lsn();
$sql;
SELECT pg_current_wal_insert_lsn()));

	return $node->safe_psql('postgres', "SELECT '$rest[-1]'::pg_lsn - '$before'::pg_lsn");
}

# The rows of index scans with their distances, in order.
sub scans
{
	my ($node, $name) = @_;
	my $op = $kinds{$name}->{op};

	return $node->safe_psql('postgres', join('', "SET enable_seqscan = off;\nSET enable_sort = off;\n", map { qq(
SET hnsw.ef_search = $_;
SELECT q.id, s.* FROM (SELECT id, v FROM $name ORDER BY hashtext(id::text) LIMIT 10) q,
	LATERAL (SELECT id, t.v $op q.v FROM $name t ORDER BY t.v $op q.v LIMIT 30) s;
) } 10, 40));
}

# dup is one page or two, for whatever is written besides
my $besides = 300_000;
foreach my $case ([ 0, '64MB' ], [ 2, '64MB' ], [ 2, '1MB' ])
{
	my ($workers, $memory) = @$case;

	foreach my $name (@names)
	{
		my $when = "$name, parallel_workers $workers, $memory";

		$primary->safe_psql('postgres', "DROP INDEX IF EXISTS ${name}_idx; ALTER TABLE $name SET (parallel_workers = $workers)");
		my $wal = wal_of($primary, "SET maintenance_work_mem = '$memory'; CREATE INDEX ${name}_idx ON $name USING hnsw (v $kinds{$name}->{opclass})");
		my $size = $primary->safe_psql('postgres', "SELECT pg_relation_size('${name}_idx')");

		cmp_ok($wal, '<=', $name eq 'dup' ? $size + $besides : 1.03 * $size + 90_000, "$when: $wal bytes of WAL for an index of $size");
		# once more, with images of all pages to compare
		$primary->safe_psql('postgres', "SET maintenance_work_mem = '$memory'; REINDEX INDEX ${name}_idx");
	}
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	foreach my $name (@names)
	{
		my $when = "$name, parallel_workers $workers, $memory";
		my ($here, $there) = map { scans($_, $name) } $primary, $standby;

		cmp_ok(scalar(split /\n/, $here), '>=', 300, "$when: there are rows");
		ok($here eq $there, "$when: the standby finds the same");
		built_is_sound($standby, $name, "on the standby, parallel_workers $workers, $memory");
	}
}

# an unlogged table: nothing, and an empty index after a crash
foreach my $workers (0, 2)
{
	my $when = "unlogged, parallel_workers $workers";

	$primary->safe_psql('postgres', "CREATE UNLOGGED TABLE unlogged (LIKE v100) WITH (parallel_workers = $workers); INSERT INTO unlogged TABLE v100");
	my $wal = wal_of($primary, 'CREATE INDEX unlogged_idx ON unlogged USING hnsw (v vector_l2_ops)');
	cmp_ok($wal, '<=', $besides, "$when: $wal bytes of WAL");
	is($primary->safe_psql('postgres', q(SELECT count(*) FROM hnsw_check('unlogged_idx'); SELECT heap_tids FROM hnsw_info('unlogged_idx'))),
		"0\n$rows{v100}", "$when: sound");
	kill_server($primary);
	$primary->start;
	is($primary->safe_psql('postgres', q(SELECT count(*) FROM hnsw_check('unlogged_idx'); SELECT heap_tids FROM hnsw_info('unlogged_idx');
		INSERT INTO unlogged TABLE v100; SELECT count(*) FROM hnsw_check('unlogged_idx'); SELECT heap_tids FROM hnsw_info('unlogged_idx'))),
		"0\n0\n0\n$rows{v100}", "$when: empty after a crash, and usable");
	$primary->safe_psql('postgres', 'DROP TABLE unlogged');
}
# what was built last, by several and beyond memory, after the same crashes
built_is_sound($primary, $_, 'after the server was killed') foreach @names;
is(leftovers($primary), '', 'nothing is left');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
$_->stop foreach $standby, $primary;

# ---- wal_level = minimal

my $minimal = new_node('minimal', $conf . "wal_level = minimal\nmax_wal_senders = 0\nwal_skip_threshold = '64kB'\n");
create_tables($minimal, ['v100']);
$minimal->safe_psql('postgres', 'DROP INDEX v100_idx');
fill_tables($minimal, { v100 => 2500 });
$kinds{"same_$_"} = $kinds{v100} foreach 'new', 'old';
foreach my $case ([ 0, '64MB' ], [ 2, '64MB' ], [ 2, '1MB' ])
{
	my ($workers, $memory) = @$case;
	my $when = "wal_level minimal, parallel_workers $workers, $memory";

	# a table of the same transaction, and one that was there
	$minimal->safe_psql('postgres', "DROP TABLE IF EXISTS same_old, same_new; CREATE TABLE same_old AS TABLE v100; ALTER TABLE same_old ALTER v TYPE vector(100);
		ALTER TABLE same_old SET (parallel_workers = $workers)");
	# hint bits, which are logged where there are checksums
	$minimal->safe_psql('postgres', 'VACUUM same_old');
	my $wal = wal_of($minimal, "SET maintenance_work_mem = '$memory';
		BEGIN;
		CREATE TABLE same_new (LIKE v100) WITH (parallel_workers = $workers);
		INSERT INTO same_new TABLE v100;
		CREATE INDEX same_new_idx ON same_new USING hnsw (v vector_l2_ops);
		COMMIT;
		CREATE INDEX same_old_idx ON same_old USING hnsw (v vector_l2_ops)");
	kill_server($minimal);
	$minimal->start;
	cmp_ok($wal, '<=', $besides, "$when: $wal bytes of WAL for two indexes of "
		  . $minimal->safe_psql('postgres', q(SELECT pg_relation_size('same_old_idx'))));
	built_is_sound($minimal, $_, "killed after the commit, parallel_workers $workers, $memory") foreach 'same_new', 'same_old';
	fill_tables($minimal, { v100 => 10 });
	$minimal->safe_psql('postgres', 'INSERT INTO same_new SELECT * FROM v100 ORDER BY id DESC LIMIT 10');
	is($minimal->safe_psql('postgres', q(SELECT count(*) FROM hnsw_check('same_new_idx'))), '0', "$when: written to after it");
}
is(leftovers($minimal), '', 'nothing is left');
$minimal->stop;

foreach my $node ($primary, $standby, $minimal)
{
	unlike(slurp_file($node->logfile), qr/PANIC|TRAP|XX002|inconsistent page|invalid page|Segmentation|signal 11|signal 6|is damaged/,
		'the log of the ' . $node->name . ' is clean');
}
done_testing();
