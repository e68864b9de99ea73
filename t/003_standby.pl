# A streaming standby, with every replayed page compared with the primary's
# (wal_consistency_checking): index scans on both give the same rows in the
# same order, hnsw_check finds nothing on either; promotion; unlogged tables;
# REINDEX and CREATE INDEX CONCURRENTLY while others write.
# VX_STANDBY_ROUNDS sets how many cycles of writes (default 2).
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my $rounds = $ENV{VX_STANDBY_ROUNDS} || 2;
my @names = $ENV{VX_KINDS} ? split(/,/, $ENV{VX_KINDS}) : qw(v100 v3 l1 dup cos side);
my %rows = (v100 => 600, v3 => 600, l1 => 400, dup => 1500, cos => 200, side => 80);

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', qq(
autovacuum = off
shared_buffers = '32MB'
log_statement = none
wal_consistency_checking = 'all'
max_standby_streaming_delay = '60s'
max_connections = 60
wal_keep_size = '4GB'
restart_after_crash = off
));
$primary->start;
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

create_tables($primary, \@names);
fill_tables($primary, { map { $_ => $rows{$_} } @names });
my %scripts;
foreach my $name (@names)
{
	$scripts{$name} = [ write_scripts($primary, $name, insert => 6, batch => 2, copy => 1,
			update => 6, delete => 2, sweep => 1, abort => 1, vacuum => 2) ];
}

# The rows of index scans, in order, for some queries that both servers see.
sub scans
{
	my ($node, $name) = @_;
	my $op = $kinds{$name}->{op};

	return $node->safe_psql('postgres', qq(
SET enable_seqscan = off;
SET enable_sort = off;
SET hnsw.ef_search = 60;
SELECT q.id, array_agg(s.id) FROM (SELECT id, v FROM $name ORDER BY id LIMIT 25) q,
	LATERAL (SELECT id FROM $name t ORDER BY t.v $op q.v LIMIT 40) s
GROUP BY q.id ORDER BY q.id;));
}

sub same_on_both
{
	my ($name, $when) = @_;
	my $here = scans($primary, $name);
	my $there = scans($standby, $name);

	isnt($here, '', "$name $when: there are rows");
	ok($here eq $there, "$name $when: the same rows in the same order on both");
	is($standby->safe_psql('postgres', "SELECT * FROM hnsw_check('${name}_idx') LIMIT 10"),
		'', "$name $when: hnsw_check on the standby");
	index_is_sound($primary, $name, $when, 50);
}

foreach my $round (1 .. $rounds)
{
	my @runs = map { start_pgbench($primary, 2, 2, @{ $scripts{$_} }) } @names;
	# searches on the standby while replay changes the index under them
	my @reads = map { start_pgbench($standby, 1, 2, write_scripts_search($_)) } qw(dup v100);

	finish_pgbench($runs[$_], "$names[$_] in round $round") foreach 0 .. $#names;
	finish_pgbench($_, "searches on the standby in round $round") foreach @reads;
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	same_on_both($_, "in round $round") foreach @names;
}

# The script's folder is the primary's affair; the queries run on the standby.
sub write_scripts_search
{
	my ($name) = @_;

	return write_scripts($primary, $name, search => 1);
}

# An index rebuilt and one built concurrently, beside writers
{
	my @runs = map { start_pgbench($primary, 2, 6, @{ $scripts{$_} }) } qw(v100 dup);

	foreach my $name (qw(v100 dup))
	{
		my $k = $kinds{$name};

		$primary->safe_psql('postgres', "REINDEX INDEX CONCURRENTLY ${name}_idx");
		$primary->safe_psql('postgres', "REINDEX INDEX ${name}_idx");
		$primary->safe_psql('postgres', "CREATE INDEX CONCURRENTLY ${name}_new ON $name USING hnsw (v $k->{opclass})");
		$primary->safe_psql('postgres', "DROP INDEX ${name}_idx");
		$primary->safe_psql('postgres', "ALTER INDEX ${name}_new RENAME TO ${name}_idx");
	}
	finish_pgbench($_, 'writers beside REINDEX and CREATE INDEX CONCURRENTLY') foreach @runs;
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	same_on_both($_, 'rebuilt') foreach qw(v100 dup);
}

# An unlogged table is empty after a crash, and its index usable.
$kinds{unl} = $kinds{v100};
create_tables($primary, ['unl'], 'UNLOGGED');
fill_tables($primary, { unl => 300 });
index_is_sound($primary, 'unl', 'unlogged', 50);
$primary->stop('immediate');
$primary->start;
is($primary->safe_psql('postgres', 'SELECT count(*) FROM unl'), '0', 'the unlogged table is empty after a crash');
index_is_sound($primary, 'unl', 'reset', 50);
fill_tables($primary, { unl => 300 });
index_is_sound($primary, 'unl', 'filled again', 50);
$primary->safe_psql('postgres', 'ALTER TABLE unl SET LOGGED');
index_is_sound($primary, 'unl', 'logged', 50);

# Promotion, then writes; what the primary had unlogged is empty here.
create_tables($primary, ['v3b'], 'UNLOGGED') if ($kinds{v3b} = $kinds{v3});
fill_tables($primary, { v3b => 100 });
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
same_on_both('unl', 'before promotion');
$primary->stop('fast');
$standby->promote;
index_is_sound($standby, 'v3b', 'unlogged, after promotion', 50);
fill_tables($standby, { v3b => 100 });
index_is_sound($standby, 'v3b', 'unlogged, filled after promotion', 50);
{
	my @runs = map { start_pgbench($standby, 2, 2, @{ $scripts{$_} }) } @names;

	finish_pgbench($runs[$_], "$names[$_] after promotion") foreach 0 .. $#names;
	index_is_sound($standby, $_, 'after promotion and writes', 50) foreach @names;
}
$standby->stop;

foreach my $node ($primary, $standby)
{
	my $log = slurp_file($node->logfile);

	unlike($log, qr/PANIC|TRAP|XX002|inconsistent page|invalid page|Segmentation|signal 11|signal 6|is damaged/,
		'the log of the ' . $node->name . ' is clean');
}
done_testing();
