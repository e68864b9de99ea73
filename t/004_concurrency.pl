# Concurrency: clients insert, update, delete and search while VACUUM and an
# eager autovacuum run; statements are cancelled at random; indexes are built
# that exceed maintenance_work_mem; many sessions make the first row.  No client
# may meet an error, and afterwards the index must be sound, agree with its
# table, and find what exact search finds.
# VX_SOAK_SECONDS: how long each table is written to (default 5).
use strict;
use warnings FATAL => 'all';

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use VectorxTest;

my $seconds = $ENV{VX_SOAK_SECONDS} || 5;
my @names = $ENV{VX_KINDS} ? split(/,/, $ENV{VX_KINDS}) : qw(v100 v3 l1 dup cos side half bit hashed pend);
my %rows = (pend => 800, v100 => 1500, v3 => 1500, l1 => 1000, dup => 2000, cos => 500, side => 150, half => 800, bit => 1000, hashed => 300);

# a small cache, so that pages move; checks of the deadlock detector early
my $node = new_node('concurrency', qq(
shared_buffers = '16MB'
jit = off
deadlock_timeout = '200ms'
autovacuum = on
autovacuum_naptime = '1s'
autovacuum_vacuum_threshold = 10
autovacuum_vacuum_insert_threshold = 100
autovacuum_vacuum_scale_factor = 0
autovacuum_vacuum_cost_delay = 0
max_connections = 60
restart_after_crash = off
));
create_tables($node, \@names);
fill_tables($node, { map { $_ => $rows{$_} } @names });

# ---- mixed writes and searches

foreach my $name (@names)
{
	my @scripts = write_scripts($node, $name, insert => 10, batch => 3, copy => 1, update => 10,
		delete => 3, sweep => 1, abort => 1, search => 10, vacuum => 1);

	finish_pgbench(start_pgbench($node, 5, $seconds, @scripts), "$name soak");
	index_is_sound($node, $name, 'after the soak', 300);
	$node->safe_psql('postgres', "VACUUM $name");
	recall_of($node, $name, 0.9, 'after the soak');
}

# ---- the first rows, by many sessions at once

{
	my $dir = PostgreSQL::Test::Utils::tempdir();

	# Each insert waits, just before it comes to the index, for a lock that all
	# of them get at once.  Long vectors take the index longer to prepare.
	$kinds{first} = { dim => 2000, opclass => 'vector_l2_ops', op => '<->' };
	create_tables($node, ['first']);
	$node->safe_psql('postgres', q(
ALTER TABLE first DROP CONSTRAINT first_pkey;
CREATE FUNCTION wait_for_start() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_advisory_xact_lock_shared(1);
	RETURN NEW;
END $$;
CREATE TRIGGER wait_for_start BEFORE INSERT ON first FOR EACH ROW EXECUTE FUNCTION wait_for_start();
));
	append_to_file("$dir/insert.sql", "INSERT INTO first (v) VALUES (gen_first());\n");
	foreach my $round (1 .. 8)
	{
		$node->safe_psql('postgres', 'TRUNCATE first');

		my ($in, $out) = ("SELECT pg_advisory_lock(1);\n", '');
		my $holder = IPC::Run::start(
			[ 'psql', '-XAtq', '-h', $node->host, '-p', $node->port, 'postgres' ],
			'<', \$in, '>', \$out, '2>&1');
		$holder->pump_nb;
		$node->poll_query_until('postgres', q(SELECT count(*) = 1 FROM pg_locks
			WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted))
		  or die 'the lock is not held';
		my ($bout, $berr) = ('', '');
		my $bench = IPC::Run::start(
			[ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', 8, '-j', 8, '-t', 4,
				'-f', "$dir/insert.sql", 'postgres' ],
			'<', \undef, '>', \$bout, '2>', \$berr);
		$node->poll_query_until('postgres', q(SELECT count(*) = 8 FROM pg_locks
			WHERE locktype = 'advisory' AND NOT granted)) or die 'nobody waits for the lock';
		$in .= "\\q\n";
		$holder->finish;
		$bench->finish;
		is($berr =~ /ERROR/ ? $berr : '', '', "first rows $round: no errors");
		index_is_sound($node, 'first', "first rows $round", 100);
	}
}

# ---- statements cancelled at random

