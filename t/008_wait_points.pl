# A statement is stopped at each wait point in turn (src/hnsw/README, "Wait
# points"): first it is cancelled there, then, in a second run, the server is
# killed there with SIGKILL, while other sessions have written and searched.
# Each time the index must be sound and agree with its table, and so after the
# next VACUUM and further inserts.
# CREATE INDEX is stopped in the same way with two workers, at all processes' points:
# its leader is cancelled or terminated, or a worker, and then one process is
# killed, whereupon the server starts itself again.  No file, temporary file or
# shared memory is left, and the next CREATE INDEX succeeds.
# On a server with injection points each of the first kind is attached to one besides, which says so.
# VX_WAIT_POINTS_LIBRARY: the folder of a library built with WAIT_POINTS=1.
# VX_WAIT_POINTS_PASSES: how often (default 1).
use strict;
use warnings FATAL => 'all';

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use VectorxTest;
use CrashTest;

my $library = $ENV{VX_WAIT_POINTS_LIBRARY};
plan skip_all => 'VX_WAIT_POINTS_LIBRARY names no library with wait points' unless $library;
my $passes = $ENV{VX_WAIT_POINTS_PASSES} || 1;
my @dims = (8, 64, 200);

# The statement that comes to a point, and the rows there are before it; "skip":
# it may pass the point so often before.
my $one = 'INSERT INTO items SELECT 2000, clustered(DIM)';
my $many = 'INSERT INTO items SELECT 2000 + i, clustered(DIM) FROM generate_series(1, 1000) i';
my $vacuum = 'VACUUM (INDEX_CLEANUP on, TRUNCATE off) items';
my $create = 'CREATE INDEX items_new ON items USING hnsw (v vector_l2_ops)';
my $merge = q(SELECT hnsw_merge('items_idx'));
my $settings = "SET application_name = 'builder'";
my %statements = (
	'insert-root' => { sql => $one, rows => 0 },
	'insert-equal' => { sql => 'INSERT INTO items SELECT 2000, v FROM items WHERE id = 1', rows => 300 },
	'insert-connect' => { sql => $one, rows => 300 },
	'insert-node' => { sql => $one, rows => 300 },
	'insert-back-links' => { sql => $many, rows => 300, skip => 500 },
	'insert-upper' => { sql => $many, rows => 1, skip => 5 },
	'insert-upper-back-links' => { sql => $many, rows => 1, skip => 2 },
	'insert-entry' => { sql => $many, rows => 1 },
	(map { $_ => { sql => $vacuum, rows => 900 } }
		  qw(vacuum-strip-chains vacuum-strip-uppers vacuum-barrier vacuum-repair vacuum-root vacuum-root-write
		  vacuum-free vacuum-free-upper vacuum-upper-target)),
	# of so many nodes that most lists are chosen anew at once, with the memory for it
	(map { $_ => { sql => "SET maintenance_work_mem = '16MB';\n$vacuum", rows => 2000, skip => $_ eq 'relink-page' ? 100 : 0 } }
		  qw(relink-choose relink-write relink-page)),
	(map { $_ => { sql => $vacuum, rows => 900, skip => 20 } }
		  qw(vacuum-strip vacuum-repair-read vacuum-repair-write vacuum-repair-offers vacuum-free-node)),
	(map { $_ => { sql => $create, rows => 1, more => 2000 } }
		  qw(build-centre build-link build-write build-meta build-load build-insert build-log build-end)),
	'scan-search' => { sql => 'SET enable_seqscan = off; SET enable_sort = off; '
		  . 'SELECT count(*) FROM (SELECT FROM items ORDER BY v <-> (SELECT v FROM items LIMIT 1) LIMIT 10) s', rows => 300 },
	# all rows but the first wait to be linked
	'scan-listed' => { sql => 'SET enable_seqscan = off; SET enable_sort = off; '
		  . 'SELECT count(*) FROM (SELECT FROM items ORDER BY v <-> (SELECT v FROM items LIMIT 1) LIMIT 10) s', rows => 300, pending => 5000 },
	'pending-append' => { sql => $one, rows => 300, pending => 5000 },
	'pending-page' => { sql => $many, rows => 1, pending => 5000, skip => 2 },
	(map { $_ => { sql => $merge, rows => 300, pending => 5000 } } qw(merge-close pending-close merge-clear pending-clear)),
	'merge-settle' => { sql => $merge, rows => 300, pending => 5000, skip => 250 },
	'cache-written' => { sql => $one, rows => 300 },
	'cache-void' => { sql => $vacuum, rows => 900 },
	(map { $_ => { sql => 'SET vectorx.cache = on; SET enable_seqscan = off; SET enable_sort = off; '
		  . 'SELECT count(*) FROM (SELECT FROM items ORDER BY v <-> (SELECT v FROM items LIMIT 1) LIMIT 10) s', rows => 300 } }
		  qw(cache-begin cache-search cache-put)),
	'cache-read' => { sql => 'SET vectorx.cache = on; SET enable_seqscan = off; SET enable_sort = off; '
		  . 'BEGIN; ' . join("; $one; ", ('SELECT count(*) FROM (SELECT FROM items ORDER BY v <-> (SELECT v FROM items LIMIT 1) LIMIT 10) s') x 2) . '; COMMIT', rows => 300 },
	'build-page' => { sql => $create, rows => 1, more => 2000, skip => 30 },
	'build-context' => { sql => "ALTER TABLE items SET (parallel_workers = 2); $create", rows => 1, more => 2000 },
);

