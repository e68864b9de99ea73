# Crashes: SIGKILL at a random moment, while clients write in every way, VACUUM
# runs and indexes are made.  After recovery every transaction is there as a
# whole or not at all, by the journals the clients keep; the index is sound,
# finds each row by its own vector, and returns no other.
# VX_CRASH_ROUNDS sets how often (default 30), VX_CRASH_SEED repeats a run's
# choices, but for the moments.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use VectorxTest;
use CrashTest;

my $rounds = $ENV{VX_CRASH_ROUNDS} || 30;
my $seed = $ENV{VX_CRASH_SEED} || int(rand(1 << 30));
my $clients = 3;
my @names = sort keys %crash_kinds;

# What a round is about: weights of the clients' statements, and what runs
# beside them.  There are 7 of these and 8 kinds of index, so that in time each
# meets each.
my @rounds = (
	{ about => 'single inserts', weights => { single => 20, delete => 1 }, beside => 'vacuum' },
	{ about => 'inserts of many rows', weights => { multi => 20, sweep => 1 }, beside => 'checkpoint' },
	{ about => 'COPY', weights => { copy => 20, sweep => 1, delete => 1 }, beside => 'vacuum' },
	{ about => 'updates', weights => { update => 20, multi => 1, single => 1 }, beside => 'vacuum' },
	{ about => 'deletes', weights => { delete => 8, sweep => 1, multi => 2, single => 4 }, beside => 'checkpoint' },
	{ about => 'VACUUM', weights => { delete => 3, update => 3, sweep => 1, multi => 1 }, beside => 'vacuums' },
	{ about => 'CREATE INDEX', weights => { single => 5, multi => 1, copy => 1, update => 3, delete => 2 }, beside => 'create' },
);
my @kills = ([ 'all processes', \&kill_server ], [ 'the postmaster', \&kill_postmaster ], [ 'a backend', \&kill_backend ]);

srand($seed);
note("VX_CRASH_SEED=$seed");

my $node = new_node('crash', qq(
shared_buffers = '16MB'
checkpoint_timeout = '30s'
max_wal_size = '64MB'
restart_after_crash = off
));
create_tables($node, []);
create_crash_table($node, $_) foreach @names;
my %clients = map { my $name = $_; $name => [ map { new_client($name, $_) } 0 .. $clients - 1 ] } @names;

# What runs beside the clients, without end.
sub beside
{
	my ($what, $name, $round) = @_;
	my $vacuum = "VACUUM (INDEX_CLEANUP on, TRUNCATE off) $name";
	my $index = "${name}_new ON $name USING hnsw (v $crash_kinds{$name}{opclass})";

	return start_commands($node, 200, $vacuum, 'SELECT pg_sleep(0.02)') if $what eq 'vacuum';
	return start_commands($node, 500, $vacuum) if $what eq 'vacuums';
	return start_commands($node, 100, 'CHECKPOINT', 'SELECT pg_sleep(0.1)', $vacuum, 'SELECT pg_sleep(0.05)') if $what eq 'checkpoint';
	return start_commands($node, 100, "CREATE INDEX CONCURRENTLY $index", "DROP INDEX CONCURRENTLY ${name}_new")
	  if int($round / @rounds) % 2;
	return start_commands($node, 100, "CREATE INDEX $index", 'SELECT pg_sleep(0.01)', "DROP INDEX ${name}_new");
}

# An index that was being made: gone, or invalid, or as good as the other.
sub new_index
{
	my ($when, $name) = @_;
	my $valid = $node->safe_psql('postgres', "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('${name}_new')");

	return 'none' if $valid eq '';
	if ($valid eq 't')
	{
		is($node->safe_psql('postgres', "SELECT * FROM hnsw_check('${name}_new') LIMIT 10"), '', "$when: hnsw_check of the new index");
		is($node->safe_psql('postgres', "BEGIN; DROP INDEX ${name}_idx; SELECT not_once('$name', '$crash_kinds{$name}{op}'); ROLLBACK"),
			'0', "$when: the new index returns each row once and no other");
	}
	$node->safe_psql('postgres', "DROP INDEX ${name}_new");
	return $valid eq 't' ? 'made' : 'invalid';
}

my ($done, $under_way, $beside) = (0, 0, 0);
foreach my $round (0 .. $rounds - 1)
{
	my $r = $rounds[ $round % @rounds ];
	my $name = $names[ $round % @names ];
	my ($whom, $kill) = @{ $kills[ int($round / @names) % @kills ] };
	my @clients = @{ $clients{$name} };
	my $when = "round $round, $r->{about}, $name, $whom killed";
	my $other = beside($r->{beside}, $name, $round);
	my $unexpected = '';

	start_client($node, $_, $r->{weights}, 600) foreach @clients;
	wait_for_clients(@clients, $other);
	usleep(int(rand(500_000)));
	# sometimes shortly before, so that full page images are few
	$node->safe_psql('postgres', 'CHECKPOINT') if rand() < 0.3;
	usleep(int(rand(100_000)));
	$kill->($node);
	foreach my $client (@clients, $other)
	{
		my ($met, $did, $was) = finish_client($client);

		$unexpected .= $met;
		if ($client == $other)
		{
			$beside += $was;
			next;
		}
		$done += $did;
		$under_way += $was;
	}
	is($unexpected, '', "$when: no client met an error before");

	# with few buffers pages are written at any time
	$node->adjust_conf('postgresql.conf', 'shared_buffers', rand() < 0.3 ? "'1MB'" : "'16MB'");
	$node->start;
	my $new = new_index($when, $name);
	rows_are_right($node, $when, $name, @clients);
	index_is_right($node, $when, $name);
	note("$when: new index $new, " . $node->safe_psql('postgres', "SELECT count(*) FROM $name") . ' rows');

	# and the next VACUUM starts from what the crash has left
	$node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP on, TRUNCATE off) $name");
	index_is_right($node, "$when, and VACUUM", $name, 50);
}
note("$done transactions, $under_way under way when the server was killed, and $beside commands beside them");
cmp_ok($under_way, '>', 0, 'the server was killed in the middle of transactions');
cmp_ok($beside, '>', 0, 'the server was killed in the middle of commands beside them');

# What a table and index made in one transaction have is not logged then.
$node->append_conf('postgresql.conf', "wal_level = minimal\nmax_wal_senders = 0\nmaintenance_work_mem = '1MB'\n");
$node->restart;
$node->safe_psql('postgres', q(
BEGIN;
CREATE TABLE minimal (id bigserial PRIMARY KEY, v vector(100));
INSERT INTO minimal (v) SELECT clustered(100) FROM generate_series(1, 500);
CREATE INDEX minimal_idx ON minimal USING hnsw (v vector_l2_ops);
INSERT INTO minimal (v) SELECT clustered(100) FROM generate_series(1, 500);
SELECT count(*) FROM not_found('minimal', '<->', 10);
TRUNCATE minimal;
INSERT INTO minimal (v) SELECT clustered(100) FROM generate_series(1, 1000);
COMMIT;
INSERT INTO minimal (v) SELECT clustered(100) FROM generate_series(1, 100);
));
kill_server($node);
$node->start;
$kinds{minimal} = $kinds{v100};
index_is_sound($node, 'minimal', 'after a crash with wal_level minimal');
recall_of($node, 'minimal', 0.9, 'after a crash with wal_level minimal');

$node->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/PANIC|TRAP|XX002|invalid page|Segmentation|signal 11|signal 6/, 'the server log is clean');
done_testing();
