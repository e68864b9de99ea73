# pg_stat_vectorx_indexes counts what all sessions have done: concurrent ones, parallel
# workers, long transactions before their end, transactions that fail, inserts and merges.  The
# counters are there again after a crash, on a standby, in single-user mode; where
# there is no shared memory for them searches do without.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my $node = new_node('counters', q(
jit = off
max_worker_processes = 8
max_parallel_workers = 8
restart_after_crash = on
), allows_streaming => 1);
my $scan = q(SET enable_seqscan = off; SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> '[1,2,3]' LIMIT 10) s;);
my $counts = q(SELECT scans, searches, returned FROM pg_stat_vectorx_indexes WHERE indexrelname = 'items_v');
$node->safe_psql('postgres', q(
CREATE EXTENSION vectorx;
CREATE TABLE items (id int, v vector(3));
INSERT INTO items SELECT i, ARRAY[sin(i), cos(i), sin(3 * i)] FROM generate_series(1, 2000) i;
CREATE INDEX items_v ON items USING hnsw (v vector_l2_ops);
VACUUM ANALYZE items;
));

# ---- many sessions

is($node->safe_psql('postgres', $counts), '0|0|0', 'nothing is counted before the first scan');
my $script = PostgreSQL::Test::Utils::tempdir() . '/scan.sql';
append_to_file($script, $scan);
$node->command_ok([ 'pgbench', '-n', '-c', 8, '-t', 100, '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres' ],
	'eight sessions with 100 scans each');
is($node->safe_psql('postgres', $counts), '800|800|8000', 'each of their scans is counted once');

# its session ends when the transaction has failed
$node->psql('postgres', "BEGIN; $scan; SELECT 1 / 0");
is($node->safe_psql('postgres', $counts), '801|801|8010', 'so is that of a transaction that fails');

# ---- workers

my $workers = q(SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = off; SET enable_seqscan = on;);
my $each = q(SELECT sum(found) FROM
	(SELECT (SELECT id FROM items ORDER BY items.v <-> q.v LIMIT 1) AS found FROM items q WHERE q.id <= 200) s);
like($node->safe_psql('postgres', "$workers EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) $each"), qr/Workers Launched: [12]\b.*using items_v/s,
	'workers search');
$node->safe_psql('postgres', q(SELECT hnsw_stats_reset('items_v')));
$node->safe_psql('postgres', "$workers $each");
like($node->safe_psql('postgres', $counts), qr/^[12]\|200\|200$/, 'their searches are counted');

# ---- inserts and merges

my $writes = q(SELECT inserts, pending_inserts, merges, merged_rows FROM pg_stat_vectorx_indexes WHERE indexrelname = 'items_v');
$node->safe_psql('postgres', 'SELECT hnsw_stats_reset(); ALTER INDEX items_v SET (pending_limit = 10000)');
append_to_file("$script.insert", "SET hnsw.write_profile = latency;\nINSERT INTO items SELECT i, ARRAY[random(), random(), random()] FROM generate_series(1, 10) i;\n");
$node->command_ok([ 'pgbench', '-n', '-c', 4, '-t', 25, '-f', "$script.insert", '-h', $node->host, '-p', $node->port, 'postgres' ],
	'four sessions insert 250 rows each');
like($node->safe_psql('postgres', $writes), qr/^1000\|\d+\|0\|0$/, 'each row is counted once');
$node->safe_psql('postgres', 'SELECT hnsw_merge(\'items_v\')');
my ($pending, $merged) = (split(/\|/, $node->safe_psql('postgres', $writes)))[1, 3];
is($merged, $pending, 'a merge is counted, with its rows');
$node->safe_psql('postgres', 'INSERT INTO items SELECT i, ARRAY[random(), random(), random()] FROM generate_series(1, 100) i');
$node->safe_psql('postgres', 'DELETE FROM items WHERE id = 50; VACUUM items');
like($node->safe_psql('postgres', $writes), qr/^1100\|\d+\|2\|\d+$/, 'so is that of VACUUM');
$node->safe_psql('postgres', 'ALTER INDEX items_v RESET (pending_limit)');

# ---- a long transaction

