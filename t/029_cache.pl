# The cache of results says what a search says: beside eight clients that insert, delete, update,
# VACUUM and REINDEX; when heap TIDs are used again; in two databases; for snapshots older than an
# entry; prepared transactions; parallel workers; when it is full, or cannot be attached; on a
# standby, which has none; after a crash of the one that searches.
# VX_WAIT_POINTS_LIBRARY: the folder of a library built with WAIT_POINTS=1, for the last part.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use VectorxTest;

my $library = $ENV{VX_WAIT_POINTS_LIBRARY};
my $node = new_node('cache', qq(
jit = off
max_connections = 150
max_prepared_transactions = 5
max_worker_processes = 8
dynamic_shared_memory_type = mmap
restart_after_crash = on
vectorx.cache = on
) . ($library ? "dynamic_library_path = '$library:\$libdir'\n" : ''), allows_streaming => 1);
my $dir = PostgreSQL::Test::Utils::tempdir();

sub script
{
	my ($name, $sql) = @_;

	append_to_file("$dir/$name.sql", $sql);
	return "$dir/$name.sql";
}

$node->safe_psql('postgres', q(CREATE EXTENSION vectorx));
$node->safe_psql('postgres', q(UPDATE pg_proc SET probin = 'vectorx' WHERE probin = '$libdir/vectorx')) if $library;
$node->safe_psql('postgres', q(
ALTER SYSTEM SET enable_seqscan = off;
ALTER SYSTEM SET enable_sort = off;
SELECT pg_reload_conf();
CREATE FUNCTION near(c vector, r float8) RETURNS vector LANGUAGE sql VOLATILE AS
	'SELECT array_agg(x + r * (random() - 0.5))::real[]::vector FROM unnest(c::real[]) x';
CREATE TABLE items (id serial, v vector(6)) WITH (fillfactor = 50);
CREATE TABLE queries (id int PRIMARY KEY, v vector(6));
INSERT INTO queries SELECT i, near('[0,0,0,0,0,0]', 2) FROM generate_series(1, 40) i;
INSERT INTO items (v) SELECT near('[0,0,0,0,0,0]', 2.2) FROM generate_series(1, 3000) i;
CREATE TABLE bad (q int, what text);
-- what is wrong with the cache's answer, beside that of a search in the same snapshot
CREATE FUNCTION wrong(q vector, k int) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
	cached float8[];
	searched float8[];
BEGIN
	-- hardly a search misses a row with this much effort, of which dead rows near the query take a part
	PERFORM set_config('hnsw.ef_search', '400', true);
	PERFORM set_config('vectorx.cache', 'on', true);
	cached := array(SELECT v <-> q FROM items ORDER BY v <-> q LIMIT k);
	PERFORM set_config('vectorx.cache', 'off', true);
	searched := array(SELECT v <-> q FROM items ORDER BY v <-> q LIMIT k);
	IF cardinality(cached) <> k OR cardinality(searched) <> k THEN
		RETURN format('%s rows instead of %s', cardinality(cached), cardinality(searched));
	ELSIF cached <> array(SELECT d FROM unnest(cached) d ORDER BY d) THEN
		RETURN format('not in order: %s', cached);
	ELSIF cached[k] > searched[k] + 1e-6 OR cached[1] > searched[1] + 1e-6 THEN
		RETURN format('farther: %s but %s', cached, searched);
	END IF;
	RETURN NULL;
END
$$;
));

# what the library has in dynamic shared memory: a file of its own (mmap)
sub segments
{
	return glob($node->data_dir . '/pg_dynshmem/mmap.*');
}
my %before = map { $_ => 1 } segments();
$node->safe_psql('postgres', q(CREATE INDEX items_v ON items USING hnsw (v vector_l2_ops); SELECT id FROM items ORDER BY v <-> '[1,1,1,1,1,1]' LIMIT 1));
my @area = grep { !$before{$_} } segments();
cmp_ok(@area, '>', 0, 'there is an area');

# ---- eight clients

