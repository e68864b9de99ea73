# What a session keeps of the indexes it has used: memory in bounds, however many
# they are and however large; and what searches do to the server's page cache:
# their pages count as used, and are counted.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my $partitions = 120;
my $node = new_node('handles', q(
jit = off
shared_buffers = 16MB
max_locks_per_transaction = 1000
));
$node->safe_psql('postgres', qq(
CREATE EXTENSION vectorx;
CREATE TABLE parted (id int, v vector(1536)) PARTITION BY RANGE (id);
SELECT format('CREATE TABLE part_%s PARTITION OF parted FOR VALUES FROM (%s) TO (%s)', i, i, i + 1) FROM generate_series(1, $partitions) i \\gexec
CREATE INDEX ON parted USING hnsw (v vector_l2_ops);
CREATE TABLE long (id int, v vector(3));
INSERT INTO long SELECT i, array[i, i, 1] FROM generate_series(1, 200) i;
CREATE INDEX long_idx ON long USING hnsw (v vector_l2_ops);
CREATE TABLE hot (id int, v vector(64));
INSERT INTO hot SELECT i, (SELECT array_agg(random()) FROM generate_series(1, 64) WHERE i > 0) FROM generate_series(1, 4000) i;
CREATE INDEX hot_idx ON hot USING hnsw (v vector_l2_ops);
CREATE TABLE cold (i int, t text);
ALTER TABLE cold ALTER t SET STORAGE PLAIN;
INSERT INTO cold SELECT i, repeat('x', 2000) FROM generate_series(1, 12000) i;
VACUUM ANALYZE;
));

# ---- memory

my $memory = "SELECT coalesce(sum(total_bytes), 0) FROM pg_backend_memory_contexts WHERE name = 'hnsw index'";

my $bytes = $node->safe_psql('postgres', qq(
INSERT INTO parted SELECT i, array_fill(i, ARRAY[1536]) FROM generate_series(1, $partitions) i;
$memory;));
cmp_ok($bytes, '<=', 9_000_000, "after an INSERT into $partitions indexes of 1,536 dimensions");

$bytes = $node->safe_psql('postgres', qq(
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT FROM parted ORDER BY v <-> (SELECT v FROM parted LIMIT 1) LIMIT 200) found;
$memory;));
like($bytes, qr/^$partitions\n/, 'a search of all of them finds all rows');
cmp_ok((split(/\n/, $bytes))[1], '<=', 9_000_000, 'and the memory after it');

# 4 GB, nearly all of it pages that were never written
my $file = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('long_idx')");
$node->stop;
for my $segment (0 .. 3)
{
	my $name = $segment ? "$file.$segment" : $file;

	open(my $fh, '>>', $name) or die "could not open $name: $!";
	truncate($fh, 1 << 30) or die "could not extend $name: $!";
	close($fh);
}
$node->start;
$bytes = $node->safe_psql('postgres', qq(
SET enable_seqscan = off;
SELECT id FROM long ORDER BY v <-> '[7,7,1]' LIMIT 1;
$memory;));
like($bytes, qr/^7\n/, 'a search of a large index');
cmp_ok((split(/\n/, $bytes))[1], '<', 200_000, 'takes no memory for its size');

# ---- page cache and statistics

my $search = "SELECT count(*) FROM (SELECT FROM hot ORDER BY v <-> (SELECT v FROM hot WHERE id = %d) LIMIT 10) found;";
my $reads = "SELECT idx_blks_read, idx_blks_hit FROM pg_statio_user_tables WHERE relname = 'hot'";
my $searches = join("\n", map { sprintf($search, $_) } 1 .. 5);

# Five queries again and again, while another table of more than all buffers goes through them.
$node->safe_psql('postgres', "SET enable_seqscan = off; $searches");
my ($read0, $hit0) = split(/\|/, $node->safe_psql('postgres', $reads));
my $round = $searches . "\nSELECT sum(length(t)) FROM cold WHERE i BETWEEN %d AND %d;";
$node->safe_psql('postgres', "CREATE INDEX ON cold (i)");
$node->safe_psql('postgres', "SET enable_seqscan = off; SET enable_bitmapscan = off;\n" .
	join("\n", map { sprintf($round, ($_ * 400) % 12000, ($_ * 400) % 12000 + 400) } 1 .. 60));
my ($read, $hit) = split(/\|/, $node->safe_psql('postgres', $reads));
note(sprintf('read %d, hit %d', $read - $read0, $hit - $hit0));
cmp_ok($hit - $hit0, '>', 60 * 5 * 20, "statistics count the hits of an index's pages");
cmp_ok($read - $read0, '<', ($hit - $hit0) / 20, 'pages in constant use stay in the cache');

# for temporary tables, too
for my $kind ('', 'TEMP')
{
	my $out = $node->safe_psql('postgres', qq(
CREATE $kind TABLE counted (id int, v vector(8));
INSERT INTO counted SELECT i, array_fill(i, ARRAY[8]) FROM generate_series(1, 500) i;
CREATE INDEX counted_idx ON counted USING hnsw (v vector_l2_ops);
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT FROM counted ORDER BY v <-> '[3,3,3,3,3,3,3,3]' LIMIT 10) found;
BEGIN;
SELECT pg_stat_get_xact_blocks_hit('counted_idx'::regclass) AS before \\gset
SELECT count(*) FROM (SELECT FROM counted ORDER BY v <-> '[3,3,3,3,3,3,3,3]' LIMIT 10) found;
SELECT pg_stat_get_xact_blocks_hit('counted_idx'::regclass) - :before > 5;
COMMIT;
DROP TABLE counted;));
	is($out, "10\n10\nt", "hits are counted: " . ($kind || 'ordinary') . ' table');
}

# ---- pages from disk

# Read ahead or not, a search finds the same.  Whether it is slow enough to read ahead depends on
# the disk; the files are taken out of the operating system's cache.
$node->safe_psql('postgres', q(
CREATE TABLE far (id int, v vector(64));
INSERT INTO far SELECT id, v FROM hot;
CREATE INDEX far_l1 ON far USING hnsw (v vector_l1_ops);
CREATE INDEX far_l2 ON far USING hnsw (v vector_l2_ops);
));
my %found;
foreach my $concurrency (0, 1, 64)
{
	my @files = map { $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('$_')") } qw(far far_l1 far_l2);

	$node->restart;
	foreach my $file (@files)
	{
		system('dd', "of=$file", 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none') == 0 or die "dd: $?";
	}
	$found{$concurrency} = $node->safe_psql('postgres', qq(
SET enable_seqscan = off;
SET effective_io_concurrency = $concurrency;
) . join("\n", map { my $op = $_; map { "SELECT array_agg(id) FROM (SELECT id FROM far ORDER BY v $op (SELECT v FROM hot WHERE id = $_) LIMIT 30) f;" } 1 .. 20 } '<+>', '<->'));
}
is($found{1}, $found{0}, 'a page asked for ahead changes nothing');
is($found{64}, $found{0}, 'nor do many');
cmp_ok(length($found{0}), '>', 40 * 30, 'and there is something to find');

$node->stop;
done_testing();
