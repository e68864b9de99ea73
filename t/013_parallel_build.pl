# CREATE INDEX by several processes.  Over real vectors its index finds what one
# made by a single process finds, for every metric; equal vectors are one node;
# statistics are set; also when maintenance_work_mem holds a part of the rows only,
# which a notice tells and hnsw_build_memory foretells.  Workers do take part where
# they can, and only there; the progress view tells what they do; locks hold others
# off; errors of workers reach the client.  Tables and indexes of many kinds, and
# CREATE INDEX CONCURRENTLY and REINDEX beside writers.
# VX_BUILD_ROWS: rows of the real vectors (default 3000).
# Builds are held where a test wants to look at them by gates, see VectorxTest.pm.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my $real = int($ENV{VX_BUILD_ROWS} || 3000);

# build.py says what is done with these.  Each set is looked for as in
# t/001_recall.pl.  beyond: numbers of workers with little memory.
my @parity = (
	{ name => 'words 100-d', set => 'words', dim => 100, rows => $real, queries => 1500, metrics => ['l2'], workers => [ 1, 2, 3 ], beyond => [ 0, 2 ] },
	{ name => 'words 100-d', set => 'words', dim => 100, rows => $real, queries => 1500, metrics => [ 'cosine', 'ip', 'l1' ], workers => [3] },
	{ name => 'words 100-d, m 8', set => 'words', dim => 100, rows => $real, queries => 1500, metrics => ['l2'],
		options => 'm = 8, ef_construction = 40', workers => [2] },
	{ name => 'minilm 384-d, m 24', set => 'minilm1536', dim => 384, rows => int($real / 2), queries => 1000, metrics => ['cosine'],
		options => 'm = 24, ef_construction = 100', workers => [2], beyond => [2] },
	{ name => 'minilm 1536-d', set => 'minilm1536', dim => 1536, rows => int($real / 3), queries => 600, metrics => ['l2'], workers => [3] },
);
# ef_search that tell builds apart, without two alike being 0.005 apart by chance
$_->{ef_search} = $_->{set} eq 'words' ? [ 20, 40 ] : [40] foreach @parity;

my $node = new_node('parallel_build', qq(
jit = off
maintenance_work_mem = '64MB'
shared_buffers = '128MB'
max_worker_processes = 12
max_parallel_workers = 12
max_parallel_workers_per_gather = 0
max_parallel_maintenance_workers = 4
dynamic_shared_memory_type = mmap
restart_after_crash = off
));
is(leftovers($node), '', 'nothing is left of nothing');

# ---- as good as one process's

my @present = sets_that_are_here(@parity);
run_python($node, 'build.py', \@present);
$node->safe_psql('postgres', 'DROP TABLE items, queries');
is(leftovers($node), '', 'nothing is left of these builds');

# ---- who takes part, and what the progress view tells

create_tables($node, ['v100']);
create_gates($node);
# Fails in a worker.
$node->safe_psql('postgres', q(
CREATE FUNCTION not_in_a_worker(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
	IF (SELECT backend_type FROM pg_stat_activity WHERE pid = pg_backend_pid()) = 'parallel worker' THEN
		RAISE 'this is a worker';
	END IF;
	RETURN v;
END $$;
-- What the session sees of builds while there is one of another session, each state once.
CREATE FUNCTION watch_build() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	now text;
	last text;
BEGIN
	LOOP
		PERFORM pg_stat_clear_snapshot();
		EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'builder');
		SELECT concat_ws('|', phase, blocks_total, blocks_done, tuples_total, tuples_done) INTO now FROM pg_stat_progress_create_index;
		IF now IS DISTINCT FROM last AND now IS NOT NULL THEN
			RETURN NEXT now;
			last := now;
		END IF;
	END LOOP;
END $$;
DROP INDEX v100_idx;
));
fill_tables($node, { v100 => 3000 });
$node->safe_psql('postgres', q(INSERT INTO v100 (v) SELECT NULL FROM generate_series(1, 100); ANALYZE v100));

