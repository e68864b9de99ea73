# CREATE INDEX that does not come to its end: cancelled at many moments of each
# phase, its session terminated, stopped by a row that cannot be indexed; in memory
# and with a maintenance_work_mem that holds a part of the rows only; by one process
# and by three, of which a worker is cancelled, terminated and killed too.  No file is
# left, no temporary file and no shared memory, and the same command succeeds at once.  CREATE INDEX CONCURRENTLY leaves
# an invalid index that can be dropped or rebuilt.
# Where a cancel arrives too late the index must be a good one instead.
use strict;
use warnings FATAL => 'all';

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my $rows = 4000;
my $node = new_node('build_cancel', qq(
shared_buffers = '64MB'
wal_buffers = '32kB'
max_wal_size = '1GB'
max_parallel_workers_per_gather = 0
dynamic_shared_memory_type = mmap
restart_after_crash = on
));
create_tables($node, ['v100']);
$node->safe_psql('postgres', q(
DROP INDEX v100_idx;
-- The builder does not begin before it is watched.
CREATE FUNCTION wait_for_watcher() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	WHILE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted) LOOP
		PERFORM pg_sleep(0.002);
	END LOOP;
END $$;
-- Wait until the session "builder" is in a phase and has read a number of rows,
-- and some time more; then cancel or terminate it.  False when it had ended before.
CREATE FUNCTION interrupt_builder(wanted text, tuples bigint, ms float8, terminate bool) RETURNS bool
LANGUAGE plpgsql AS $$
DECLARE
	builder int;
	watched bool := false;
	reached bool;
	too_late bool;
BEGIN
	LOOP
		PERFORM pg_stat_clear_snapshot();
		SELECT a.pid, coalesce(p.phase LIKE '%' || wanted AND p.tuples_done >= tuples, false),
			coalesce(p.phase = 'waiting for old snapshots', false)
		INTO builder, reached, too_late
		FROM pg_stat_activity a LEFT JOIN pg_stat_progress_create_index p USING (pid)
		WHERE a.application_name = 'builder' AND a.backend_type = 'client backend';
		IF reached THEN
			PERFORM pg_sleep(ms / 1000);
			PERFORM CASE WHEN terminate THEN pg_terminate_backend(builder) ELSE pg_cancel_backend(builder) END;
			RETURN true;
		END IF;
		-- a concurrent build would wait for this function
		EXIT WHEN too_late OR watched AND builder IS NULL;
		IF builder IS NOT NULL AND NOT watched THEN
			PERFORM pg_advisory_xact_lock(1);
			watched := true;
		END IF;
	END LOOP;
	RETURN false;
END $$));
fill_tables($node, { v100 => $rows });
is(leftovers($node), '', 'nothing is left of nothing');

# Workers of a build, and memory for it: all of it, and for a part of the rows.
my @ways = ([ 0, '64MB' ], [ 0, '1MB' ], [ 2, '64MB' ], [ 2, '1MB' ]);

sub use_workers
{
	my ($workers) = @_;
	$node->safe_psql('postgres', "ALTER TABLE v100 SET (parallel_workers = $workers)");
}

my $create = 'CREATE INDEX v100_idx ON v100 USING hnsw (v vector_l2_ops)';
my $concurrently = 'CREATE INDEX CONCURRENTLY v100_idx ON v100 USING hnsw (v vector_l2_ops)';

sub there_is_an_index
{
	return $node->safe_psql('postgres', "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('v100_idx')");
}

# Nothing is left of the index, or, when it was made in time, it is a good one;
# that is dropped.  Returns whether there was none.
sub nothing_is_left
{
	my ($err, $when) = @_;
	my $index = there_is_an_index();

	if ($index ne '')
	{
		unlike($err, qr/ERROR|PANIC/, "$when: made before the cancel came");
		is($node->safe_psql('postgres', "SELECT * FROM hnsw_check('v100_idx') LIMIT 5"), '', "$when: hnsw_check");
		$node->safe_psql('postgres', 'DROP INDEX v100_idx');
	}
	else
	{
		like($err, qr/canceling statement|terminating connection/, "$when: stopped");
	}
	is(leftovers($node), '', "$when: nothing is left");
	return $index eq '';
}