$node->safe_psql('postgres', 'SELECT hnsw_stats_reset()');
my $gate = $node->background_psql('postgres');
$gate->query_safe('SELECT pg_advisory_lock(1)');
my $long = session($node, q(SET enable_seqscan = off), q(DO $$
BEGIN
	LOOP
		PERFORM id FROM items ORDER BY v <-> '[1,2,3]' LIMIT 10;
		EXIT WHEN pg_try_advisory_xact_lock(1);
	END LOOP;
END
$$));
ok($node->poll_query_until('postgres', q(SELECT scans > 0 FROM pg_stat_vectorx_indexes WHERE indexrelname = 'items_v')),
	'a long transaction tells of its scans before its end');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
$gate->quit;
is(end_session($long), '', 'and ends');

# ---- what has gone

$node->safe_psql('postgres', 'CREATE DATABASE gone OID 90000 TEMPLATE postgres');
$node->safe_psql('gone', $scan);
is($node->safe_psql('gone', $counts), '1|1|10', 'another database counts for itself');
$node->safe_psql('postgres', 'DROP DATABASE gone');
# whoever looks removes what it does not find
$node->safe_psql('postgres', $counts);
$node->safe_psql('postgres', 'CREATE DATABASE gone OID 90000 TEMPLATE postgres');
is($node->safe_psql('gone', $counts), '0|0|0', 'a database of the OID of one that was dropped has nothing of it');

# ---- a crash

my $victim = $node->background_psql('postgres');
my $pid = $victim->query_safe('SELECT pg_backend_pid()');
$victim->query_safe($scan);
kill('KILL', $pid);
wait_for_server($node);
eval { $victim->quit; };
is($node->safe_psql('postgres', $counts), '0|0|0', 'a crash takes the numbers with it');
$node->safe_psql('postgres', $scan);
is($node->safe_psql('postgres', $counts), '1|1|10', 'and they begin anew');

# ---- a standby

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$standby->poll_query_until('postgres', 'SELECT pg_is_in_recovery()');
is($standby->safe_psql('postgres', $counts), '0|0|0', 'a standby counts for itself');
$standby->safe_psql('postgres', $scan);
is($standby->safe_psql('postgres', $counts), '1|1|10', 'its own scans');
is($node->safe_psql('postgres', $counts), '1|1|10', 'which are not the primary\'s');
$standby->safe_psql('postgres', 'SELECT hnsw_stats_reset()');
is($standby->safe_psql('postgres', $counts), '0|0|0', 'it can be reset');
$standby->safe_psql('postgres', $scan);
$standby->promote;
$standby->safe_psql('postgres', $scan);
is($standby->safe_psql('postgres', $counts), '2|2|20', 'and goes on when it is promoted');
$standby->stop;

# ---- a single user

$node->stop;
my ($out, $err) = ('', '');
IPC::Run::run([ 'postgres', '--single', '-D', $node->data_dir, 'postgres' ], '<', \join("\n", split(/;\s*/, $scan), $counts, ''),
	'>', \$out, '2>', \$err);
like($out, qr/scans = "1".*searches = "1".*returned = "10"/s, 'a single user has counters');

# ---- no shared memory

$node->append_conf('postgresql.conf', 'dynamic_shared_memory_type = mmap');
my $logged = -s $node->logfile;
$node->start;
my $folder = $node->data_dir . '/pg_dynshmem';
chmod(0500, $folder) or die "chmod: $!";
($out, $err) = ('', '');
$node->psql('postgres', "BEGIN; $scan $scan COMMIT; $scan", stdout => \$out, stderr => \$err);
is($out, "10\n10\n10", 'without shared memory searches do without counters');
is($err, '', 'of which nobody is told');
is($node->safe_psql('postgres', "$counts AND stats_reset IS NULL"), '||', 'but by NULLs who asks for them');
is($node->safe_psql('postgres', 'SELECT hnsw_stats_reset()'), '', 'to set nothing to zero is no error');
chmod(0700, $folder) or die "chmod: $!";
$node->safe_psql('postgres', $scan);
is($node->safe_psql('postgres', $counts), '1|1|10', 'when there is memory again scans are counted');
$node->stop;
unlike(substr(slurp_file($node->logfile), $logged), qr/WARNING|PANIC|TRAP|signal \d/, 'nor does the log tell of it');

done_testing();