my $read = script('read', q(\set q random_zipfian(1, 40, 1.1)
\set k random(1, 20)
INSERT INTO bad SELECT :q, w FROM (SELECT wrong(v, :k) AS w FROM queries WHERE id = :q OFFSET 0) s WHERE w IS NOT NULL;
));
my $insert = script('insert', q(\set q random_zipfian(1, 40, 1.1)
INSERT INTO items (v) SELECT near(v, 0.2) FROM queries WHERE id = :q;
));
my $same = script('same', q(\set q random_zipfian(1, 40, 1.1)
INSERT INTO items (v) SELECT v FROM queries WHERE id = :q;
));
my $delete = script('delete', q(\set q random_zipfian(1, 40, 1.1)
\set n random(0, 5)
DELETE FROM items WHERE id IN (SELECT id FROM items ORDER BY v <-> (SELECT v FROM queries WHERE id = :q) LIMIT 3 OFFSET :n)
	AND EXISTS (SELECT FROM items OFFSET 1000);
));
my $update = script('update', q(\set q random_zipfian(1, 40, 1.1)
\set p random(1, 40)
BEGIN;
UPDATE items SET v = near((SELECT v FROM queries WHERE id = :p), 0.1)
	WHERE id = (SELECT id FROM items ORDER BY v <-> (SELECT v FROM queries WHERE id = :q) LIMIT 1);
\set r random(1, 3)
\if :r = 1
ROLLBACK;
\else
COMMIT;
\endif
));
my $vacuum = script('vacuum', "VACUUM (INDEX_CLEANUP on) items;\n");
my $reindex = script('reindex', "REINDEX INDEX items_v;\n");

foreach my $pending (-1, 0)
{
	my $when = $pending == 0 ? 'each row linked at once' : 'rows that wait';

	$node->safe_psql('postgres', 'ALTER INDEX items_v SET (pending_limit = ' . ($pending == 0 ? 0 : 200) . ')');
	$node->command_ok([ 'pgbench', '-n', '-c', 8, '-j', 2, '-T', 10, '--max-tries=100',
			'-f', "$read\@60", '-f', "$insert\@15", '-f', "$same\@5", '-f', "$delete\@10", '-f', "$update\@10", '-f', "$vacuum\@1",
			'-h', $node->host, '-p', $node->port, 'postgres' ],
		"$when: eight clients");
	is($node->safe_psql('postgres', 'SELECT * FROM bad LIMIT 5'), '', "$when: the cache says what a search says");
	my $counts = $node->safe_psql('postgres', 'SELECT hits, misses, merges, waits FROM vectorx_cache');
	note("hits, misses, merges, waits: $counts");
	cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM items'), '>', 100, "$when: there are more rows than are asked for");
	my ($hits, $misses, $merges) = split /\|/, $counts;
	ok($hits > 100 && $merges > 10 && $misses > 10, "$when: it was asked");
	is($node->safe_psql('postgres', q(SELECT * FROM hnsw_check('items_v') LIMIT 5)), '', "$when: the index is sound");
}
$node->command_ok([ 'pgbench', '-n', '-c', 4, '-j', 2, '-T', 4, '--max-tries=100',
		'-f', "$read\@60", '-f', "$insert\@10", '-f', "$reindex\@1", '-h', $node->host, '-p', $node->port, 'postgres' ],
	'with REINDEX');
is($node->safe_psql('postgres', 'SELECT * FROM bad LIMIT 5'), '', 'with REINDEX: the cache says what a search says');

# ---- heap TIDs that are used again

$node->safe_psql('postgres', q(
CREATE TABLE again (id int, v vector(3)) WITH (fillfactor = 100);
INSERT INTO again SELECT i, ARRAY[i, 0, 0] FROM generate_series(1, 2000) i;
CREATE INDEX again_v ON again USING hnsw (v vector_l2_ops);
));
my $ten = q(SELECT string_agg(id::text, ' ') FROM (SELECT id FROM again ORDER BY v <-> '[5,0,0]' LIMIT 10) s);
my $reader = $node->background_psql('postgres');
my $was = $reader->query_safe($ten);
is($reader->query_safe($ten), $was, 'twice the same');
$node->safe_psql('postgres', q(
CREATE TABLE places AS SELECT ctid AS at FROM again WHERE id <= 10;
DELETE FROM again WHERE id <= 10;
VACUUM (INDEX_CLEANUP on) again;
INSERT INTO again SELECT 3000 + i, ARRAY[3000 + i, 0, 0] FROM generate_series(1, 10) i;
));
is($node->safe_psql('postgres', 'SELECT count(*) FROM again a JOIN places p ON p.at = a.ctid WHERE id > 3000'), '10', 'TIDs are used again');
is($reader->query_safe($ten), join(' ', 11 .. 20), 'what is far now does not come');

# ---- snapshots