my $gated = '((gated(v)::vector(100)) vector_l2_ops)';
my $workers_of_builder = q(SELECT count(*) FROM pg_stat_activity w JOIN pg_stat_activity l ON l.pid = w.leader_pid
	WHERE l.application_name = 'builder' AND w.backend_type = 'parallel worker');

# A build that is held at the gates by so many processes.
sub held_build
{
	my ($workers, $when, @sql) = @_;

	close_gates($node, 'leader', 'worker');
	my $builder = session($node, q(SET application_name = 'builder'), @sql);
	ok(wait_for_build($node, $builder, 1, $workers), "$when: leader and $workers workers read the table");
	is($node->safe_psql('postgres', $workers_of_builder), $workers, "$when: $workers workers");
	return $builder;
}

sub end_build
{
	my ($builder, $when) = @_;

	open_gates($node);
	is(end_session($builder), '', "$when: built");
}

foreach my $case (
	[ 2, 2, 'v100', "$gated" ],
	[ 3, 3, 'v100', "$gated" ],
	[ 0, 0, 'v100', "$gated" ],
	[ 3, 1, 'v100', "$gated", 'SET max_parallel_maintenance_workers = 1' ],
	[ 2, 0, 'v100', "$gated", 'SET max_parallel_maintenance_workers = 0' ])
{
	my ($option, $workers, $table, $columns, @settings) = @$case;
	my $when = "parallel_workers = $option" . (@settings ? ", $settings[0]" : '');

	$node->safe_psql('postgres', "ALTER TABLE v100 SET (parallel_workers = $option)");
	my $builder = held_build($workers, $when, @settings, "CREATE INDEX v100_idx ON $table USING hnsw $columns");

	is($node->safe_psql('postgres', q(SELECT count(*), count(*) FILTER (WHERE application_name = 'builder' AND backend_type = 'client backend')
		FROM pg_stat_progress_create_index JOIN pg_stat_activity USING (pid))), '1|1', "$when: the progress is the leader's");
	is($node->safe_psql('postgres', q(
SELECT phase, blocks_total = pg_relation_size('v100') / current_setting('block_size')::int, blocks_done <= blocks_total,
	tuples_done <= tuples_total, tuples_total BETWEEN 2500 AND 3500 FROM pg_stat_progress_create_index)),
		'building index: loading tuples|t|t|t|t', "$when: blocks and rows of the progress view");
	my $watcher = session($node, 'SELECT watch_build()');
	$node->poll_query_until('postgres', q(SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'SELECT watch_build%'));
	end_build($builder, $when);
	my (undef, $seen) = end_session($watcher);
	note("$when: phases seen: " . progress_is_right($seen, 3100, $when));
	is($node->safe_psql('postgres', q(SELECT live_nodes, heap_tids FROM hnsw_info('v100_idx'))), '3000|3000', "$when: the rows");
	is($node->safe_psql('postgres', q(SELECT * FROM hnsw_check('v100_idx'))), '', "$when: hnsw_check");
	$node->safe_psql('postgres', 'DROP INDEX v100_idx');
}
is(leftovers($node), '', 'nothing is left');