# Run a command in the session "builder" and interrupt it; returns its messages.
sub interrupted
{
	my ($memory, $command, $phase, $tuples, $ms, $terminate) = @_;
	my ($out, $err) = ('', '');
	my $h = IPC::Run::start(
		[ 'psql', '-Xq', '-c', "SET maintenance_work_mem = '$memory'",
			'-c', 'SELECT wait_for_watcher()', '-c', $command,
			'dbname=postgres application_name=builder host=' . $node->host . ' port=' . $node->port ],
		'<', \undef, '>', \$out, '2>', \$err);
	my $sent = $node->safe_psql('postgres',
		"SELECT interrupt_builder('$phase', $tuples, $ms, " . ($terminate ? 'true' : 'false') . ')');

	$h->finish;
	$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'builder'")
	  or die 'the builder does not end';
	note("$phase: too late") if $sent ne 't';
	return $err =~ /ERROR|FATAL/ ? $err : '';
}

# The command as it is succeeds at once.
sub retried
{
	my ($memory, $when) = @_;

	$node->safe_psql('postgres', "SET maintenance_work_mem = '$memory'; $create");
	built_is_sound($node, 'v100', "retried $when");
	$node->safe_psql('postgres', 'DROP INDEX v100_idx');
}

# ---- in each phase

my $stopped = 0;
foreach my $way (@ways)
{
	my ($workers, $memory) = @$way;
	my $how = "$memory, $workers workers";
	my @phases = ([ 'loading tuples', 0 ], [ 'loading tuples', 1500 ], [ 'linking nodes', 0 ], [ 'writing pages', 0 ],
		[ 'logging', 0 ]);

	# beyond what fits, row by row
	push @phases, [ 'inserting tuples', 0 ], [ 'inserting tuples', 500 ] if $memory eq '1MB';
	use_workers($workers);
	foreach my $phase (@phases)
	{
		foreach my $ms (0, 5)
		{
			my $terminate = $ms && $phase->[1] == 0;
			# a node a page: more to log
			my $command = $create . ($phase->[0] eq 'logging' ? ' WITH (m = 44)' : '');
			my $err = interrupted($memory, $command, @$phase, $ms, $terminate);

			$stopped += nothing_is_left($err, ($terminate ? 'terminated' : 'cancelled') . " in $phase->[0], $how");
		}
	}
	retried($memory, "after cancels with $how");
}
cmp_ok($stopped, '>', 5, "builds were stopped ($stopped)");

# ---- by statement_timeout, from the first moment to the last

foreach my $way (@ways)
{
	my ($workers, $memory) = @$way;
	my $ms = 1;

	use_workers($workers);
	for (;;)
	{
		my (undef, undef, $err) = $node->psql('postgres',
			"SET maintenance_work_mem = '$memory'; SET statement_timeout = $ms; $create");

		last unless nothing_is_left($err =~ /ERROR/ ? $err : '', "timeout of $ms ms, $memory, $workers workers");
		$ms = 2 * $ms + 1;
	}
	# the last phases
	foreach my $part ($workers ? (6, 9, 11) : 5 .. 11)
	{
		my $late = 1 + int($ms * $part / 12);
		my (undef, undef, $err) = $node->psql('postgres',
			"SET maintenance_work_mem = '$memory'; SET statement_timeout = $late; $create");

		nothing_is_left($err =~ /ERROR/ ? $err : '', "timeout of $late ms, $memory, $workers workers");
	}
}

# ---- by a row

foreach my $way (@ways)
{
	my ($workers, $memory) = @$way;
	my $when = "an error in the last row, $memory, $workers workers";

	use_workers($workers);
	$node->safe_psql('postgres',
		q(INSERT INTO v100 (id, v) SELECT 1000000, array_agg(3e38::float4)::vector FROM generate_series(1, 100)));
	my (undef, undef, $err) = $node->psql('postgres', "SET maintenance_work_mem = '$memory'; $create");
	like($err, qr/ERROR:.*index "v100_idx"/, $when);
	is(there_is_an_index(), '', "$when: no index");
	is(leftovers($node), '', "$when: nothing is left");
	$node->safe_psql('postgres', 'DELETE FROM v100 WHERE id = 1000000');
	retried($memory, "after $when");
}

# ---- a subtransaction

