# What administrators do, and what happens to servers: other tablespaces and
# names, SET UNLOGGED and LOGGED, VACUUM FULL, CLUSTER, dump and restore, a base
# backup brought to a point in time, a full table of locks, a full disk, cancels,
# tables dropped while they are in use, many indexes.  Little memory all the
# time.  Each ends with the right rows in a sound index, or with the right error
# and everything there that was committed.
# VX_SMALL_DISK: a folder of the server's user on a file system of its own, of
# some 48 MB, that can be filled up (scripts/test makes one).
# VX_MANY_INDEXES: how many indexes in one database (default 200).
use strict;
use warnings FATAL => 'all';

use File::Path qw(rmtree);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use VectorxTest;

my $many = $ENV{VX_MANY_INDEXES} || 200;
my $disk = $ENV{VX_SMALL_DISK};
my @names = qw(v100 dup cos side hashed);
my %rows = (v100 => 800, dup => 900, cos => 150, side => 40, hashed => 60);

my $conf = q(
restart_after_crash = off
work_mem = '64kB'
maintenance_work_mem = '1MB'
max_locks_per_transaction = 10
max_connections = 10
max_wal_size = '256MB'
);
my $node = new_node('operations', $conf, has_archiving => 1, allows_streaming => 1);
create_tables($node, \@names);
fill_tables($node, \%rows);
$node->safe_psql('postgres', "DELETE FROM $_ WHERE id % 7 = 0") foreach @names;