$reader->query_safe("BEGIN ISOLATION LEVEL REPEATABLE READ");
is($reader->query_safe('SELECT count(*) FROM again'), '2000', 'a snapshot');
$node->safe_psql('postgres', q(DELETE FROM again WHERE id IN (11, 13); INSERT INTO again VALUES (5000, '[5,0,0]'); VACUUM again));
is($node->safe_psql('postgres', $ten), '5000 12 14 15 16 17 18 19 20 21', 'an entry that is newer') for 1 .. 2;
is($reader->query_safe($ten), join(' ', 11 .. 20), 'the old snapshot sees what it saw') for 1 .. 2;
$reader->query_safe('COMMIT');
is($reader->query_safe($ten), '5000 12 14 15 16 17 18 19 20 21', 'a new one what is there');

# ---- prepared transactions

$node->safe_psql('postgres', q(BEGIN; INSERT INTO again VALUES (5001, '[5,0.1,0]'); PREPARE TRANSACTION 'p'));
is($reader->query_safe($ten), '5000 12 14 15 16 17 18 19 20 21', 'prepared: not seen');
$node->safe_psql('postgres', q(COMMIT PREPARED 'p'));
is($reader->query_safe($ten), '5000 5001 12 14 15 16 17 18 19 20', 'committed: seen');

# ---- two databases of the same OIDs

$node->safe_psql('postgres', 'CREATE DATABASE other TEMPLATE template0');
$reader->quit;
$node->safe_psql('postgres', 'DROP DATABASE other');
$node->safe_psql('template1', 'CREATE DATABASE other TEMPLATE postgres');
is($node->safe_psql('other', $ten), '5000 5001 12 14 15 16 17 18 19 20', 'a copy of the database');
$node->safe_psql('other', q(INSERT INTO again VALUES (6000, '[5,0,0]')));
is($node->safe_psql('other', q(SELECT id >= 5000 FROM again ORDER BY v <-> '[5,0,0]' LIMIT 1)), 't', 'what is inserted there');
unlike($node->safe_psql('postgres', $ten), qr/6000/, 'is not here');
like($node->safe_psql('other', $ten), qr/6000/, 'but there');
is($node->safe_psql('other', 'SELECT count(*) FROM vectorx_cache'), '1', 'whose view knows its own indexes');
$node->safe_psql('postgres', 'DROP DATABASE other');
# one with the very OID of another that there was
foreach my $id (6001, 6002)
{
	$node->safe_psql('template1', 'CREATE DATABASE other OID = 60000 TEMPLATE postgres');
	like($node->safe_psql('other', $ten), $id == 6001 ? qr/^5000 5001 12 / : qr/\b6001\b/, 'no result of a database of before') for 1 .. 2;
	$node->safe_psql('postgres', 'DROP DATABASE other');
	$node->safe_psql('postgres', q(INSERT INTO again VALUES (6001, '[5,0,0]'))) if $id == 6001;
}
$node->safe_psql('postgres', q(DELETE FROM again WHERE id = 6001));

# ---- parallel workers

