# Crashes: the server is killed while clients write in every way and VACUUM
# runs.  After recovery the index must be sound and agree with its table.
# VX_CRASH_ROUNDS sets how often (default 4).
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use VectorxTest;

my $rounds = $ENV{VX_CRASH_ROUNDS} || 4;
my @names = $ENV{VX_KINDS} ? split(/,/, $ENV{VX_KINDS}) : qw(v100 v3 l1 dup cos side);
my %rows = (v100 => 600, v3 => 600, l1 => 400, dup => 1500, cos => 200, side => 80);

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;
$node->append_conf('postgresql.conf', qq(
autovacuum = off
shared_buffers = '32MB'
log_statement = none
checkpoint_timeout = '30s'
max_wal_size = '64MB'
max_connections = 60
restart_after_crash = off
));
$node->start;
create_tables($node, \@names);
fill_tables($node, { map { $_ => $rows{$_} } @names });

my %scripts;
foreach my $name (@names)
{
	$scripts{$name} = [ write_scripts($node, $name, insert => 6, batch => 2, copy => 1,
			update => 6, delete => 2, sweep => 1, abort => 1, search => 3, vacuum => 2) ];
}

foreach my $round (1 .. $rounds)
{
	my @runs = map { start_pgbench($node, 1 + ($_ eq $names[ $round % @names ]) * 3, 60, @{ $scripts{$_} }) } @names;

	# sometimes a checkpoint shortly before, so that full page images are few
	usleep(300_000 + int(rand(1_200_000)));
	$node->safe_psql('postgres', 'CHECKPOINT') if $round % 2;
	usleep(int(rand(700_000)));
	if ($round % 3 == 2)
	{
		# one backend dies, and the others with it
		my $pid = $node->safe_psql('postgres', q(SELECT pid FROM pg_stat_activity
			WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1));
		my $file = $node->data_dir . '/postmaster.pid';

		kill('KILL', $pid) or BAIL_OUT("cannot kill backend $pid");
		finish_pgbench($_) foreach @runs;
		for (my $i = 0; $i < 1800 && -e $file; $i++)
		{
			usleep(100_000);
		}
		$node->{_pid} = undef;
	}
	else
	{
		$node->stop('immediate');
		finish_pgbench($_) foreach @runs;
	}
	$node->start;
	index_is_sound($node, $_, "after crash $round", 150) foreach @names;

	# and the next VACUUM starts from what the crash has left
	$node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP on) $_") foreach @names;
	index_is_sound($node, $_, "after crash $round and vacuum", 50) foreach @names;
}
recall_of($node, 'v100', 0.9, 'after the crashes') if grep { $_ eq 'v100' } @names;

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
$node->stop('immediate');
$node->start;
$kinds{minimal} = $kinds{v100};
index_is_sound($node, 'minimal', 'after a crash with wal_level minimal');

$node->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/PANIC|TRAP|XX002|invalid page|Segmentation|signal 11|signal 6/, 'the server log is clean');
done_testing();