$node->safe_psql('postgres', qq(
BEGIN;
SAVEPOINT s;
$create;
ROLLBACK TO s;
$create;
INSERT INTO v100 (v) SELECT gen_v100() FROM generate_series(1, 20);
COMMIT));
built_is_sound($node, 'v100', 'made again after ROLLBACK TO');
$node->safe_psql('postgres', 'DROP INDEX v100_idx');
is(leftovers($node), '', 'nothing is left of an index made in a subtransaction');

# ---- one of the processes, while each is held at the first row that it reads

create_gates($node);
my $gated = $create =~ s/\(v /((gated(v)::vector(100)) /r;
foreach my $case (
	[ 'a worker is cancelled', 'pg_cancel_backend', 'parallel worker', qr/canceling statement/ ],
	[ 'a worker is terminated', 'pg_terminate_backend', 'parallel worker', qr/terminating/ ],
	[ 'the leader is cancelled', 'pg_cancel_backend', 'client backend', qr/canceling statement/ ],
	[ 'the leader is terminated', 'pg_terminate_backend', 'client backend', qr/terminating/ ],
	[ 'a worker is killed', 'KILL', 'parallel worker', qr/server closed the connection|terminating connection/ ],
	[ 'the leader is killed', 'KILL', 'client backend', qr/server closed the connection/ ])
{
	my ($when, $what, $whom, $error) = @$case;

	close_gates($node, 'leader', 'worker');
	my $builder = session($node, q(SET application_name = 'builder'), $gated);
	ok(wait_for_build($node, $builder, 1, 2), "$when: three processes read the table");
	my $pid = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE application_name = 'builder' AND backend_type = '$whom' LIMIT 1");

	if ($what eq 'KILL')
	{
		kill('KILL', $pid) or BAIL_OUT("process $pid is gone");
		like(end_session($builder), $error, "$when: the session ends");
		wait_for_server($node);
	}
	else
	{
		$node->safe_psql('postgres', "SELECT $what($pid)");
		like(end_session($builder), $error, "$when: the session is told");
	}
	open_gates($node);
	is(there_is_an_index(), '', "$when: no index");
	is(leftovers($node, $what eq 'KILL'), '', "$when: nothing is left");
	$node->safe_psql('postgres', $gated);
	is($node->safe_psql('postgres', q(SELECT count(*) FROM hnsw_check('v100_idx'))), '0', "$when, again: hnsw_check");
	$node->safe_psql('postgres', 'DROP INDEX v100_idx');
}

# ---- CREATE INDEX CONCURRENTLY; the last snapshot it waits for is the watcher's own

my $invalid = 0;
foreach my $case (map { my $w = $_; map { [ $w, @$_ ] } [ 'loading tuples', 500 ], [ 'linking nodes', 0 ], [ 'writing pages', 0 ],
	[ 'waiting for old snapshots', 0 ] } 0, 2)
{
	my ($workers, @phase) = @$case;
	use_workers($workers);
	my $err = interrupted('64MB', $concurrently, @phase, 2, $phase[0] eq 'writing pages');
	my $when = "concurrently, $workers workers, stopped in $phase[0]";

	isnt(there_is_an_index(), '', "$when: there is an index");
	if (there_is_an_index() eq 'f')
	{
		$invalid++;
		# whoever writes and vacuums has no trouble with it
		$node->safe_psql('postgres', q(
INSERT INTO v100 (v) SELECT gen_v100() FROM generate_series(1, 20);
DELETE FROM v100 WHERE id IN (SELECT id FROM v100 ORDER BY id LIMIT 20);
VACUUM (INDEX_CLEANUP on) v100));
		if ($invalid % 2)
		{
			$node->safe_psql('postgres', 'REINDEX INDEX v100_idx');
			is(there_is_an_index(), 't', "$when: REINDEX makes it valid");
			built_is_sound($node, 'v100', "$when: after REINDEX");
		}
	}
	$node->safe_psql('postgres', 'DROP INDEX v100_idx');
	is(leftovers($node), '', "$when: nothing is left after DROP INDEX");
}
cmp_ok($invalid, '>', 0, "concurrent builds were stopped ($invalid)");
$node->safe_psql('postgres', $concurrently);
built_is_sound($node, 'v100', 'made concurrently');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|XX002|invalid page|Segmentation|signal 11|signal 6|is damaged/,
	'the server log is clean');
done_testing();