# the log says how many
foreach my $workers (0, 2)
{
	my (undef, undef, $err) = $node->psql('postgres', "ALTER TABLE v100 SET (parallel_workers = $workers);
		SET client_min_messages = debug1; CREATE INDEX v100_idx ON v100 USING hnsw (v vector_l2_ops); DROP INDEX v100_idx");

	is(join(' ', $err =~ /DEBUG: +using (\d+) parallel workers/g), $workers ? $workers : '', "parallel_workers = $workers: the log says so");
}

# without the option large tables have workers, and small ones none
$node->safe_psql('postgres', q(
ALTER TABLE v100 RESET (parallel_workers);
CREATE INDEX v100_idx ON v100 USING hnsw ((not_in_a_worker(v)::vector(100)) vector_l2_ops);
DROP INDEX v100_idx;
CREATE TABLE many (v vector(3));
INSERT INTO many SELECT array[i % 300, i / 300, i % 7] FROM generate_series(1, 12000) i;
ANALYZE many));
end_build(held_build(2, '12,000 rows', 'CREATE INDEX many_idx ON many USING hnsw ((gated(v)::vector(3)) vector_l2_ops) WITH (m = 8, ef_construction = 20)'),
	'12,000 rows');
is($node->safe_psql('postgres', q(SELECT live_nodes FROM hnsw_info('many_idx'))), '12000', '12,000 rows: nodes');
$node->safe_psql('postgres', 'DROP TABLE many');

# where there can be no worker
foreach my $case (
	[ 'a function that is not safe in workers', 'PARALLEL UNSAFE', 'v', 'id > 0' ],
	[ 'a function that is for leaders only', 'PARALLEL RESTRICTED', 'v', 'id > 0' ],
	[ 'a predicate that is not safe in workers', 'PARALLEL UNSAFE', 'p', 'id > 0' ],
	[ 'a temporary table', 'PARALLEL SAFE', 'v', 'id > 0', 'CREATE TEMP TABLE v100 AS TABLE public.v100; ALTER TABLE v100 SET (parallel_workers = 2)' ])
{
	my ($when, $properties, $where, $predicate, $before) = @$case;
	my $columns = $where eq 'v' ? '((careful(v)::vector(100)) vector_l2_ops)' : '(v vector_l2_ops)';
	my $function = $node->safe_psql('postgres', q(SELECT pg_get_functiondef('not_in_a_worker'::regproc)));

	$function =~ s/not_in_a_worker/careful/;
	$function =~ s/PARALLEL SAFE/$properties/;
	$predicate = 'careful(v) IS NOT NULL' if $where eq 'p';
	is($node->safe_psql('postgres', "$function; ALTER TABLE v100 SET (parallel_workers = 2); " . ($before // '')
			. "; CREATE INDEX careful_idx ON v100 USING hnsw $columns WHERE $predicate;
			SELECT count(*) FROM hnsw_check('careful_idx'); SELECT heap_tids FROM hnsw_info('careful_idx');
			DROP INDEX careful_idx"), "0\n3000", "$when: built by one process");
	$node->safe_psql('postgres', 'DROP FUNCTION careful');
}

# ---- locks

{
	$node->safe_psql('postgres', 'CREATE TABLE gone (id bigint, v vector(100)) WITH (parallel_workers = 2); INSERT INTO gone TABLE v100');
	my $builder = held_build(2, 'locks', "CREATE INDEX gone_idx ON gone USING hnsw $gated");
	foreach my $sql ('INSERT INTO gone TABLE v100', 'DROP TABLE gone', 'TRUNCATE gone', 'VACUUM gone')
	{
		is(states_of($node, "SET lock_timeout = 1; $sql"), '55P03', "$sql waits for a build");
	}
	is($node->safe_psql('postgres', 'SELECT count(*) FROM gone'), '3100', 'who reads the table does not wait');
	my $dropper = session($node, q(SET application_name = 'dropper'), 'DROP TABLE gone');
	$node->poll_query_until('postgres', q(SELECT count(*) = 1 FROM pg_locks JOIN pg_stat_activity USING (pid)
		WHERE NOT granted AND relation = 'gone'::regclass AND application_name = 'dropper')) or die 'DROP TABLE does not wait';
	end_build($builder, 'a table that is about to be dropped');
	is(end_session($dropper), '', 'DROP TABLE after the build');
	is(leftovers($node), '', 'nothing is left of the table');
}

# ---- errors of a row

$node->safe_psql('postgres', q(
CREATE FUNCTION of_two_sizes(v vector, id bigint) RETURNS vector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
	$$ SELECT CASE WHEN id = 1000000 THEN '[1,2,3]' ELSE v END $$;
CREATE FUNCTION gated(v vector, id bigint) RETURNS vector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT gated(v) $$;
INSERT INTO v100 (id, v) SELECT 1000000, array_agg(3e38::float4)::vector FROM generate_series(1, 100)));
foreach my $case (
	[ 'a vector that is too long', 'gated(v)::vector(100)' ],
	[ 'a vector of other dimensions', 'gated(of_two_sizes(v, id))::vector(100)' ],
	[ 'a function that fails', 'gated(CASE WHEN 10 / (1000000 - id) IS NULL THEN NULL ELSE v END)::vector(100)' ])
{
	my ($when, $expression) = @$case;
	my $create = "CREATE INDEX v100_idx ON v100 USING hnsw (($expression) vector_l2_ops)";
	my %state;

	foreach my $workers (0, 2)
	{
		$node->safe_psql('postgres', "ALTER TABLE v100 SET (parallel_workers = $workers)");
		# the workers alone read it
		close_gates($node, 'leader') if $workers;
		my $error = end_session(session($node, q(SET application_name = 'builder'), $create));
		open_gates($node);
		($state{$workers}) = $error =~ /ERROR: +(\w{5}):/;
		isnt($state{$workers} // '', '', "$when, $workers workers: an error") or diag($error);
		like($error, qr/CONTEXT: .*parallel worker/s, "$when: raised in a worker") if $workers;
		is($node->safe_psql('postgres', q(SELECT to_regclass('v100_idx') IS NULL)), 't', "$when, $workers workers: no index");
		is(leftovers($node), '', "$when, $workers workers: nothing is left");
	}
	is($state{2}, $state{0}, "$when: the same SQLSTATE");
}
$node->safe_psql('postgres', 'DELETE FROM v100 WHERE id = 1000000; DROP TABLE v100');

# ---- many kinds of tables and indexes

# dup: equal vectors are taken in hand by all at the same time
my %rows = (v3 => 1500, l1 => 800, dup => 4000, cos => 500, side => 150, half => 800, bit => 800, sparse => 600);
my @names = sort keys %rows;
my %made = map { $_ => "CREATE INDEX ${_}_idx ON $_ USING hnsw (v $kinds{$_}->{opclass})" } @names;
create_tables($node, \@names);
$node->safe_psql('postgres', "DROP INDEX ${_}_idx; ALTER TABLE $_ SET (parallel_workers = 3)") foreach @names;
fill_tables($node, \%rows);
foreach my $name (@names)
{
	$node->safe_psql('postgres', "INSERT INTO $name (v) SELECT v FROM $name ORDER BY id LIMIT 20; $made{$name}");
	built_is_sound($node, $name, 'built by several');
	is($node->safe_psql('postgres', "SELECT heap_tids, live_nodes = (SELECT count(DISTINCT v) FROM $name) FROM hnsw_info('${name}_idx')"),
		($rows{$name} + 20) . '|t', "$name: one node for each vector");
	# and by inserts after it
	fill_tables($node, { $name => 30 });
	$node->safe_psql('postgres', "DELETE FROM $name WHERE id % 5 = 0; VACUUM (INDEX_CLEANUP on) $name");
	built_is_sound($node, $name, 'written to after it');
}

# few rows, and none that can be indexed
$node->safe_psql('postgres', 'CREATE TABLE few (id serial, v vector(100)) WITH (parallel_workers = 2)');
foreach my $n (0, 1, 2, 10)
{
	foreach my $opclass ('vector_l2_ops', 'vector_cosine_ops')
	{
		$node->safe_psql('postgres', qq(TRUNCATE few; INSERT INTO few (v) SELECT clustered(100) FROM generate_series(1, $n);
			INSERT INTO few (v) VALUES (NULL), (array_fill(0, ARRAY[100])::vector);
			DROP INDEX IF EXISTS few_idx; CREATE INDEX few_idx ON few USING hnsw (v $opclass)));
		my $indexed = $n + ($opclass =~ /l2/ ? 1 : 0);
		my $op = $opclass =~ /l2/ ? '<->' : '<=>';

		is($node->safe_psql('postgres', "SELECT count(*) FROM hnsw_check('few_idx')"), '0', "$n rows, $opclass: hnsw_check");
		is($node->safe_psql('postgres', "SELECT heap_tids FROM hnsw_info('few_idx'); SELECT reltuples FROM pg_class WHERE relname = 'few_idx'"),
			"$indexed\n$indexed", "$n rows, $opclass: $indexed are indexed");
		$node->safe_psql('postgres', 'INSERT INTO few (v) SELECT clustered(100) FROM generate_series(1, 5)');
		is($node->safe_psql('postgres', "SET enable_seqscan = off; SET enable_sort = off; SELECT count(*) FROM (SELECT id FROM few ORDER BY v $op (SELECT clustered(100))) s"),
			$indexed + 5, "$n rows, $opclass: found, with 5 that are inserted");
	}
}

# parts of a table, expressions, partitions, an unlogged table
$node->safe_psql('postgres', q(
CREATE TABLE parts (id int, v vector(16)) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (1000) WITH (parallel_workers = 2);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (1000) TO (3000) WITH (parallel_workers = 2);
INSERT INTO parts SELECT i, clustered(16) FROM generate_series(0, 2999) i;
CREATE INDEX parts_idx ON parts USING hnsw (v vector_l2_ops);
CREATE UNLOGGED TABLE unlogged (id int, v vector(16)) WITH (parallel_workers = 2);
INSERT INTO unlogged TABLE parts;
CREATE INDEX unlogged_idx ON unlogged USING hnsw (v vector_l2_ops);
CREATE INDEX some_idx ON unlogged USING hnsw (v vector_l2_ops) WHERE id % 3 = 0;
CREATE INDEX twice_idx ON unlogged USING hnsw (((v + v)::vector(16)) vector_cosine_ops) WHERE id < 500;
));
foreach my $case ([ 'parts_1_v_idx', 1000 ], [ 'parts_2_v_idx', 2000 ], [ 'unlogged_idx', 3000 ], [ 'some_idx', 1000 ], [ 'twice_idx', 500 ])
{
	my ($index, $count) = @$case;

	is($node->safe_psql('postgres', "SELECT count(*) FROM hnsw_check('$index')"), '0', "$index: hnsw_check");
	is($node->safe_psql('postgres', "SELECT heap_tids FROM hnsw_info('$index')
		UNION ALL SELECT reltuples::bigint FROM pg_class WHERE oid = '$index'::regclass"), "$count\n$count", "$index: its rows");
}
# from 18 on the server leaves that alone where autovacuum is off
is($node->safe_psql('postgres', "SELECT reltuples FROM pg_class WHERE relname = 'unlogged'"), $node->pg_version >= 18 ? '-1' : '3000',
	'a build over a part of the rows tells how many the table has');
is($node->safe_psql('postgres', q(SET enable_seqscan = off; SET enable_sort = off; SET hnsw.ef_search = 4000;
	SELECT count(DISTINCT id), count(*) FROM (SELECT id FROM parts ORDER BY v <-> (SELECT clustered(16))) s)), '3000|3000', 'partitions: each row once');
is($node->safe_psql('postgres', q(SET enable_seqscan = off; SET enable_sort = off; SET hnsw.ef_search = 4000;
	SELECT count(DISTINCT id), count(*) FROM (SELECT id FROM unlogged WHERE id % 3 = 0 ORDER BY v <-> (SELECT clustered(16))) s)), '1000|1000', 'a part of the rows: each once');
is(leftovers($node), '', 'nothing is left');

# ---- concurrently, and built again, beside writers

foreach my $name ('v3', 'dup')
{
	my @scripts = write_scripts($node, $name, insert => 6, batch => 2, update => 6, delete => 2, abort => 1, vacuum => 1);

	$node->safe_psql('postgres', "ALTER TABLE $name SET (parallel_workers = 2)");
	my $run = start_pgbench($node, 2, 600, @scripts);
	foreach my $sql (
		"CREATE INDEX CONCURRENTLY ${name}_new ON $name USING hnsw (v $kinds{$name}->{opclass})",
		"DROP INDEX CONCURRENTLY ${name}_idx", "ALTER INDEX ${name}_new RENAME TO ${name}_idx",
		"REINDEX INDEX CONCURRENTLY ${name}_idx", "REINDEX INDEX ${name}_idx",
		"REINDEX TABLE CONCURRENTLY $name", "REINDEX TABLE $name",
		"SET maintenance_work_mem = '1MB'; REINDEX INDEX ${name}_idx")
	{
		my $before = $node->safe_psql('postgres', "SELECT last_value FROM ${name}_id_seq");
		is(states_of($node, $sql), '', "$sql beside writers");
		$node->poll_query_until('postgres', "SELECT last_value > $before FROM ${name}_id_seq") or die 'nobody writes';
	}
	$run->{h}->signal('TERM');
	eval { $run->{h}->finish; };
	unlike(${ $run->{err} }, qr/ERROR|FATAL|PANIC|aborted/, "$name: no writer met an error") or diag(${ $run->{err} });
	$node->poll_query_until('postgres', q(SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgbench')) or die 'writers do not end';
	is($node->safe_psql('postgres', "SELECT indexrelid::regclass FROM pg_index WHERE indrelid = '$name'::regclass AND (NOT indisvalid OR indexrelid::regclass::text ~ '_cc')"),
		'', "$name: no index that is not valid");
	index_is_sound($node, $name, 'built beside writers', 500);
	recall_of($node, $name, 0.95, 'built beside writers') unless $name eq 'dup';
	is(leftovers($node), '', "$name: nothing is left");
}

# ---- how much memory a build needs

foreach my $case ([ 3, 16, 64, 9000 ], [ 100, 16, 64, 2500 ], [ 100, 40, 128, 1500 ], [ 384, 8, 200, 2500 ], [ 1536, 16, 64, 800 ])
{
	my ($dim, $m, $ef, $n) = @$case;
	my $when = "$n rows of $dim dimensions, m $m, ef_construction $ef";

	$node->safe_psql('postgres', "DROP TABLE IF EXISTS sized; CREATE TABLE sized (v vector($dim));
		INSERT INTO sized SELECT clustered($dim) FROM generate_series(1, $n); ANALYZE sized");
	foreach my $workers (0, 2)
	{
		my $bytes = $node->safe_psql('postgres', "SELECT hnsw_build_memory($n, $dim, $m, $ef, workers => $workers)");

		cmp_ok($bytes, '>', 2 * 1024 * 1024, "$when, $workers workers: $bytes bytes are well above the least memory there is");
		foreach my $part (0.95, 1.05)
		{
			my $kb = int($bytes * $part / 1024);
			my (undef, undef, $err) = $node->psql('postgres', "ALTER TABLE sized SET (parallel_workers = $workers); SET maintenance_work_mem = $kb;
				CREATE INDEX sized_idx ON sized USING hnsw (v vector_l2_ops) WITH (m = $m, ef_construction = $ef)");
			my ($fitted) = $err =~ /NOTICE: +hnsw graph no longer fits into maintenance_work_mem after (\d+) tuples/;

			if ($part < 1)
			{
				ok(defined $fitted, "$when, $workers workers: $kb kB are too little") or diag($err);
				cmp_ok($fitted // 0, '>', $n * 0.85, "$when, $workers workers: but nearly enough");
				my ($hint) = $err =~ /HINT: .*?(\d+) ?MB/;
				cmp_ok(abs(($hint // 0) - $bytes / 1024 / 1024), '<=', 1 + 0.05 * $bytes / 1024 / 1024, "$when, $workers workers: the hint agrees");
			}
			else
			{
				is($err, '', "$when, $workers workers: $kb kB are enough");
			}
			is($node->safe_psql('postgres', q(SELECT count(*) FROM hnsw_check('sized_idx'); SELECT heap_tids FROM hnsw_info('sized_idx'); DROP INDEX sized_idx)),
				"0\n$n", "$when, $workers workers, $kb kB: sound");
		}
	}
}

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|XX002|invalid page|Segmentation|signal 11|signal 6|is damaged/, 'the server log is clean');
done_testing();