foreach my $name (grep { exists $rows{$_} } @names)
{
	my $k = $kinds{$name};
	my $until = time() + $seconds / 2;
	my @h;
	my $seed = 1;
	my $note = "$name cancelled";
	my $dir = PostgreSQL::Test::Utils::tempdir();

	# psql goes on after an error; each statement has little time, and a
	# procedure cancels somebody now and then
	foreach my $client (1 .. 3)
	{
		my $sql = '';

		foreach my $i (1 .. 400)
		{
			$sql .= 'SET statement_timeout = ' . (1 + int(rand(30))) . ";\n";
			my $r = rand();
			$sql .=
				$r < 0.4 ? "INSERT INTO $name (v) SELECT gen_$name() FROM generate_series(1, 12);\n"
			  : $r < 0.5 ? "DELETE FROM $name WHERE id IN (SELECT id FROM $name ORDER BY random() LIMIT 8 FOR UPDATE SKIP LOCKED);\n"
			  : $r < 0.8 ? "VACUUM (INDEX_CLEANUP on) $name;\n"
			  : $r < 0.85 && $client == 1 ? "REINDEX INDEX ${name}_idx;\n"
			  : $r < 0.9 ? "DO \$\$ BEGIN INSERT INTO $name (v) SELECT gen_$name() FROM generate_series(1, 12); "
			  . "EXCEPTION WHEN query_canceled THEN NULL; END \$\$;\n"
			  : "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE (query ~ '^(INSERT|VACUUM|REINDEX)' "
			  . "OR backend_type = 'autovacuum worker') AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1;\n";
		}
		append_to_file("$dir/$client.sql", $sql);
		my ($out, $err) = ('', '');
		push @h, { err => \$err, h => IPC::Run::start(
				[ 'psql', '-Xq', '-h', $node->host, '-p', $node->port, '-f', "$dir/$client.sql", 'postgres' ],
				'<', \undef, '>', \$out, '2>', \$err) };
	}
	while (time() < $until && grep { $_->{h}->pumpable } @h)
	{
		$_->{h}->pump_nb foreach grep { $_->{h}->pumpable } @h;
		Time::HiRes::usleep(20_000);
	}
	$_->{h}->signal('TERM') foreach @h;
	foreach my $h (@h)
	{
		eval { $h->{h}->finish; };
		my @other = grep { /ERROR|FATAL|PANIC/ && !/canceling|could not obtain lock|terminating/ } split /\n/, ${ $h->{err} };
		is("@other", '', "$note: no other errors");
	}
	$node->poll_query_until('postgres', q(SELECT count(*) = 0 FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()));
	index_is_sound($node, $name, 'after cancellations', 100);
	$node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP on) $name");
	index_is_sound($node, $name, 'after cancellations and vacuum', 100);
}

# ---- builds that exceed maintenance_work_mem

foreach my $name (grep { /^(v100|l1|dup|side|bit|hashed)$/ } @names)
{
	my $k = $kinds{$name};

	fill_tables($node, { $name => { side => 300, hashed => 600 }->{$name} // 2000 });
	$node->safe_psql('postgres', qq(
SET maintenance_work_mem = '1MB';
DROP INDEX ${name}_idx;
CREATE INDEX ${name}_idx ON $name USING hnsw (v $k->{opclass})));
	index_is_sound($node, $name, 'built in 1 MB', 200);
	fill_tables($node, { $name => 100 });
	index_is_sound($node, $name, 'built in 1 MB, with inserts', 200);
	recall_of($node, $name, 0.9, 'built in 1 MB');
}

# ---- a table and index made, truncated and scanned in one transaction

is($node->safe_psql('postgres', q(
BEGIN;
CREATE TABLE inplace (id bigserial PRIMARY KEY, v vector(100));
CREATE INDEX inplace_idx ON inplace USING hnsw (v vector_l2_ops);
INSERT INTO inplace (v) SELECT clustered(100) FROM generate_series(1, 200);
SELECT count(*) FROM not_found('inplace', '<->', 200);
TRUNCATE inplace;
INSERT INTO inplace (v) SELECT clustered(100) FROM generate_series(1, 200);
SELECT count(*) FROM not_found('inplace', '<->', 200);
SAVEPOINT s;
INSERT INTO inplace (v) SELECT clustered(100) FROM generate_series(1, 200);
ROLLBACK TO s;
SELECT count(*) FROM not_found('inplace', '<->', 200);
COMMIT;
SELECT count(*) FROM not_found('inplace', '<->', 200);
CREATE TEMP TABLE temporary (id bigserial PRIMARY KEY, v vector(100)) ON COMMIT DELETE ROWS;
CREATE INDEX temporary_idx ON temporary USING hnsw (v vector_l2_ops);
BEGIN;
INSERT INTO temporary (v) SELECT clustered(100) FROM generate_series(1, 200);
SELECT count(*) FROM not_found('temporary', '<->', 200);
COMMIT;
BEGIN;
INSERT INTO temporary (v) SELECT clustered(100) FROM generate_series(1, 200);
SELECT count(*) FROM not_found('temporary', '<->', 200);
COMMIT;
SELECT * FROM hnsw_check('temporary_idx');
)), join("\n", ('0') x 6), 'in one transaction, and in temporary tables');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|XX002|deadlock detected|Segmentation|signal 11|signal 6|is damaged/,
	'the server log is clean');
done_testing();
