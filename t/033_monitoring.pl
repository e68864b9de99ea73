# What docs/monitoring.md tells, where it wants several sessions, roles or a restart: recall is not measured by a
# plan of the index, can be cancelled, and is that of its snapshot while others write; pages stay in the cache that
# hnsw_prewarm has read; on a standby, too; the log tells of phases, pg_stat_activity of what is waited for;
# scripts/doctor says what is wrong, and nothing when nothing is.
use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use Cwd qw(abs_path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my $root = abs_path(dirname(__FILE__) . '/..');
my $doctor = "$root/scripts/doctor";
# of the server's own extensions, which not every package of it has
chomp(my $libraries = qx("@{[ $ENV{PG_CONFIG} || 'pg_config' ]}" --pkglibdir));
my %has = map { $_ => -e "$libraries/$_.so" } qw(pg_stat_statements pg_buffercache);
my $node = new_node('monitoring', q(
jit = off
max_parallel_maintenance_workers = 0
shared_buffers = 64MB
maintenance_work_mem = 64MB
) . ($has{pg_stat_statements} ? "shared_preload_libraries = 'pg_stat_statements'\n" : ''), allows_streaming => 1, damaged => 1);

sub sql { return $node->safe_psql('postgres', join(';', @_)); }

sql(q(CREATE EXTENSION vectorx), q(SELECT setseed(0.5)),
	q(CREATE TABLE items (id int, v vector(24)) WITH (autovacuum_enabled = off)),
	q(INSERT INTO items SELECT i, ARRAY(SELECT random() - 0.5 FROM generate_series(1, 24) WHERE i > 0)::real[] FROM generate_series(1, 12000) i),
	q(CREATE INDEX items_v ON items USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 10)), q(VACUUM ANALYZE items));

# ---- recall

my $measured = q(SELECT recall FROM hnsw_recall('items_v', 200));
my ($little, $more) = map { sql("SET hnsw.ef_search = $_", 'SET hnsw.iterative_scan = off', $measured) } 10, 300;
cmp_ok($little, '<', 0.9, "with little effort recall is low: $little");
cmp_ok($more, '>', $little + 0.05, "and higher with more: $more");

# a statement that is prepared keeps its plan, and so compares the index with itself; this does not
my $same = sql('SET plan_cache_mode = force_generic_plan', 'SET hnsw.ef_search = 10', 'SET hnsw.iterative_scan = off', "PREPARE measured AS $measured",
	'EXECUTE measured', 'SET enable_seqscan = off', 'EXECUTE measured', 'SET enable_indexscan = off', 'EXECUTE measured');
cmp_ok($_, '<', 0.9, "whatever plans may have: $_") foreach split /\n/, $same;

# its bounds have the recall of all rows between them about as often as they should: 95 of 100, at least 85 here
my $all = sql('SET hnsw.ef_search = 20', q(SELECT recall FROM hnsw_recall('items_v', 6000)));
my $within = sql('SET hnsw.ef_search = 20', qq(SELECT count(*) FILTER (WHERE $all BETWEEN lower AND upper) FROM generate_series(1, 40) i, LATERAL hnsw_recall('items_v', 50 + 0 * i)));
cmp_ok($within, '>=', 34, "40 measurements by 50 rows: the recall of 6,000 is between the bounds of $within");

my ($out, $err) = ('', '');
$node->psql('postgres', q(SET statement_timeout = 100; SELECT * FROM hnsw_recall('items_v', 10000)), stderr => \$err);
like($err, qr/canceling statement due to statement timeout/, 'it is cancelled');