sub all_sound
{
	my ($when, $most) = @_;
	index_is_sound($node, $_, $when, $most // 40) foreach @names;
}

# Some rows come and some go.
sub change_all
{
	fill_tables($node, { map { $_ => 20 } @names });
	$node->safe_psql('postgres', "DELETE FROM $_ WHERE id IN (SELECT id FROM $_ ORDER BY hashtext(id::text) LIMIT 10)")
	  foreach @names;
}

sub crash
{
	$node->stop('immediate');
	$node->start;
}

# The rows of a table, in one number.
sub rows_of
{
	my ($in, $name, $db) = @_;
	return $in->safe_psql($db // 'postgres',
		"SELECT count(*) || ' ' || coalesce(sum(hashtext(id || ' ' || v)::bigint), 0) FROM $name");
}

# ---- names and tablespaces

my $folder = PostgreSQL::Test::Utils::tempdir();
$node->safe_psql('postgres', "CREATE TABLESPACE other LOCATION '$folder'");
foreach my $name (@names)
{
	$node->safe_psql('postgres', "ALTER INDEX ${name}_idx SET TABLESPACE other; ALTER INDEX ${name}_idx RENAME TO renamed");
	like($node->safe_psql('postgres', "SELECT pg_relation_filepath('renamed')"), qr/^pg_tblspc/, "$name: the index was moved");
	fill_tables($node, { $name => 20 });
	$node->safe_psql('postgres', "ALTER INDEX renamed RENAME TO ${name}_idx; ALTER TABLE $name SET TABLESPACE other");
}
all_sound('moved to another tablespace');
change_all();
crash();
all_sound('moved, changed, after a crash');
$node->safe_psql('postgres', "ALTER TABLE $_ SET TABLESPACE pg_default; ALTER INDEX ${_}_idx SET TABLESPACE pg_default") foreach @names;
change_all();
all_sound('moved back and changed');
$node->safe_psql('postgres', 'DROP TABLESPACE other');    # fails if a file is left in it

# ---- unlogged and logged

my %was;
foreach my $name (@names)
{
	$was{$name} = rows_of($node, $name);
	$node->safe_psql('postgres', "ALTER TABLE $name SET UNLOGGED");
	is(rows_of($node, $name), $was{$name}, "$name: the same rows unlogged");
}
change_all();
all_sound('unlogged');
$node->safe_psql('postgres', "ALTER TABLE $_ SET LOGGED") foreach @names;
$was{$_} = rows_of($node, $_) foreach @names;
crash();
is(rows_of($node, $_), $was{$_}, "$_: logged again, the rows outlive a crash") foreach @names;
all_sound('logged again, after a crash');

# an unlogged table is empty after a crash, its index that of ambuildempty
foreach my $name (@names)
{
	$node->safe_psql('postgres', qq(
CREATE UNLOGGED TABLE u_$name (LIKE $name INCLUDING ALL);
INSERT INTO u_$name SELECT * FROM $name;
CHECKPOINT));
}
crash();
foreach my $name (@names)
{
	my $index = $node->safe_psql('postgres', "SELECT indexrelid::regclass FROM pg_index i JOIN pg_class c ON c.oid = indexrelid "
		. "JOIN pg_am a ON a.oid = relam WHERE indrelid = 'u_$name'::regclass AND amname = 'hnsw'");
	my $op = $kinds{$name}->{op};

	is($node->safe_psql('postgres', "SELECT count(*) FROM u_$name"), '0', "u_$name is empty after a crash");
	is($node->safe_psql('postgres', "SELECT live_nodes, heap_tids FROM hnsw_info('$index')"), '0|0', "u_$name: so is its index");
	is($node->safe_psql('postgres', "SELECT * FROM hnsw_check('$index')"), '', "u_$name: which is sound");
	is($node->safe_psql('postgres', "SET enable_seqscan = off; SELECT count(*) FROM (SELECT id FROM u_$name ORDER BY v $op (SELECT v FROM $name LIMIT 1) LIMIT 5) s"),
		'0', "u_$name: and finds nothing");
	$node->safe_psql('postgres', "INSERT INTO u_$name SELECT * FROM $name");
	is($node->safe_psql('postgres', "SELECT * FROM hnsw_check('$index')"), '', "u_$name: sound when filled again");
	is($node->safe_psql('postgres', "SELECT not_once('u_$name', '$op')"), '0', "u_$name: each row is found once");
	$node->safe_psql('postgres', "DROP TABLE u_$name");
}

# ---- the table written anew

foreach my $how ('VACUUM FULL %1$s', 'CLUSTER %1$s USING %1$s_pkey', 'CREATE INDEX %1$s_k ON %1$s (hashtext(id::text)); CLUSTER %1$s USING %1$s_k; DROP INDEX %1$s_k')
{
	my $what = ($how =~ /VACUUM|CLUSTER/g)[0] . ($how =~ /_k/ ? ' by another order' : '');

	foreach my $name (@names)
	{
		my $before = rows_of($node, $name);
		# not in one transaction
		$node->safe_psql('postgres', sprintf("$_", $name)) foreach split(/; /, $how);
		is(rows_of($node, $name), $before, "$name: the same rows after $what");
	}
	change_all();
	all_sound("after $what and changes");
}
crash();
all_sound('written anew, after a crash');

# ---- dump and restore

$node->safe_psql('postgres', q(
CREATE INDEX v100_more ON v100 USING hnsw ((v + v)::vector(100) vector_cosine_ops)
	WITH (m = 8, ef_construction = 33, sketch_bits = 2, own_vector = fp16) WHERE id % 2 = 0;
) =~ s/\(v \+ v\)::vector\(100\)/((v + v)::vector(100))/r);
my $defs = q(SELECT pg_get_indexdef(indexrelid), m, ef_construction, sketch, i.own_vector, dimensions, metric
	FROM pg_index JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam, hnsw_info(indexrelid) AS i
	WHERE amname = 'hnsw' ORDER BY 1);
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
foreach my $format ('custom', 'plain')
{
	my @at = ('-h', $node->host, '-p', $node->port);

	$node->safe_psql('postgres', "CREATE DATABASE restored_$format");
	command_ok([ 'pg_dump', @at, '-F', $format, '-f', "$dump.$format", 'postgres' ], "pg_dump, $format");
	command_ok($format eq 'custom'
		? [ 'pg_restore', @at, '-e', '-d', "restored_$format", "$dump.$format" ]
		: [ 'psql', @at, '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', "restored_$format", '-f', "$dump.$format" ],
		"restored, $format");
	is($node->safe_psql("restored_$format", $defs), $node->safe_psql('postgres', $defs),
		"$format: the same indexes with the same options");
	foreach my $name (@names)
	{
		my $op = $kinds{$name}->{op};

		is(rows_of($node, $name, "restored_$format"), rows_of($node, $name), "$name, $format: the same rows");
		is($node->safe_psql("restored_$format", "SELECT * FROM hnsw_check('${name}_idx')"), '', "$name, $format: hnsw_check");
		is($node->safe_psql("restored_$format", "SELECT not_once('$name', '$op')"), '0', "$name, $format: each row is found once");
	}
	is($node->safe_psql("restored_$format", "SELECT * FROM hnsw_check('v100_more')"), '', "an index on an expression, $format: hnsw_check");
	$node->safe_psql('postgres', "DROP DATABASE restored_$format");
}
$node->safe_psql('postgres', 'DROP INDEX v100_more');

# ---- a base backup while clients write, brought to a point in time

my @runs = map { start_pgbench($node, 1, 60, write_scripts($node, $_, insert => 4, batch => 1, update => 4, delete => 2, vacuum => 1)) } @names;
$node->backup('backup');
$_->{h}->kill_kill foreach @runs;
finish_pgbench($_) foreach @runs;
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'client backend'")
  or die 'clients do not end';
change_all();
$was{$_} = rows_of($node, $_) foreach @names;
$node->safe_psql('postgres', "SELECT pg_create_restore_point('here')");
change_all();
$node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP on) $_; TRUNCATE dup") foreach ($names[0]);
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');