# What the progress view says at a point, and who surely waits there: all processes,
# one of them, or the leader, which is alone or has workers.
my %of_build = (
	'build-centre' => [ 'initializing', 'alone' ],
	'build-context' => [ 'loading tuples', 'alone' ],
	'build-load' => [ 'loading tuples', 'all' ],
	'build-link' => [ 'linking nodes', 'all' ],
	'build-write' => [ 'writing pages', 'all' ],
	'build-page' => [ 'writing pages', 'one' ],
	'build-meta' => [ 'writing pages', 'leader' ],
	'build-insert' => [ 'inserting tuples', 'one' ],
	'build-log' => [ 'logging', 'all' ],
	'build-end' => [ 'logging', 'alone' ],
);

my $node = new_node('wait_points', qq(
shared_buffers = '16MB'
maintenance_work_mem = '1MB'
max_wal_size = '256MB'
dynamic_shared_memory_type = mmap
restart_after_crash = off
dynamic_library_path = '$library:\$libdir'
));
# a name without a folder is looked for along that path
$node->safe_psql('postgres', q(
CREATE EXTENSION vectorx;
UPDATE pg_proc SET probin = 'vectorx' WHERE probin = '$libdir/vectorx';
));
my $injection = $node->safe_psql('postgres', q(SELECT count(*) FROM pg_available_extensions WHERE name = 'injection_points'));
SKIP: {
	skip 'injection points: the server is built without them', 1 if !$injection && $node->pg_version >= 17;
	$node->safe_psql('postgres', 'CREATE EXTENSION injection_points') if $injection;
}
create_tables($node, []);
is(leftovers($node), '', 'nothing is left of nothing');

my @points = grep { $_ ne 'none' } split(/\n/, $node->safe_psql('postgres', q(
SELECT vector_dims('[1]'::vector) > 1;
SELECT unnest(enumvals) FROM pg_settings WHERE name = 'vectorx.wait_point')));
@points = grep { $_ ne 'f' } @points;
is(join(' ', sort @points), join(' ', sort keys %statements), 'there is a statement for each point');

# An idle session holds the locks of all points, until it ends with the server.
my ($holder, $holder_in);
sub hold_locks
{
	$holder_in = join('', map { "SELECT pg_advisory_lock(77, hashtext('$_'));\n" } @points);
	$holder = IPC::Run::start([ 'psql', '-Xq', '-d', $node->connstr('postgres') ],
		'<', \$holder_in, '>', '/dev/null', '2>', '/dev/null');
	$holder->pump while $holder_in ne '' && $holder->pumpable;
	$node->poll_query_until('postgres', "SELECT count(*) = @{[scalar @points]} FROM pg_locks WHERE locktype = 'advisory' AND granted")
	  or die 'the locks are not held';
}