my $workers = q(SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2; SET enable_seqscan = on;);
$node->safe_psql('postgres', q(SELECT vectorx_cache_reset()));
is($node->safe_psql('postgres', "$workers SELECT count(*), count(DISTINCT found) FROM
	(SELECT (SELECT id FROM again WHERE v <-> ARRAY[q.id % 7, 0, 0]::vector < 1e6 ORDER BY again.v <-> ARRAY[q.id % 7, 0, 0]::vector LIMIT 1) AS found
	FROM items q WHERE q.id <= 2000 OFFSET 0) s WHERE found IS NOT NULL") =~ /^\d+\|\d+$/, 1, 'workers search');

# ---- 100 equal queries at once

my $gate = $node->background_psql('postgres');
$gate->query_safe('SELECT pg_advisory_lock(7)');
my $equal = script('equal', "SELECT id FROM again ORDER BY v <-> '[9,9,9]' LIMIT 1;\nSELECT pg_advisory_lock_shared(7);\n"
	  . "SELECT id FROM again ORDER BY v <-> '[7,7,7]' LIMIT 10;\n");
my $many = IPC::Run::start([ 'pgbench', '-n', '-c', 100, '-j', 2, '-t', 1, '-f', $equal, '-h', $node->host, '-p', $node->port, 'postgres' ],
	'>', "$dir/out", '2>', "$dir/err");
ok($node->poll_query_until('postgres', q(SELECT count(*) = 100 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)), '100 sessions wait');
my $missed = $node->safe_psql('postgres', q(SELECT misses FROM vectorx_cache WHERE index = 'again_v'::regclass));
$gate->query_safe('SELECT pg_advisory_unlock(7)');
$many->finish;
my $misses = $node->safe_psql('postgres', q(SELECT misses FROM vectorx_cache WHERE index = 'again_v'::regclass)) - $missed;
cmp_ok($misses, '<=', 2, '100 equal queries make two searches at most');
$gate->quit;

# ---- full

$node->safe_psql('postgres', q(LOAD 'vectorx'; ALTER SYSTEM SET vectorx.cache_size = '256kB'; SELECT pg_reload_conf()));
$node->safe_psql('postgres', q(SELECT pg_sleep(0.1)));
$node->safe_psql('postgres', q(DO $$ BEGIN FOR i IN 1..3000 LOOP PERFORM id FROM again ORDER BY v <-> ARRAY[i, 0, 1]::vector LIMIT 5; END LOOP; END $$));
is($node->safe_psql('postgres', q(SELECT sum(bytes) <= 256 * 1024, sum(bytes) > 100 * 1024, sum(evictions) > 1000 FROM vectorx_cache)),
	't|t|t', 'a flood of queries: it keeps within its size');
is($node->safe_psql('postgres', q(SELECT id FROM again ORDER BY v <-> '[40,0,0]' LIMIT 1)), '40', 'and is right');
$node->safe_psql('postgres', q(SELECT vectorx_cache_reset(); SELECT id FROM again ORDER BY v <-> '[40,0,0]' LIMIT 1; INSERT INTO again VALUES (9040, '[40,0,0]')));
is($node->safe_psql('postgres', q(SELECT count(*) FROM (SELECT id FROM again ORDER BY v <-> '[40,0,0]' LIMIT 2) s WHERE id IN (40, 9040);
	SELECT merges FROM vectorx_cache WHERE index = 'again_v'::regclass; DELETE FROM again WHERE id = 9040)),
	"2\n1", 'without room for vectors of what is written, that is read');
$node->safe_psql('postgres', q(LOAD 'vectorx'; ALTER SYSTEM SET vectorx.cache_size = 0; SELECT pg_reload_conf(); SELECT pg_sleep(0.1)));
is($node->safe_psql('postgres', "SELECT vectorx_cache_reset(); $ten; SELECT count(*) FROM vectorx_cache"),
	"\n5000 5001 12 14 15 16 17 18 19 20\n0", 'of no size: there is none');
$node->safe_psql('postgres', q(LOAD 'vectorx'; ALTER SYSTEM RESET vectorx.cache_size; SELECT pg_reload_conf(); SELECT pg_sleep(0.1)));

# ---- writers that cannot attach it

$reader = $node->background_psql('postgres');
is($reader->query_safe($ten), '5000 5001 12 14 15 16 17 18 19 20', 'an entry') for 1 .. 2;
# others that were there for a moment have gone
@area = grep { -e } @area;
chmod(0000, @area) == @area or die "chmod: $!";
my ($out, $err) = ('', '');
$node->psql('postgres', q(INSERT INTO again VALUES (7000, '[5,0,0]')), stderr => \$err);
is($err, '', 'a session that cannot attach inserts');
is($reader->query_safe($ten) =~ /7000/, 1, 'and its row is found by one that has');
is($node->safe_psql('postgres', $ten) =~ /7000/, 1, 'searches do without');
$node->psql('postgres', q(DELETE FROM again WHERE id IN (5000, 7000); VACUUM again; INSERT INTO again VALUES (8000, '[800,0,0]'), (8001, '[801,0,0]')),
	stderr => \$err, on_error_stop => 1);
is($err, '', 'it deletes, and vacuums');
is($reader->query_safe($ten), '5001 12 14 15 16 17 18 19 20 21', 'what it vacuumed has gone');
chmod(0600, @area) == @area or die "chmod: $!";
$reader->quit;

# ---- a standby

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
is($standby->safe_psql('postgres', $ten), '5001 12 14 15 16 17 18 19 20 21', 'a standby searches') for 1 .. 2;
$node->safe_psql('postgres', q(INSERT INTO again VALUES (9000, '[5,0,0]')));
$node->wait_for_catchup('standby', 'replay', $node->lsn('insert'));
is($standby->safe_psql('postgres', $ten), '9000 5001 12 14 15 16 17 18 19 20', 'and finds what comes');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM vectorx_cache'), '0', 'it has no cache');

# with a staleness it has one, which may miss what comes, and no more
my $stale = qq(SET vectorx.cache_staleness = '1h'; $ten);
is($standby->safe_psql('postgres', $stale), '9000 5001 12 14 15 16 17 18 19 20', 'with a staleness it is used') for 1 .. 2;
$node->safe_psql('postgres', q(INSERT INTO again VALUES (9001, '[5,0.001,0]')));
$node->wait_for_catchup('standby', 'replay', $node->lsn('insert'));
is($standby->safe_psql('postgres', $stale), '9000 5001 12 14 15 16 17 18 19 20', 'for so long a row is missed');
like($standby->safe_psql('postgres', $ten), qr/\b9001\b/, 'which a search finds');
like($standby->safe_psql('postgres', "SET vectorx.cache_staleness = 1; $ten"), qr/\b9001\b/, 'and so does a shorter staleness');
# heap TIDs of deleted rows are given to rows that are far
my $tids = $node->safe_psql('postgres', q(SELECT string_agg(ctid::text, ' ' ORDER BY id) FROM again WHERE id IN (12, 14, 15, 16)));
$node->safe_psql('postgres', $_)
	for q(DELETE FROM again WHERE id IN (12, 14, 15, 16)), q(VACUUM again), q(INSERT INTO again SELECT 70000 + i, '[900,900,900]' FROM generate_series(1, 400) i);
my $taken = $node->safe_psql('postgres', q(SELECT string_agg(ctid::text, ' ' ORDER BY id) FROM again WHERE id > 70000));
ok((grep { index(" $taken ", " $_ ") >= 0 } split / /, $tids) > 0, 'heap TIDs are used again');
$node->wait_for_catchup('standby', 'replay', $node->lsn('insert'));
unlike($standby->safe_psql('postgres', $stale), qr/7\d{4}|\b12\b/, 'what a result named is not taken for what it was');
is(scalar(split / /, $standby->safe_psql('postgres', $stale)), 10, 'and there are rows enough');
ok($standby->safe_psql('postgres', 'SELECT hits FROM vectorx_cache') >= 4, 'the cache was asked');
$standby->promote;
my @told = split /\|/, $standby->safe_psql('postgres', 'SELECT hits, misses FROM vectorx_cache');
like($standby->safe_psql('postgres', $stale), qr/\b9001\b/, 'promoted, it finds what was missed');
like($standby->safe_psql('postgres', $ten), qr/\b9001\b/, 'again');
is($standby->safe_psql('postgres', 'SELECT hits, misses FROM vectorx_cache'), ($told[0] + 1) . "|" . ($told[1] + 1), 'and nothing of before is used');
$standby->stop;

log_is_clean($node, 'cannot happen');

# ---- who searches first is ended, or killed

SKIP:
{
	skip 'VX_WAIT_POINTS_LIBRARY names no library with wait points', 1 unless $library;
	foreach my $how ('cancel', 'terminate', 'kill')
	{
		my $sql = qq(SELECT id FROM again ORDER BY v <-> '[3,$was,1]' LIMIT 1) =~ s/\Q$was\E/length($how)/er;

		$gate = $node->background_psql('postgres');
		$gate->query_safe(q(SELECT pg_advisory_lock(77, hashtext('cache-search'))));
		my $first = session($node, q(LOAD 'vectorx'), q(SET vectorx.wait_point = 'cache-search'), $sql);
		ok($node->poll_query_until('postgres', q(SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid = 77)),
			"$how: the first one is searching");
		# waits for a tenth of a second at most, and searches then
		is($node->safe_psql('postgres', $sql) =~ /^\d+$/, 1, "$how: another does not wait for ever");
		my $pid = $node->safe_psql('postgres', q(SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid = 77));
		if ($how eq 'kill')
		{
			kill('KILL', $pid);
			wait_for_server($node);
		}
		else
		{
			$node->safe_psql('postgres', "SELECT pg_${how}_backend($pid)");
		}
		like(end_session($first), $how eq 'kill' ? qr/./ : qr/57014|57P01/, "$how: it has ended");
		eval { $gate->quit; };
		$node->safe_psql('postgres', 'SELECT vectorx_cache_reset()');
		is($node->safe_psql('postgres', $sql) =~ /^\d+$/, 1, "$how: the next one searches") for 1 .. 2;
		is($node->safe_psql('postgres', q(SELECT hits, misses, waits FROM vectorx_cache WHERE index = 'again_v'::regclass)), '1|1|0',
			"$how: and waits for nobody");
	}
}

$node->stop;
done_testing();