my $restored = PostgreSQL::Test::Cluster->new('restored');
$restored->init_from_backup($node, 'backup', has_restoring => 1, standby => 0);
$restored->append_conf('postgresql.conf', "recovery_target_name = 'here'\nrecovery_target_action = 'promote'\n");
$restored->start;
$restored->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'recovery does not end';
foreach my $name (@names)
{
	is(rows_of($restored, $name), $was{$name}, "$name: the rows of that point in time");
	index_is_sound($restored, $name, 'restored to a point in time', 100);
}
fill_tables($restored, { map { $_ => 30 } @names });
$restored->safe_psql('postgres', "VACUUM (INDEX_CLEANUP on) $_") foreach @names;
index_is_sound($restored, $_, 'restored, changed and vacuumed', 40) foreach @names;
$restored->stop;
fill_tables($node, { dup => 600 });

# ---- no lock to be had

$node->safe_psql('postgres', q(
CREATE FUNCTION take_all_locks() RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..1000000 LOOP
		PERFORM pg_advisory_lock(i);
	END LOOP;
	RETURN false;
EXCEPTION WHEN out_of_memory THEN
	RETURN true;
END $$));
$was{$_} = rows_of($node, $_) foreach @names;
foreach my $name (@names)
{
	my $more = "INSERT INTO $name (v) SELECT gen_$name() FROM generate_series(1, 3)";
	# the locks stay when the statement fails that takes them; it fails in a subtransaction
	my $take = 'DO $$ BEGIN FOR i IN 1..1000000 LOOP PERFORM pg_advisory_lock(i); END LOOP; END $$';

	is(states_of($node, "$take;\n$more;\nVACUUM (INDEX_CLEANUP on) $name;\nSELECT count(*) FROM hnsw_check('${name}_idx');\n"
		  . "CREATE INDEX ${name}_more ON $name USING hnsw (v $kinds{$name}->{opclass});\n"
		  . "SELECT pg_advisory_unlock_all();\n$more;\nDELETE FROM $name WHERE id > (SELECT max(id) - 3 FROM $name);\n"),
		'53200 53200 53200 53200 53200', "$name: without locks, nothing but errors, and with them all is well");
	is(rows_of($node, $name), $was{$name}, "$name: the rows after that");
}
all_sound('after a shortage of locks');

# ---- cancels