# others write, merge and vacuum meanwhile
my $writer = session($node, q(DO $$ BEGIN FOR i IN 1..300 LOOP
	INSERT INTO items SELECT 100000 + i, ARRAY(SELECT random() - 0.5 FROM generate_series(1, 24) WHERE i > 0)::real[];
	DELETE FROM items WHERE id = i * 7;
	COMMIT;
END LOOP; END $$), q(VACUUM items), q(SELECT hnsw_merge('items_v')));
my $meanwhile = sql('SET hnsw.ef_search = 12000', q(SELECT min(recall), max(sample) FROM generate_series(1, 10) i, LATERAL hnsw_recall('items_v', 20 + 0 * i)));
is($meanwhile, '1|20', 'while others write, an exhaustive search misses no row of the snapshot');
is(end_session($writer), '', 'and others do write');
sql('VACUUM items');	# now that no snapshot is in its way
is(sql(q(SELECT dead_rows, stale_links, pending_rows FROM hnsw_info('items_v'))), '0|0|0', 'which VACUUM and a merge leave nothing of');
sql('DELETE FROM items WHERE id % 2 = 0');

# what an old snapshot sees is not dead
my $old = $node->background_psql('postgres');
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM items');
sql('DELETE FROM items WHERE id % 3 = 0');
my $dead = sql(q(SELECT dead_rows FROM hnsw_info('items_v')));
$old->query_safe('COMMIT');
$old->quit;
my $later = sql(q(SELECT dead_rows FROM hnsw_info('items_v')));
cmp_ok($dead, '>', 5000, "$dead rows are dead to all");
cmp_ok($later, '>', $dead + 1500, "$later when the old snapshot has gone");

# ---- a restart

my $pages = sql(q(SELECT pg_relation_size('items_v') / current_setting('block_size')::int));
$node->restart;
my $cached = q(SELECT count(*) FROM pg_buffercache b WHERE relfilenode = pg_relation_filenode('items_v') AND relforknumber = 0);
sql('CREATE EXTENSION pg_buffercache') if $has{pg_buffercache};
is(sql($cached), 0, 'after a restart nothing of an index is cached') if $has{pg_buffercache};
is(sql(q(SELECT hnsw_prewarm('items_v'))), $pages, 'all of it is read');
SKIP:
{
	skip('the server has no pg_buffercache', 1) if !$has{pg_buffercache};
	is(sql($cached), $pages, 'and stays');
}
# too large: what all searches need is there
$node->append_conf('postgresql.conf', 'shared_buffers = 1MB');
$node->restart;
is(sql(q(SELECT hnsw_prewarm('items_v'))), 96, 'three quarters of the buffers');
cmp_ok($pages, '>', 96, 'of more pages');
$node->append_conf('postgresql.conf', 'shared_buffers = 64MB');
$node->restart;