# Before the server is started again: that would inherit the pipe to psql.
sub end_holder
{
	$holder->finish if $holder;
	$holder = undef;
}

# Run a statement until it waits; returns the session and its process number, or
# nothing when it ended before.
sub run_until
{
	my ($point, $skip, $sql) = @_;
	my $worker = run_psql($node, "SET vectorx.wait_point = '$point';\nSET vectorx.wait_point_skip = $skip;\n$sql;\n");

	for (my $i = 0; ; $i++)
	{
		my $waits = $node->safe_psql('postgres',
			"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid = 77");
		return ($worker, $waits) if $waits ne '';
		last unless $worker->{h}->pumpable;
		BAIL_OUT("$point: it neither waits there nor ends") if $i == $PostgreSQL::Test::Utils::timeout_default * 20;
		usleep(5_000);
	}
	diag(end_of($worker));
	return;
}

# Wait for a session's end; returns its messages.
sub end_of
{
	my ($worker) = @_;

	$worker->{h}->finish;
	return slurp_file($worker->{messages});
}

# The index is sound, and the table holds the rows it should.
sub sound
{
	my ($when, $ids, $shortly) = @_;

	is($node->safe_psql('postgres', "SELECT * FROM hnsw_check('items_idx') LIMIT 10"), '', "$when: hnsw_check");
	is($node->safe_psql('postgres', 'SELECT count(*), min(id), max(id) FROM items'), $ids, "$when: the rows");
	return if $shortly;
	is($node->safe_psql('postgres', "SELECT should, does FROM not_found('items', '<->', 100) LIMIT 5"),
		'', "$when: each row is found by its own vector");
	is($node->safe_psql('postgres', "SELECT not_once('items', '<->')"), '0', "$when: the index returns each row once and no other");
}

