# Memory.  An allocation that fails is an error; the session goes on, also with
# the same index, whose handle outlives the error.  And what a search for very
# many rows needed is not asked for by the inserts after it.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my $node = new_node('memory', q(
jit = off
restart_after_crash = off
));
$node->safe_psql('postgres', q(
CREATE EXTENSION vectorx;
CREATE TABLE small (id int, v vector(3));
INSERT INTO small SELECT i, array[i, i, 1] FROM generate_series(1, 200) i;
CREATE INDEX ON small USING hnsw (v vector_l2_ops);
CREATE TABLE long AS TABLE small;
CREATE INDEX long_idx ON long USING hnsw (v vector_l2_ops);
CREATE TABLE wide (v vector(2000));
CREATE INDEX ON wide USING hnsw (v vector_l2_ops) WITH (own_vector = fp32);
INSERT INTO wide SELECT array_fill(i, ARRAY[2000]) FROM generate_series(1, 10) i;
));

# A search for 10,000 allocates the places of so many, 144 bytes each, and gives
# them back; an insert needs own vectors, 8,000 bytes each, of ef_construction only.
is($node->safe_psql('postgres', q(
SET hnsw.ef_search = 10000;
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT FROM wide ORDER BY v <-> (SELECT v FROM wide LIMIT 1)) found;
INSERT INTO wide SELECT array_fill(i, ARRAY[2000]) FROM generate_series(11, 12) i;
SELECT sum(total_bytes) < 1100000 FROM pg_backend_memory_contexts WHERE name = 'hnsw index';
)), "10\nt", 'a search for many, then inserts: memory of the handle');

# A scan that goes on to the end uses work_mem and as much again, whatever it is asked: among
# near-duplicates, for a query so far away that all rows are as far, where no row matches.
$node->safe_psql('postgres', q(
SELECT setseed(0.5);
CREATE TABLE near (id int, v vector(8));
INSERT INTO near SELECT i, (SELECT array_agg(x)::vector FROM
	(SELECT 0.5 + CASE WHEN i % 6 = 0 THEN 9 ELSE 1e-3 END * random() AS x FROM generate_series(1, 8)) s)
	FROM generate_series(1, 40000) i;
CREATE INDEX ON near USING hnsw (v vector_l2_ops) WITH (ef_construction = 16);
));
foreach my $query ('[.5,.5,.5,.5,.5,.5,.5,.5]', '[1e18,0,0,0,0,0,0,0]', '[5,5,5,5,5,5,5,5]')
{
	is($node->safe_psql('postgres', qq(
SET work_mem = '64kB';
SET enable_seqscan = off;
SET enable_sort = off;
BEGIN;
DECLARE c NO SCROLL CURSOR FOR SELECT id FROM near ORDER BY v <-> '$query';
MOVE 30000 IN c;
SELECT sum(total_bytes) < 2500000 FROM pg_backend_memory_contexts WHERE name LIKE 'hnsw%' OR name LIKE 'TupleSort%';
MOVE ALL IN c;
COMMIT;
SELECT count(*) FROM (SELECT id FROM near WHERE id < 0 ORDER BY v <-> '$query') s;
SELECT sweeps FROM hnsw_last_scan();
)), "t\n0\n1", "memory of a scan to the end, query $query");
}

# What a search for 4,000 needs, above all places for results, is more than the server
# has lying about; also in an index of a gigabyte, nearly all of it pages that were
# never written.
my $file = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('long_idx')");
$node->stop;
truncate($file, 130000 * 8192) or die "could not extend $file: $!";
$node->start;

my $search = 'SELECT array_agg(id ORDER BY n) FROM (SELECT id, row_number() OVER () n FROM (SELECT id FROM %s ORDER BY v <-> \'[7,7,1]\' LIMIT 1) f) g';
my $search_small = sprintf($search, 'small');
my $search_long = sprintf($search, 'long');

SKIP:
{
	my %failed;

	if ($^O ne 'linux' || system('prlimit --version >/dev/null 2>&1') != 0)
	{
		diag('failing allocations: not run, there is no prlimit here');
		skip('limits of memory: there is no prlimit here', 1);
	}
	# these need far more address space than they say, and abort without
	my ($pid) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	if (slurp_file("/proc/$pid/maps") =~ /libasan|valgrind/)
	{
		diag('failing allocations: not run under a memory checker');
		skip('limits of memory: the server runs under a memory checker', 1);
	}
	# from nothing at all to enough for everything
	for (my $room = 0; $room <= 1600; $room += 50)
	{
		my ($status, $out, $err) = $node->psql('postgres', qq(
SET enable_seqscan = off;
PREPARE long AS $search_long;
\\o /dev/null
EXPLAIN EXECUTE long;
\\o
$search_small;
SET hnsw.ef_search = 4000;
SELECT pg_backend_pid() AS pid \\gset
\\set limited `prlimit --pid :pid --as=\$((\$(awk '/^VmSize/ {print \$2}' /proc/:pid/status) * 1024 + $room * 1024)):`
EXECUTE long;
\\set limited `prlimit --pid :pid --as=unlimited:`
EXECUTE long;
), on_error_stop => 0);

		my $oom = $err =~ /ERROR: +out of memory/;
		my $expected = $oom ? "{7}\n{7}" : "{7}\n{7}\n{7}";
		is("$status $out", "0 $expected", "$room kB more: " . ($oom ? 'error, then the row' : 'the row'))
		  or diag($err);
		$failed{$1}++ if $err =~ /Failed on request of size \d+ in memory context "(hnsw \w+|Caller tuples)"/;
	}
	# the search's places, then the sort's or the scan's
	cmp_ok(scalar(keys %failed), '>=', 2, 'allocations failed in: ' . join(', ', sort keys %failed));
}

$node->stop;
done_testing();
