# hnsw.target_recall: the recall of queries that nothing was measured on is near the one that
# is set, after a build, after growth and after churn; what was measured is the same on a
# standby and after a crash.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

# How far recall may be off, which is more than samples of this size ever are: at most
# "below" and "above".  Of a search with hnsw.ef_search recall is above .96 in each.
my @cases = (
	{ set => 'words',     metric => 'hamming', type => 'bit', rows => 5000, targets => [ .8, .98 ], below => .07, above => .09 },
	{ set => 'texts',     metric => 'cosine', type => 'sparsevec', rows => 4000, targets => [ .8, .98 ], below => .07, above => .09 },
	{ set => 'words',     metric => 'cosine', rows => 9000, targets => [ .8, .9, .98 ], below => .05, above => .07 },
	{ set => 'words',     metric => 'ip',     rows => 6000, targets => [ .8, .98 ],     below => .07, above => .09 },
	{ set => 'clustered', metric => 'l2',     rows => 6000, targets => [ .8, .98 ],     below => .07, above => .09 },
);

# Where a metapage has what was measured: behind a page's header (40), and what was there before (72).
my $META_CALIBRATION = 40 + 72;

my $node = new_node('target', "shared_buffers = '128MB'\n", allows_streaming => 1, damaged => 1);
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

run_python($node, 'target_recall.py', \@cases);

my $measured = q(SELECT calibrated_by, calibration_queries, search_factors FROM hnsw_info('items_idx'));
my $before = $node->safe_psql('postgres', $measured);
like($before, qr/^vacuum\|/, 'VACUUM has measured last');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is($standby->safe_psql('postgres', $measured), $before, 'the same on a standby');
my $search = q(SET enable_seqscan = off; SET enable_sort = off; SET hnsw.target_recall = .9;
SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = (SELECT min(id) FROM items)) LIMIT 10;
SELECT visited, width FROM hnsw_last_scan());
is($standby->safe_psql('postgres', $search), $node->safe_psql('postgres', $search), 'and so a search');
my ($status, undef, $error) = $standby->psql('postgres',
	q(SELECT hnsw_calibrate('items_idx', (SELECT array_agg(embedding) FROM items))));
like($error, qr/cannot execute hnsw_calibrate\(\) during recovery/, 'a standby measures nothing');
$standby->stop;

# under load, which another session makes: hnsw.load_cpus says that there is one processor
my $shed = q(SET enable_seqscan = off; SET enable_sort = off; SET hnsw.target_recall = .95; SET hnsw.load_cpus = %d;
SET hnsw.load_shedding = %s;
SELECT count(*) FROM (SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = (SELECT min(id) FROM items)) LIMIT 10) x;
SELECT shed, visited FROM hnsw_last_scan());
my @calm = split /\||\n/, $node->safe_psql('postgres', sprintf($shed, 65536, '.5'));
is($calm[1], 0, 'no effort is shed without load');
my $busy = $node->background_psql('postgres');
$busy->query_until(qr/begun/, "\\echo begun\nDO 'BEGIN LOOP END LOOP; END';\n");
$node->poll_query_until('postgres',
	q(SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'DO%' AND state = 'active' AND wait_event IS NULL))
	or die 'no session is busy';
my @off = split /\||\n/, $node->safe_psql('postgres', sprintf($shed, 1, 'off'));
my @busy = split /\||\n/, $node->safe_psql('postgres', sprintf($shed, 1, '.5'));
is($off[1], 0, 'nor under load, unless it is to be');
is($off[2], $calm[2], 'and the search is the same');
is($busy[1], 1, 'a search for less is counted');
cmp_ok($busy[2], '<', $calm[2], 'and visits less');
$node->safe_psql('postgres', q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'DO%'));
eval { $busy->quit; };
is($node->safe_psql('postgres', q(SELECT shed > 0 FROM pg_stat_vectorx_indexes WHERE indexrelname = 'items_idx')), 't', 'for all sessions, too');

# another session's temporary table: its pages are not to be had, but a plan is
my $other = $node->background_psql('postgres');
$other->query_until(qr/made/, <<'EOF');
CREATE TEMPORARY TABLE other_items AS SELECT embedding FROM items LIMIT 1500;
CREATE INDEX other_idx ON other_items USING hnsw (embedding vector_l2_ops);
\echo made
EOF
my $schema = $node->safe_psql('postgres', q(SELECT relnamespace::regnamespace FROM pg_class WHERE relname = 'other_items'));
like($node->safe_psql('postgres', "SET enable_seqscan = off; SET hnsw.target_recall = .9;
EXPLAIN SELECT * FROM $schema.other_items ORDER BY embedding <-> (SELECT embedding FROM items LIMIT 1) LIMIT 10"),
	qr/other_items/, q(a plan for another session's temporary table));
$other->quit;

$node->safe_psql('postgres',
	q(SELECT hnsw_calibrate('items_idx', (SELECT array_agg(embedding) FROM (SELECT embedding FROM items LIMIT 200) x))));
$before = $node->safe_psql('postgres', $measured);
like($before, qr/^queries\|/, 'hnsw_calibrate has measured');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', $measured), $before, 'the same after a crash');
is($node->safe_psql('postgres', q(SELECT count(*) FROM hnsw_check('items_idx'))), 0, 'the index is sound');

# what is read from a damaged metapage counts as not measured: searches go by hnsw.ef_search
my $rows = q(SET enable_seqscan = off; SET enable_sort = off; SET hnsw.target_recall = %s;
SELECT id FROM items ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = (SELECT min(id) FROM items)) LIMIT 10;
SELECT visited FROM hnsw_last_scan());
my $file = $node->data_dir . '/' . $node->safe_psql('postgres', q(SELECT pg_relation_filepath('items_idx')));
for my $damage ([ 'every byte', 4, "\xff" x 204 ], [ 'factors that are negative', 16, pack('f', -1) x 24 ],
	[ 'factors that are none', 16, pack('L', 0x7fc00000) x 24 ], [ 'begun from nowhere', 8, "\0" x 8 ])
{
	my ($name, $from, $bytes) = @$damage;

	$node->safe_psql('postgres', q(SELECT hnsw_calibrate('items_idx', 'SELECT embedding FROM items', 60)));
	$node->stop;
	open(my $fh, '+<:raw', $file) or die "$file: $!";
	seek($fh, $META_CALIBRATION + $from, 0);
	print $fh $bytes;
	close $fh;
	$node->start;
	is($node->safe_psql('postgres', q(SELECT calibrated_by IS NULL FROM hnsw_info('items_idx'))), 't', "$name: not measured");
	is($node->safe_psql('postgres', sprintf($rows, '.9')), $node->safe_psql('postgres', sprintf($rows, 'off')), 'and so searches');
	is($node->safe_psql('postgres', q(SELECT count(*) FROM hnsw_check('items_idx'))), 0, 'what is checked is sound');
	$node->safe_psql('postgres', 'VACUUM items');
	is($node->safe_psql('postgres', q(SELECT calibrated_by FROM hnsw_info('items_idx'))), 'vacuum', 'VACUUM measures again');
}

$node->stop;
done_testing();