$node->safe_psql('postgres', 'DELETE FROM v100 WHERE id % 2 = 0');
my %stopped;
foreach my $case (
	[ 'VACUUM', 'VACUUM (INDEX_CLEANUP on) v100' ],
	[ 'INSERT', 'INSERT INTO v100 (id, v) SELECT -i, gen_v100() FROM generate_series(1, 400) i' ],
	[ 'a search', 'SELECT count(*) FROM v100 a, '
		  . 'LATERAL (SELECT id FROM v100 b ORDER BY b.v <-> a.v LIMIT 3) s' ])
{
	my ($what, $sql) = @$case;

	$stopped{$what} = 0;
	for (my $ms = 1;; $ms = 2 * $ms + 1)
	{
		# of the statement alone: on a busy machine even SET may take so long
		my $states = states_of($node, "SET enable_seqscan = off; SET hnsw.ef_search = 600; SET statement_timeout = $ms; $sql");

		last if $states eq '';
		$stopped{$what}++;
		is($states, '57014', "$what, cancelled after $ms ms");
		is($node->safe_psql('postgres', "SELECT * FROM hnsw_check('v100_idx') LIMIT 5"), '', "$what, cancelled after $ms ms: hnsw_check");
		is($node->safe_psql('postgres', 'SELECT count(*) FROM v100 WHERE id < 0'), '0', "$what, cancelled after $ms ms: no row of it");
	}
	cmp_ok($stopped{$what}, '>', 0, "$what was cancelled ($stopped{$what} times)");
	$node->safe_psql('postgres', 'DELETE FROM v100 WHERE id < 0');
	index_is_sound($node, 'v100', "after $what was cancelled and done", 100);
}
# and by another session, while a cursor is open
{
	my $s = session($node, q(BEGIN), q(SET LOCAL application_name = 'search'), q(SET LOCAL enable_seqscan = off),
		q(DECLARE c CURSOR FOR SELECT id FROM v100 ORDER BY v <-> (SELECT v FROM v100 LIMIT 1)), q(FETCH 5 FROM c),
		q(SELECT count(*) FROM generate_series(1, 1000000) i, LATERAL (SELECT id FROM v100 ORDER BY v <-> (SELECT v FROM v100 WHERE id > i % 5 LIMIT 1) LIMIT 1) n));
	$node->poll_query_until('postgres', q(SELECT count(pg_cancel_backend(pid)) > 0 FROM pg_stat_activity
		WHERE application_name = 'search' AND query LIKE 'SELECT count%' AND state = 'active'));
	like(end_session($s), qr/canceling statement due to user request/, 'a search, cancelled by another session');
	index_is_sound($node, 'v100', 'after a search was cancelled by another session', 20);
}

# ---- dropped while in use

foreach my $case (
	[ 'CREATE INDEX', 'CREATE INDEX gone_more ON gone USING hnsw (v vector_l2_ops)' ],
	[ 'a search', 'SET LOCAL enable_seqscan = off; SELECT id FROM gone ORDER BY v <-> (SELECT v FROM v100 LIMIT 1) LIMIT 1' ],
	[ 'INSERT', 'INSERT INTO gone SELECT id, v FROM v100 LIMIT 10' ])
{
	my ($what, $sql) = @$case;

	$node->safe_psql('postgres', q(
CREATE TABLE gone AS SELECT id, v FROM v100;
ALTER TABLE gone ALTER v TYPE vector(100);
CREATE INDEX gone_idx ON gone USING hnsw (v vector_l2_ops)));
	# it ends its transaction when it sees that "dropper" waits for it
	my $user = session($node, q(SET application_name = 'user'), 'BEGIN', $sql,
		q(DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
			WHERE NOT granted AND relation = 'gone'::regclass AND application_name = 'dropper') LOOP
			PERFORM pg_stat_clear_snapshot(), pg_sleep(0.01); END LOOP; END $$),
		'COMMIT');
	$node->poll_query_until('postgres', q(SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'user' AND query LIKE 'DO %'));
	is(states_of($node, q(SET lock_timeout = 1; DROP INDEX gone_idx)), '55P03', "DROP INDEX waits for $what");
	is(states_of($node, q(SET application_name = 'dropper'; DROP TABLE gone)), '', "DROP TABLE waits for $what, then drops");
	is(end_session($user), '', "$what does not notice");
	is(files_of_nothing($node), '', "no file is left of the table dropped after $what");
}

# ---- many indexes

$node->safe_psql('postgres', 'CREATE DATABASE many');
$node->safe_psql('many', qq(
CREATE EXTENSION vectorx;
DO \$\$
BEGIN
	FOR i IN 1..$many LOOP
		EXECUTE format('CREATE TABLE t%s (v vector(3))', i);
		EXECUTE format('CREATE INDEX i%s ON t%s USING hnsw (v vector_l2_ops)', i, i);
		COMMIT;
	END LOOP;
END \$\$));
# One session inserts into all and searches all, twice, with large lists.  What
# it keeps for indexes it does not use just now is bounded (32 MB, see index.c).
my $use = qq(
DO \$\$
DECLARE
	n int;
BEGIN
	FOR i IN 1..$many LOOP
		EXECUTE format('INSERT INTO t%s VALUES (''[1,2,3]''), (''[3,2,1]'')', i);
		EXECUTE format('SELECT count(*) FROM (SELECT FROM t%s ORDER BY v <-> ''[1,2,2]'' LIMIT 5) s', i) INTO n;
		IF n <> 2 * current_setting('vx.round')::int THEN
			RAISE EXCEPTION 't% has % rows', i, n;
		END IF;
		COMMIT;
	END LOOP;
END \$\$;
SELECT sum(total_bytes) || ' ' || sum(total_bytes) FILTER (WHERE name LIKE 'hnsw%')
	|| ' ' || count(*) FILTER (WHERE name LIKE 'hnsw%') FROM pg_backend_memory_contexts;
);
my ($first, $second) = split /\n/, $node->safe_psql('many',
	"SET enable_seqscan = off;\nSET hnsw.ef_search = 2000;\nSET vx.round = 1;\n$use\nSET vx.round = 2;\n$use");