# ---- a standby

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('monitoring_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q(SELECT hnsw_prewarm('items_v'))), $pages, 'on a standby an index is read');
is($standby->safe_psql('postgres', q(SET hnsw.ef_search = 10000; SELECT recall, sample FROM hnsw_recall('items_v', 20))), '1|20', 'its recall measured');
is($standby->safe_psql('postgres', q(SELECT dead_rows FROM hnsw_info('items_v'))), $later, 'and what is dead told');

# ---- the log, and what is waited for

sub told
{
	my ($level, @sql) = @_;
	my $told = '';

	$node->psql('postgres', join(';', "SET client_min_messages = $level", @sql), stderr => \$told);
	return join("\n", $told =~ /DEBUG:  (index "logged_v": .*|using \d+ parallel workers)/g);
}

my $logged = 'CREATE TABLE logged AS SELECT id, v::vector(24) FROM items';
my $rows = sql('SELECT count(*) FROM items');
my @phases = ("index \"logged_v\": $rows rows read", qr/index "logged_v": \d+ nodes linked and written/, qr/index "logged_v": \d+ rows inserted one by one/,
	qr/index "logged_v": \d+ queries have told how far searches go for a recall/, qr/index "logged_v": \d+ pages logged/);
my $phases = join("\n", map { ref($_) ? $_ : quotemeta } @phases);
like(told('debug1', $logged, 'CREATE INDEX logged_v ON logged USING hnsw (v vector_l2_ops)'), qr/^$phases$/, 'DEBUG1 has the phases of a build');
is(told('notice', 'REINDEX INDEX logged_v'), '', 'and NOTICE none');
sql('INSERT INTO logged SELECT * FROM items LIMIT 50');
like(told('debug1', q(SELECT hnsw_merge('logged_v'))), qr/^index "logged_v": \d+ pending rows of \d+ pages merged$/, 'a merge');
sql('DELETE FROM logged WHERE id % 5 = 0');
like(told('debug2', 'VACUUM logged'), qr/dead rows taken out\n.*records without rows\n.*lists repaired\n.*nodes freed/, 'DEBUG2 those of VACUUM');
sql('ALTER INDEX logged_v SET (pending_limit = 100)', q(SET hnsw.write_profile = latency), 'INSERT INTO logged SELECT * FROM items WHERE id % 2 = 1 LIMIT 90');
my $event = $node->pg_version >= 17 ? 'VectorxMergerMain' : 'Extension';
ok($node->poll_query_until('postgres', qq(SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'vectorx merger' AND wait_event_type = 'Extension' AND wait_event = '$event')),
	"the worker that merges waits for $event");
sql('DROP TABLE logged');

# ---- the doctor

sub doctor
{
	my ($status, $what, $patterns, @args) = @_;
	my ($out, $err) = ('', '');
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;

	IPC::Run::run([ $doctor, @args ], '>', \$out, '2>', \$err);
	is($? >> 8, $status, "doctor: $what") or diag("$out$err");
	like("$out$err", $_, "$what: $_") foreach @$patterns;
	return $out;
}

sql('CREATE EXTENSION pg_stat_statements') if $has{pg_stat_statements};
sql('VACUUM ANALYZE items', 'ALTER INDEX items_v SET (m = 16, ef_construction = 64)', 'REINDEX INDEX items_v');
my $found = doctor(0, 'nothing to change', [ qr/nothing to change/, qr/note: recall: public\.items_v: recall\@10 is /, qr/1 indexes/ ], '--recall', '0.5', 'postgres');
unlike($found, qr/^advice/m, 'and no advice');
doctor(0, 'a connection string', [ qr/nothing to change/ ], '--recall', '0.5', '--quiet', 'dbname=postgres application_name=doctor');
is(sql(q(SELECT scans, searches FROM pg_stat_vectorx_indexes WHERE indexrelname = 'items_v')), '0|0', 'its measurements are no use of an index');
doctor(1, 'recall', [ qr/advice: recall: public\.items_v: .* with hnsw\.ef_search = 5, and is to be 0\.9\n +SET hnsw\.ef_search = \d+; gives (0\.9|1\.0)/ ],
	'--recall', '0.9', "dbname=postgres options='-c hnsw.ef_search=5 -c hnsw.iterative_scan=off'");
# in sessions that do not know the settings yet
sql("ALTER DATABASE postgres SET $_") foreach 'hnsw.ef_serch = 7', 'hnsw.max_scan_tuples = 0', 'enable_indexscan = off';
sql('DELETE FROM items WHERE id < 6000', 'CREATE INDEX items_w ON items USING hnsw (v vector_l2_ops)',
	'CREATE TABLE open AS SELECT v::vector FROM items, generate_series(1, 12)', 'ANALYZE open');
sql(q(SET enable_indexscan = on; SET enable_seqscan = off; SELECT id FROM items ORDER BY v <-> '[1,2,3,4,5,6,7,8,9,10,11,12,1,2,3,4,5,6,7,8,9,10,11,12]' LIMIT 1));
sql(q(SELECT count(*) FROM (SELECT id FROM items ORDER BY v <=> (SELECT v FROM items LIMIT 1) LIMIT 3) s),
	q(SELECT count(*) FROM (SELECT id FROM items ORDER BY cosine_distance(v, (SELECT v FROM items LIMIT 1)) LIMIT 3) s));
my $wrong = doctor(1, 'much to change', [
	qr/settings: this session: enable_indexscan is off \(database\)/,
	qr/settings: DATABASE postgres: there is no setting hnsw\.ef_serch\n +ALTER DATABASE postgres RESET hnsw\.ef_serch;/,
	qr/settings: DATABASE postgres: hnsw\.max_scan_tuples = 0: 0 is outside the valid range/,
	qr/dimensions: public\.open \(v\)/,
	$has{pg_stat_statements} ? (qr/operators: public\.items: 1 queries order by <=>, and its indexes are for <->/,
		qr/operators: public\.items: 1 queries order by a function instead of its operator/) : qr/note: operators: this database: has no pg_stat_statements/,
	qr/duplicate: public\.items_w: does what public\.items_v does/,
	qr/dead: public\.items_v: /,
	qr/memory: public\.items_v: /,
	qr/\d+ to change/ ], 'dbname=postgres options=-cmaintenance_work_mem=1MB');
is(sql(q(SELECT count(*) FROM items)) > 0, 1, 'nothing has been changed');
sql('ALTER DATABASE postgres RESET ALL', 'DROP INDEX items_w', 'DROP TABLE open', 'VACUUM ANALYZE items');
sql('SELECT pg_stat_statements_reset()') if $has{pg_stat_statements};
doctor(0, 'all mended', [ qr/nothing to change/ ], '--sample', '0', 'postgres');

# an index that is left over of one that failed; roles that may read, or monitor, only
$node->psql('postgres', q(CREATE INDEX CONCURRENTLY items_bad ON items USING hnsw ((CASE WHEN id > 0 THEN ('[' || id || ',1]')::vector(2) END) vector_l2_ops) WHERE 1 / (id - 11999) < 5));
doctor(1, 'an invalid index', [ qr/invalid: public\.items_bad: / ], '--sample', '0', 'postgres');
sql('DROP INDEX items_bad', 'CREATE ROLE watcher LOGIN', 'GRANT pg_monitor TO watcher', 'CREATE ROLE reader LOGIN', 'GRANT SELECT ON items TO reader', 'CREATE ROLE nobody LOGIN');
doctor(0, 'who monitors is told of contents', [ qr/note: recall: public\.items_v: not looked at: permission denied/ ], 'dbname=postgres user=watcher');
doctor(0, 'who reads is told all of a table', [ qr/note: recall: public\.items_v: recall/ ], '--recall', '0.5', 'dbname=postgres user=reader');
doctor(0, 'others are told that they are not', [ qr/note: contents: public\.items_v: not looked at: permission denied/ ], 'dbname=postgres user=nobody');
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE items');
doctor(0, 'a table that is locked', [ qr/note: contents: public\.items_v: not looked at: canceling statement due to lock timeout/, qr/1 indexes; nothing to change/ ], '--timeout', '10', 'postgres');
$locker->query_safe('COMMIT');
$locker->quit;
sql('INSERT INTO items SELECT 200000 + i, ARRAY(SELECT random() - 0.5 FROM generate_series(1, 24) WHERE i > 0)::real[] FROM generate_series(1, 20000) i', 'VACUUM ANALYZE items');
doctor(0, 'a measurement that takes too long', [ qr/note: recall: public\.items_v: not looked at: canceling statement due to statement timeout\n +--timeout/ ],
	'--timeout', '1', '--sample', '10000', 'postgres');
# ---- what others have made

# names that psql would take for its commands, in a database where a backslash is an escape
my $owned = PostgreSQL::Test::Utils::tempdir() . '/owned';
my $evil = qq{"\\' in '');\n\\! touch $owned\n --"};
sql('CREATE DATABASE evil');
$node->safe_psql('evil', qq(CREATE SCHEMA "o'x"; CREATE EXTENSION vectorx SCHEMA "o'x"; SET search_path = public, "o'x";
	ALTER DATABASE evil SET standard_conforming_strings = off;
	CREATE TABLE $evil AS SELECT i, ARRAY[random(), random(), 1]::real[]::vector(3) AS v FROM generate_series(1, 2000) i; CREATE INDEX ON $evil USING hnsw (v vector_l2_ops)));
# a function which is called by who plans a query of its table, whichever index that takes
$node->safe_psql('evil', q(SET search_path = public, "o'x";
	CREATE FUNCTION p(int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM 1 / (1 - current_setting(''evil.on'', true)::int); RETURN true; END';
	CREATE TABLE good AS SELECT i, ARRAY[random(), random(), 1]::real[]::vector(3) AS v FROM generate_series(1, 12000) i;
	CREATE TABLE called_t AS TABLE good; CREATE INDEX called_v ON called_t USING hnsw (v vector_l2_ops); CREATE INDEX called_i ON called_t (i) WHERE p(5);
	CREATE INDEX good_v ON good USING hnsw (v vector_l2_ops); ANALYZE;
	CREATE FUNCTION "o'x".hnsw_info(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE ''hnsw_info(int)''; END';
	CREATE FUNCTION "o'x".hnsw_recall(regclass, int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE ''hnsw_recall(regclass, int)''; END'));
my $others = doctor(0, 'names and functions of others', [ qr/note: recall: public\."\\' in ''\);\\n\\! touch .*: recall\@10 is/, qr/note: recall: public\.good_v: recall/,
	qr/note: recall: public\.called_v: neither plan nor recall looked at: its table's indexes or statistics call functions/, qr/3 indexes; nothing/ ],
	'--check', "dbname=evil options='-c evil.on=1'");
unlike($others, qr/division by zero|hnsw_(info|recall)\(/, 'none is called');
ok(!-e $owned, 'and no command');
# a damaged page is advice, whoever meets it
my $file = $node->data_dir . '/' . $node->safe_psql('evil', q(CHECKPOINT; SELECT pg_relation_filepath('good_v')));
$node->stop;
open(my $page, '+<:raw', $file) or die $!;
seek($page, 24, 0);
print $page "\xff" x 400;
close $page;
$node->start;
doctor(1, 'a damaged index', [ qr/advice: damaged: public\.good_v: .*\n +REINDEX INDEX CONCURRENTLY public\.good_v;/, qr/3 indexes; 1 to change/ ], '--quiet', '--sample', '0', 'evil');
doctor(0, 'that is mended', [ qr/nothing to change/ ], '--quiet', '--sample', '0', 'evil') if $node->safe_psql('evil', 'REINDEX INDEX good_v; SELECT true');
# names that are no UTF-8
sql(q(CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0));
$node->safe_psql('ascii', q(CREATE EXTENSION vectorx; DO $$ BEGIN EXECUTE convert_from('\x435245415445205441424c452022e42220287620766563746f7228332929', 'SQL_ASCII');
	EXECUTE convert_from('\x43524541544520494e444558204f4e2022e422205553494e4720686e737720287620766563746f725f6c325f6f707329', 'SQL_ASCII'); END $$));
doctor(0, 'SQL_ASCII', [ qr/1 indexes; nothing to change/ ], 'ascii');
# statements
SKIP:
{
	skip('the server has no pg_stat_statements', 1) if !$has{pg_stat_statements};
	$node->safe_psql('evil', q(CREATE EXTENSION pg_stat_statements; CREATE TABLE "o'x".r (i int, v "o'x".vector(3), p point); CREATE INDEX r_v ON "o'x".r USING hnsw (v "o'x".vector_l2_ops)));
	my @session = (q(SET search_path = public, "o'x", pg_catalog), q(SELECT pg_stat_statements_reset()));
	my $q = q('[1,2,3]'::vector);
	my %told = (
		# names within others, types of others, operators elsewhere, another search around it
		'nothing' => [ 0, qr/nothing to change/, "SELECT i AS r FROM good ORDER BY v <-> $q LIMIT 1", q(SELECT 1 FROM r ORDER BY p <-> point '(1,2)' LIMIT 1), "SELECT v <=> $q FROM r ORDER BY i",
			"SELECT i FROM (SELECT i, v FROM r ORDER BY v <-> $q LIMIT 5) s ORDER BY v <=> $q LIMIT 1", "SELECT i, '\x{e2}\x{80}\x{a8}' AS \"\x{e2}\x{80}\x{a8}\x{c2}\x{85}\" FROM r ORDER BY r.v <-> $q" ],
		'another operator' => [ 1, qr/operators: "o'x"\.r: 2 queries order by <=>, and/, qq(select i from "o'x".R order by V <=> $q limit 1), qq(SELECT v <=> $q AS d FROM "r" x ORDER BY d) ],
		'another expression' => [ 1, qr/operators: "o'x"\.r: 1 queries order by <-> of an expression of v, /, q(SELECT i FROM r ORDER BY v::halfvec(3) <-> '[1,2,3]'::halfvec LIMIT 1) ],
		'1 -' => [ 1, qr/operators: "o'x"\.r: 1 queries order by an expression of a distance/, "SELECT i, 1 - (v <-> $q) AS s FROM r ORDER BY s DESC LIMIT 1" ],
		'DISTINCT' => [ 1, qr/operators: "o'x"\.r: 1 queries order by a distance, with DISTINCT/, "SELECT DISTINCT i, v <-> $q FROM r ORDER BY v <-> $q LIMIT 1" ],
		'DESC' => [ 1, qr/operators: "o'x"\.r: 1 queries order by a distance, DESC/, "SELECT i FROM r ORDER BY v <-> $q DESC LIMIT 1" ],
	);
	foreach my $what (sort keys %told)
	{
		my ($status, $pattern, @statements) = @{ $told{$what} };
		$node->safe_psql('evil', join(';', @session, @statements));
		doctor($status, "statements: $what", [ $pattern ], '--sample', '0', 'evil');
	}
	$node->safe_psql('evil', q(DROP EXTENSION pg_stat_statements; CREATE SCHEMA hidden; CREATE EXTENSION pg_stat_statements SCHEMA hidden));
	doctor(0, 'pg_stat_statements out of reach', [ qr/note: operators: this database: not looked at: permission denied for schema hidden/, qr/nothing to change/ ], 'dbname=evil user=nobody');
}
# settings that the server will not take
$node->safe_psql('evil', "ALTER DATABASE evil SET $_") foreach q(hnsw.target_recall = '1.5'), q(hnsw.ef_search = '1e6');
sql(q(ALTER ROLE watcher SET enable_indexscan = 'of'));
doctor(1, 'bad values', [ qr/hnsw\.target_recall = 1\.5: invalid value/, qr/hnsw\.ef_search = 1e6: 1000000 is outside/, qr/ROLE watcher: enable_indexscan is off/ ], '--sample', '0', 'evil');
sql('ALTER ROLE watcher RESET ALL', 'DROP DATABASE evil', 'DROP DATABASE ascii');
doctor(2, 'no such check', [ qr/invalid choice: 'recal'/ ], '--ignore', 'recal', 'postgres');
IPC::Run::run([ 'sh', '-c', '"$0" "$1" | true; echo done', $doctor, 'port=' . $node->port . ' host=' . $node->host . ' dbname=postgres' ], '>', \$out, '2>', \$err);
unlike($err, qr/Traceback/, 'whose output nobody reads');
# nothing to look at
doctor(2, 'no such database', [ qr/^doctor: .*nosuch/ ], 'nosuch');
doctor(2, 'no vectorx', [ qr/^doctor: the database has no extension of vectorx/ ], 'template1');
doctor(2, 'no such option', [ qr/usage: doctor/ ], '--sample', '-1', 'postgres');
doctor(0, 'help', [ qr/Exit status, for CI/, qr/--ignore/ ], '--help');
# standbys are looked at as well
{
	my ($out, $err) = ('', '');
	$node->wait_for_catchup($standby);
	IPC::Run::run([ $doctor, '--recall', '0.5', 'host=' . $standby->host . ' port=' . $standby->port . ' dbname=postgres' ], '>', \$out, '2>', \$err);
	like("$out$err", qr/nothing to change/, 'a standby');
}

$standby->stop;
$node->stop;
log_is_clean($node);

done_testing();