hold_locks();
my $n = 0;
foreach my $pass (1 .. $passes)
{
	# the points of many lists at once in a merge, too
	foreach my $run ((map { [ $_, $statements{$_} ] } @points),
		map { [ $_, { sql => "SET maintenance_work_mem = '16MB';\n$merge", rows => 1600, pending => 5000, skip => $_ eq 'relink-page' ? 100 : 0 } ] }
		qw(relink-choose relink-write relink-page))
	{
		my ($point, $s) = @$run;

		next unless $s;
		my $dim = $dims[ ($n + $pass) % @dims ];
		my $sql = $s->{sql} =~ s/DIM/$dim/r;
		my $skip = int(rand(1 + ($s->{skip} // 0)));
		my $when = "$point" . ($skip ? " after $skip" : '') . ", $dim dimensions";
		my $in_vacuum = $sql =~ /VACUUM/;
		my $rows = $s->{rows};
		my $pending = $s->{pending} // 0;
		my @other = "SET enable_seqscan = off; SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> clustered($dim) LIMIT 10) x";

		# VACUUM: most rows die, the root's too, and some with overflow pages
		$node->safe_psql('postgres', qq(
			DROP TABLE IF EXISTS items;
			CREATE TABLE items (id int, v vector($dim)) WITH (vacuum_truncate = off, parallel_workers = 0);
			CREATE INDEX items_idx ON items USING hnsw (v vector_l2_ops) WITH (pending_limit = $pending);
			INSERT INTO items SELECT i, clustered($dim) FROM generate_series(1, $rows) i;
		) . ($in_vacuum ? qq(
			INSERT INTO items SELECT 10000 + i, one_of($dim, 2) FROM generate_series(1, 100) i;
			DELETE FROM items WHERE id <= 500 OR id > 10050;) : '')
		  . ($s->{more} ? "DROP INDEX items_idx;
			INSERT INTO items SELECT 10000 + i, clustered($dim) FROM generate_series(1, $s->{more}) i;" : ''));
		my $ids = $node->safe_psql('postgres', 'SELECT count(*), min(id), max(id) FROM items');

		# cancelled
		$node->safe_psql('postgres', "SELECT injection_points_attach('vectorx-$point', 'notice')") if $injection;
		my ($worker, $pid) = run_until($point, $skip, $sql);
		ok($worker, "$when: is reached") or next;
		$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
		my $said = end_of($worker);
		like($said, qr/canceling statement/, "$when: cancelled");
		if ($injection)
		{
			like($said, qr/notice triggered for injection point vectorx-$point/, "$when: is an injection point");
			$node->safe_psql('postgres', "SELECT injection_points_detach('vectorx-$point')");
		}
		if ($s->{more})
		{
			is($node->safe_psql('postgres', "SELECT to_regclass('items_new')"), '', "$when, cancelled: no index");
		}
		else
		{
			sound("$when, cancelled", $ids, 1);
		}

		# killed, after others have searched and inserted beside it; VACUUM may have
		# left nothing to do
		$node->safe_psql('postgres', 'DELETE FROM items WHERE id BETWEEN 501 AND 700') if $in_vacuum;
		($worker, $pid) = run_until($point, $skip, $sql);
		ok($worker, "$when: is reached again") or next;
		if (!$s->{more})
		{
			push @other, "INSERT INTO items SELECT 20000 + i, clustered($dim) FROM generate_series(1, 20) i";
			push @other, "INSERT INTO items SELECT 20100 + i, one_of($dim, 2) FROM generate_series(1, 5) i";
			push @other, $other[0];
		}
		$node->safe_psql('postgres', $_) foreach @other;
		is($node->safe_psql('postgres', "SELECT * FROM hnsw_check('items_idx') LIMIT 10"), '', "$when: hnsw_check while VACUUM waits")
		  if $in_vacuum;
		$ids = $node->safe_psql('postgres', 'SELECT count(*), min(id), max(id) FROM items');
		$node->safe_psql('postgres', 'CHECKPOINT') if $n % 2;
		kill_server($node);
		end_holder();
		unlike(end_of($worker), qr/ERROR|PANIC/, "$when: no error before the server was killed");
		$node->start;
		hold_locks();
		if ($s->{more})
		{
			is($node->safe_psql('postgres', "SELECT to_regclass('items_new')"), '', "$when, killed: no index");
			$node->safe_psql('postgres', $sql =~ s/items_new/items_idx/r);
		}
		sound("$when, killed", $ids);
		$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on, TRUNCATE off) items');
		$node->safe_psql('postgres', "INSERT INTO items SELECT 30000 + i, clustered($dim) FROM generate_series(1, 50) i");
		$ids = $node->safe_psql('postgres', 'SELECT count(*), min(id), max(id) FROM items');
		sound("$when, killed, VACUUM, inserts", $ids);
		$n++;
	}
}

# ---- CREATE INDEX by several

# The processes of the build, the leader first, once so many of them wait.
sub team_at
{
	my ($point, $least, $s) = @_;

	for (my $i = 0; ; $i++)
	{
		my @team = split /\n/, $node->safe_psql('postgres', q(
SELECT a.pid || '|' || (l.pid IS NOT NULL) FROM pg_stat_activity a
	LEFT JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'advisory' AND NOT l.granted AND l.classid = 77
WHERE a.application_name = 'builder' ORDER BY a.leader_pid NULLS FIRST, l.pid NULLS LAST));

		return map { s/\|.*//r } @team if grep({ /true$/ } @team) >= $least;
		last unless $s->{h}->pumpable;
		BAIL_OUT("$point: it neither waits there nor ends") if $i == $PostgreSQL::Test::Utils::timeout_default * 20;
		usleep(5_000);
	}
	diag(end_of($s));
	return;
}

# The server starts itself again when a process is killed; then the holder is gone.
sub restarted
{
	my ($when, $pid) = @_;

	kill('KILL', $pid) or BAIL_OUT("$when: process $pid is gone");
	end_holder();
	wait_for_server($node);
	hold_locks();
}

sub built_again
{
	my ($when, $killed) = @_;

	is($node->safe_psql('postgres', "SELECT to_regclass('items_new')"), '', "$when: no index");
	is(leftovers($node, $killed), '', "$when: nothing is left");
	$node->safe_psql('postgres', "SET max_parallel_maintenance_workers = 2; $create");
	is($node->safe_psql('postgres', q(SELECT * FROM hnsw_check('items_new') LIMIT 10)), '', "$when, again: hnsw_check");
	is($node->safe_psql('postgres', q(SELECT heap_tids FROM hnsw_info('items_new'))), '2001', "$when, again: all rows");
	is($node->safe_psql('postgres', q(SELECT not_once('items', '<->'))), '0', "$when, again: it returns each row once and no other");
	$node->safe_psql('postgres', 'DROP INDEX items_new');
}

kill_server($node);
end_holder();
$node->append_conf('postgresql.conf', "restart_after_crash = on\n");
$node->start;
leftovers($node, 'killed');
hold_locks();
my $expected = 0;
foreach my $pass (1 .. $passes)
{
	foreach my $point (grep { /^build/ } @points)
	{
		my ($phase, $who) = @{ $of_build{$point} };
		my $dim = $dims[ ($n++ + $pass) % @dims ];
		# with memory for all rows, except where rows beyond are the point
		my $memory = $point eq 'build-insert' || $n % 3 == 0 ? '1MB' : '16MB';
		my $when = "$point, 2 workers, $dim dimensions, $memory";

		$node->safe_psql('postgres', qq(
			DROP TABLE IF EXISTS items;
			CREATE TABLE items (id int, v vector($dim)) WITH (parallel_workers = 2, fillfactor = 50);
			INSERT INTO items SELECT i, clustered($dim) FROM generate_series(1, 2001) i;
			ANALYZE items));
		foreach my $how ($n % 2 ? 'cancel leader' : 'terminate leader', 'terminate worker', 'kill')
		{
			next if $how =~ /worker/ && $who eq 'alone';
			my $s = run_psql($node, "$settings;\nSET maintenance_work_mem = '$memory';\nSET vectorx.wait_point = '$point';\n$create;\n");
			my @team = team_at($point, $who eq 'all' ? 3 : 1, $s);

			ok(@team > 0, "$when, $how: is reached") or next;
			is(scalar(@team), $who eq 'alone' ? 1 : 3, "$when, $how: processes");
			is($node->safe_psql('postgres', 'SELECT phase FROM pg_stat_progress_create_index'), "building index: $phase", "$when, $how: phase");
			if ($how eq 'kill')
			{
				# the leader where it is alone, else it or a worker
				my $pid = $team[ @team > 1 && rand() < 0.6 ? 1 : 0 ];

				$expected++;
				restarted($when, $pid);
				end_of($s);
			}
			else
			{
				my $pid = $how =~ /worker/ ? $team[1] : $team[0];

				$node->safe_psql('postgres', ($how =~ /cancel/ ? 'SELECT pg_cancel_backend' : 'SELECT pg_terminate_backend') . "($pid)");
				like(end_of($s), qr/canceling statement|terminating/, "$when, $how: says so");
			}
			built_again("$when, $how", $how eq 'kill');
		}
	}
}

# A shortage in the middle of asking for workers: none are had, and what had been
# got is let go of, once.
{
	my ($status, undef, $err) = $node->psql('postgres', "$settings; SET lock_timeout = 10; SET vectorx.wait_point = 'build-context'; $create");

	is($status, 0, 'a shortage at build-context: CREATE INDEX succeeds') or diag($err);
	like($err, qr/^psql:<stdin>:\d+: NOTICE: +could not get shared memory for a parallel build.*\n.*DETAIL: +canceling statement due to lock timeout/, 'a shortage at build-context: a notice');
	is($node->safe_psql('postgres', q(SELECT * FROM hnsw_check('items_new') LIMIT 10)), '', 'a shortage at build-context: hnsw_check');
	$node->safe_psql('postgres', 'DROP INDEX items_new');
	built_again('a shortage at build-context');
}

kill_server($node);
end_holder();
$node->start;
$node->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/PANIC|TRAP|XX002|invalid page|Segmentation|signal 11|signal 6/, 'the server log is clean');
is(scalar(() = $log =~ /was terminated by signal 9/g), $expected, 'processes that were killed');
done_testing();