my ($bytes1, $ours1, $handles1) = split / /, $first;
my ($bytes2, $ours2, $handles2) = split / /, $second;
note("a session that has used $many indexes has $bytes1 bytes, ours $ours1 ($handles1); used again $bytes2, ours $ours2 ($handles2)");
cmp_ok($handles1, '<', $many, "not every index's memory is kept after $many indexes were used");
cmp_ok($ours1, '<', 35_000_000, 'and it is little');
cmp_ok($ours2, '<', 35_000_000, 'also when they were used again');
my $problems = 0;
# few at a time: each is locked until the end of the transaction
for (my $i = 1; $i <= $many; $i += 100)
{
	$problems += $node->safe_psql('many', "SELECT count(*) FROM generate_series($i, least($i + 99, $many)) i, hnsw_check(('i' || i)::regclass)");
}
is($problems, 0, "$many indexes are sound");
$node->stop('immediate');
$node->start;
is($node->safe_psql('many', "SET enable_seqscan = off; SELECT count(*) FROM (SELECT FROM t$many ORDER BY v <-> '[1,2,2]' LIMIT 5) s"),
	'4', 'after a crash');
$node->safe_psql('postgres', 'DROP DATABASE many');

# ---- a full disk

SKIP:
{
	skip('full disks: there is no VX_SMALL_DISK', 1) unless defined $disk && -d $disk && -w $disk;

	my $v100 = 'CREATE INDEX v100_idx ON v100 USING hnsw (v vector_l2_ops) TABLESPACE small';

	mkdir "$disk/small" or die "$disk/small: $!";
	$node->safe_psql('postgres', "CREATE TABLESPACE small LOCATION '$disk/small'");
	fill_tables($node, { v100 => 2000 });
	$node->safe_psql('postgres', 'DROP INDEX v100_idx; CHECKPOINT');
	foreach my $memory ('64MB', '1MB')
	{
		foreach my $leave (65_536, 500_000, 2_000_000)
		{
			fill_disk($disk, $leave);
			is(states_of($node, "SET maintenance_work_mem = '$memory'; $v100"), '53100', "CREATE INDEX with $memory, $leave bytes left on the disk");
			is($node->safe_psql('postgres', q(SELECT to_regclass('v100_idx') IS NULL)), 't', 'no index is left');
			$node->safe_psql('postgres', 'CHECKPOINT');    # files go at the next checkpoint
			is(join(' ', grep { -f && -s } glob("$disk/small/*/*/*")), '', 'no file is left');
			free_disk($disk);
		}
		$node->safe_psql('postgres', "SET maintenance_work_mem = '$memory'; $v100");
		index_is_sound($node, 'v100', "made when the disk had room again, $memory", 50);
		$node->safe_psql('postgres', 'DROP INDEX v100_idx; CHECKPOINT');
	}

	# rows one by one, and several at a time, until there is no room
	$node->safe_psql('postgres', "$v100; ALTER INDEX dup_idx SET TABLESPACE small; ALTER INDEX side_idx SET TABLESPACE small; CHECKPOINT");
	my @here = qw(v100 dup side);
	fill_disk($disk, 400_000);
	foreach my $name (@here)
	{
		my ($kept, $state) = ($node->safe_psql('postgres', "SELECT count(*) FROM $name"), '');

		# the second time there is not even the room that the first left
		foreach my $time (1, 2)
		{
			for (my $i = 0; $i < 100; $i++)
			{
				$state = states_of($node, "INSERT INTO $name (v) SELECT @{[$name eq 'dup' ? 'clustered(16)' : qq(gen_$name())]} FROM generate_series(1, 20)");
				last if $state ne '';
				$kept += 20;
			}
			is($state, '53100', "$name: INSERT with a full disk");
		}
		is($node->safe_psql('postgres', "SELECT count(*) FROM $name"), $kept, "$name: what was committed is there");
		index_is_sound($node, $name, 'on a full disk', 40);
		is(states_of($node, "VACUUM (INDEX_CLEANUP on) $name") =~ s/^53100$//r, '', "$name: VACUUM on a full disk");
		index_is_sound($node, $name, 'on a full disk, after VACUUM', 40);
	}
	free_disk($disk);
	crash();
	fill_tables($node, { map { $_ => 40 } @here });
	index_is_sound($node, $_, 'when the disk has room again', 40) foreach @here;
	$node->safe_psql('postgres', "DROP INDEX ${_}_idx") foreach @here;
	$node->safe_psql('postgres', 'CHECKPOINT; DROP TABLESPACE small');

	# no room for WAL: the server stops; nothing that was committed is lost
	my $full = new_node('full', $conf . "wal_level = replica\nmin_wal_size = '2MB'\nmax_wal_size = '1GB'\ncheckpoint_timeout = '1h'\n",
		extra => [ "--waldir=$disk/wal", '--wal-segsize=1' ]);
	create_tables($full, [ 'v100', 'side' ]);
	fill_tables($full, { v100 => 200, side => 30 });
	foreach my $what ('INSERT', 'CREATE INDEX', 'VACUUM')
	{
		my $kept = $full->safe_psql('postgres', 'SELECT count(*) FROM v100');

		$full->safe_psql('postgres', 'CHECKPOINT');
		if ($what eq 'CREATE INDEX')
		{
			fill_tables($full, { v100 => 2000 });
			$kept += 2000;
			$full->safe_psql('postgres', 'CHECKPOINT');
		}
		if ($what eq 'VACUUM')
		{
			$kept -= $full->safe_psql('postgres', 'WITH d AS (DELETE FROM v100 WHERE id % 2 = 0 RETURNING 1) SELECT count(*) FROM d');
			$full->safe_psql('postgres', 'CHECKPOINT');
		}
		fill_disk($disk, 0);
		# until the server is gone; what is not acknowledged may or may not be there
		my $unsure = 0;
		for (my $i = 0; $i < 200; $i++)
		{
			my $sql = $what eq 'INSERT' ? 'INSERT INTO v100 (v) SELECT gen_v100() FROM generate_series(1, 100)'
			  : $what eq 'CREATE INDEX' ? "CREATE INDEX more$i ON v100 USING hnsw (v vector_ip_ops)"
			  : 'VACUUM (INDEX_CLEANUP on) v100; UPDATE side SET v = v';
			my $ret = $full->psql('postgres', $sql);

			if ($ret != 0)
			{
				$unsure = 100 if $what eq 'INSERT';
				last;
			}
			$kept += 100 if $what eq 'INSERT';
		}
		my $file = $full->data_dir . '/postmaster.pid';
		for (my $i = 0; $i < 10 * $PostgreSQL::Test::Utils::timeout_default && -e $file; $i++)
		{
			usleep(100_000);
		}
		ok(!-e $file, "$what: the server stops when WAL finds no room");
		like(slurp_file($full->logfile), qr/PANIC:.*No space left on device/, "$what: and says why");
		$full->{_pid} = undef;
		free_disk($disk);
		rename($full->logfile, $full->logfile . ".$what") or die "rename: $!";
		$full->start;
		my $count = $full->safe_psql('postgres', 'SELECT count(*) FROM v100');
		ok($count == $kept || $count == $kept + $unsure, "$what: what was committed is there ($count rows)");
		index_is_sound($full, $_, "$what without room for WAL", 60) foreach ('v100', 'side');
		$full->safe_psql('postgres', q(DO $$
DECLARE i name;
BEGIN
	FOR i IN SELECT relname FROM pg_class WHERE relname LIKE 'more%' LOOP
		EXECUTE format('DROP INDEX %I', i);
	END LOOP;
END $$));
		$full->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) v100');
		fill_tables($full, { v100 => 20, side => 5 });
		index_is_sound($full, $_, "$what without room for WAL, then changed", 60) foreach ('v100', 'side');
	}
	$full->stop;
	rmtree([ "$disk/small", "$disk/wal" ]);
	unlike(slurp_file($full->logfile), qr/PANIC|TRAP|XX00|invalid page|signal \d|is damaged/, 'the log is clean again');
}

is($node->safe_psql('postgres', q(SELECT count(*) FROM pg_locks WHERE locktype = 'page')), '0', 'no page is locked');
is(files_of_nothing($node), '', 'no file is left');
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|XX00|invalid page|Segmentation|signal \d|is damaged/, 'the server log is clean');
done_testing();
