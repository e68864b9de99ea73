# A subscriber of logical replication whose tables have indexes: rows come by the copy that a
# subscription begins with, then by its apply worker, by parallel ones (PostgreSQL 16 and later)
# where a transaction is streamed before it ends, and after a crash of the subscriber from where
# it had got to.  After each its tables hold the publisher's rows, its indexes are sound, and
# each row is found by its own vector, whether it waits to be linked or not.  The subscriber is searched and vacuumed all the while.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my %rows = (v100 => 800, l1 => 150, dup => 400, cos => 200, side => 40, half => 300, bit => 200, sparse => 100);
my @names = sort keys %rows;
# What is written while it is replicated.
my @written = qw(v100 dup cos);
my %weights = (insert => 4, batch => 2, copy => 1, update => 3, delete => 2, abort => 1);
my $seconds = 3;

my $publisher = new_node('publisher', qq(
shared_buffers = '32MB'
jit = off
logical_decoding_work_mem = '64kB'
), allows_streaming => 'logical');
my $subscriber = new_node('subscriber', qq(
shared_buffers = '32MB'
jit = off
restart_after_crash = off
wal_retrieve_retry_interval = '100ms'
));

create_tables($_, \@names) foreach ($publisher, $subscriber);
fill_tables($publisher, \%rows);
# Most of what comes waits to be linked, and is merged by the worker, VACUUM, or a copy.
$subscriber->safe_psql('postgres', "ALTER INDEX ${_}_idx SET (pending_limit = 300)") foreach (@names);

sub caught_up
{
	$publisher->wait_for_catchup('indexed');
}

# The rows of a table, as a number.
sub rows_of
{
	my ($node, $name) = @_;

	return $node->safe_psql('postgres', "SELECT count(*), sum(hashtextextended(id || ' ' || v::text, 0)) FROM $name");
}

sub compare
{
	my ($when, @tables) = @_;

	foreach my $name (@tables)
	{
		is(rows_of($subscriber, $name), rows_of($publisher, $name), "$name $when: the publisher's rows");
		index_is_sound($subscriber, $name, $when);
	}
}

# Writers of the publisher, and those who read and vacuum the subscriber.
sub start_traffic
{
	return map {
		(start_pgbench($publisher, 2, $seconds, write_scripts($publisher, $_, %weights)),
			start_pgbench($subscriber, 1, $seconds, write_scripts($subscriber, $_, search => 6, vacuum => 1)))
	} @_;
}

# ---- the copy that a subscription begins with

my $streaming = $subscriber->pg_version >= 16 ? 'parallel' : 'on';
$publisher->safe_psql('postgres', 'CREATE PUBLICATION indexed FOR ALL TABLES');
$subscriber->safe_psql('postgres',
	"CREATE SUBSCRIPTION indexed CONNECTION '" . $publisher->connstr . " dbname=postgres' PUBLICATION indexed WITH (streaming = $streaming)");
$subscriber->wait_for_subscription_sync($publisher, 'indexed');
compare('copied', @names);

# ---- row by row, while the subscriber is searched and vacuumed

foreach my $name (@written)
{
	my @runs = start_traffic($name);

	finish_pgbench($runs[0], "$name written");
	finish_pgbench($runs[1], "$name searched");
}
caught_up();
compare('applied', @written);

# ---- transactions that are streamed before they end, one of which never does

foreach my $name (@written)
{
	my $many = $rows{$name} / 2;

	$publisher->safe_psql('postgres', "INSERT INTO $name (v) SELECT gen_$name() FROM generate_series(1, $many)");
	$publisher->safe_psql('postgres', "BEGIN; INSERT INTO $name (id, v) SELECT -i, gen_$name() FROM generate_series(1, $many) i; ROLLBACK");
	# a savepoint that is rolled back, in one that commits
	$publisher->safe_psql('postgres', qq(
BEGIN;
INSERT INTO $name (v) SELECT gen_$name() FROM generate_series(1, $many);
SAVEPOINT s;
INSERT INTO $name (id, v) SELECT -i, gen_$name() FROM generate_series(1, $many) i;
ROLLBACK TO s;
DELETE FROM $name WHERE id IN (SELECT id FROM $name ORDER BY id LIMIT 50);
COMMIT;
));
}
caught_up();
cmp_ok($publisher->safe_psql('postgres', q(SELECT stream_txns FROM pg_stat_replication_slots WHERE slot_name = 'indexed')),
	'>', 0, 'transactions were streamed');
compare('streamed', @written);

# ---- the subscriber dies in the middle

my @runs = start_traffic('cos');
# Not before it applies what they write.
my $before = $subscriber->safe_psql('postgres', 'SELECT max(id) FROM cos');
$subscriber->poll_query_until('postgres', "SELECT max(id) > $before + 20 FROM cos")
  or die 'the subscriber does not apply';
$subscriber->stop('immediate');
$subscriber->start;
finish_pgbench($runs[0], 'written past a crash of the subscriber');
# Its clients have lost their connections.
finish_pgbench($runs[1]);
caught_up();
compare('after a crash', @written);

$subscriber->safe_psql('postgres', "SELECT hnsw_merge('${_}_idx')") foreach (@written);
compare('merged', @written);

log_is_clean($_) foreach ($publisher, $subscriber);
$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION indexed');
done_testing();
