# A streaming standby, with every replayed page compared with the primary's
# (wal_consistency_checking).  First cycles of delete, vacuum, insert and update:
# after each, index scans on both give the same rows at the same distances in the
# same order, and both indexes are sound; searches run on the standby all the
# while, and scans begun before VACUUM and inserts are replayed end well after it.
# Then concurrent writers: kill -9 of the standby in the middle of replay, REINDEX
# and CREATE INDEX CONCURRENTLY, unlogged tables, and promotion in the middle of
# writes, with writes and VACUUM on what was promoted.
# VX_STANDBY_ROUNDS sets how many cycles (default 20); the standby is killed once
# for every 20.
use strict;
use warnings FATAL => 'all';

use IPC::Run;
use JSON::PP;
use List::Util qw(max);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use VectorxTest;

my $cycles = $ENV{VX_STANDBY_ROUNDS} || 20;
my $kills = max(1, int($cycles / 20));

# Real words beside the random kinds of VectorxTest.pm; the last are for anchors (below), which no other row is to equal.
my $word = 'SELECT embedding FROM words WHERE id = (SELECT floor(random() * 2980)::int)';
$kinds{l2_4} = { dim => 4, opclass => 'vector_l2_ops', op => '<->' };
$kinds{w_cos} = { dim => 100, opclass => 'vector_cosine_ops', op => '<=>', gen => "($word)" };
# its anchors (below) are equal, and are to be one node
$kinds{w_ip} = { dim => 100, opclass => 'vector_ip_ops', op => '<#>', gen => "($word)", with => 'pending_limit = 0' };
# Few: with the images that are compared, a row is up to a megabyte of WAL.
my %rows = (l2_4 => 80, w_cos => 80, w_ip => 60, pend => 60, cos => 40, l1 => 60, dup => 240, side => 20, half => 40, bit => 60, hashed => 20);
my @names = sort keys %rows;
my $anchors = 20;

my $primary = new_node('primary', qq(
shared_buffers = '32MB'
jit = off
wal_consistency_checking = 'all'
max_standby_streaming_delay = '100ms'
max_connections = 60
wal_keep_size = '4GB'
max_wal_size = '4GB'
restart_after_crash = off
), allows_streaming => 1);
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

$primary->safe_psql('postgres', 'CREATE EXTENSION vectorx');
run_python_command($primary, 'standby.py', 'words', 3000);
create_tables($primary, \@names);

# The first rows are anchors: never changed, and alone on the table's first page.
# A scan that has returned nothing but an anchor pins a page that VACUUM leaves
# alone, so that its replay does not have to cancel the scan.  The inner product
# of a long vector with itself is greater than with others.
foreach my $name (@names)
{
	my $anchor = $name eq 'w_ip' ? "(SELECT array_agg(4 * x)::vector FROM unnest(gen_$name()::real[]) x)"
	  : $name eq 'w_cos' ? '(SELECT embedding FROM words WHERE id = 2979 + n)' : "gen_$name()";

	$primary->safe_psql('postgres', qq(
ALTER TABLE $name SET (fillfactor = 10);
INSERT INTO $name (v) SELECT $anchor FROM generate_series(1, $anchors) n));
}
fill_tables($primary, \%rows);

# ---- what is compared

sub catch_up
{
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
}

# The rows of index scans, in order, with their distances, for some queries.  Which of several
# that are equally far comes first may differ, so that the first is as any, and so may which of them are among the 40.
sub scans
{
	my ($node, $salt, @tables) = @_;

	my @sql = ("SET enable_seqscan = off;\nSET enable_sort = off;\n");

	foreach my $name (@tables)
	{
		my $op = $kinds{$name}->{op};

		push @sql, "SET hnsw.ef_search = $_;\nSELECT '$name', q.id, s.* FROM (SELECT id, v FROM $name "
		  . "ORDER BY hashtext(id::text || '$salt') LIMIT 8) q, LATERAL "
		  . '(SELECT CASE WHEN d < max(d) OVER () THEN id END, d, coalesce(d < lag(d) OVER (ORDER BY n), false) AS disordered FROM '
		  . '(SELECT id, d, row_number() OVER () AS n FROM '
		  . "(SELECT id, t.v $op q.v AS d FROM $name t ORDER BY t.v $op q.v LIMIT 40) f) f ORDER BY d, 1) s;\n"
		  foreach 15, 60;
	}
	return $node->safe_psql('postgres', join('', @sql));
}

# What is wrong with the indexes, in one question for all.
sub faults
{
	my ($node, @tables) = @_;

	return $node->safe_psql('postgres', join(' UNION ALL ', map {
		my $op = $kinds{$_}->{op};
		("SELECT '$_: hnsw_check', c::text FROM hnsw_check('${_}_idx') c",
			"SELECT '$_: rows the index has not, or not once', n::text FROM not_once('$_', '$op') n WHERE n <> 0",
			"SELECT '$_: aborted rows', count(*)::text FROM $_ WHERE id < 0 HAVING count(*) > 0",
			# inner product: a row need not be the nearest to itself
			$op eq '<#>' ? () : "SELECT '$_: not found by its own vector', f.should::text FROM not_found('$_', '$op', 40) f")
	} @tables));
}

sub same_on_both
{
	my ($when, @tables) = @_;
	my ($here, $there) = map { scans($_, $when, @tables) } $primary, $standby;

	cmp_ok(scalar(split /\n/, $here), '>=', 100 * @tables, "$when: there are rows");
	unlike($here, qr/\|t$/m, "$when: in order");
	ok($here eq $there, "$when: the same rows in the same order on both") or diag(first_difference($here, $there));
	is(faults($primary, @tables), '', "$when: the primary's indexes are sound");
	is(faults($standby, @tables), '', "$when: the standby's indexes are sound");
}

sub first_difference
{
	my @here = split /\n/, $_[0];
	my @there = split /\n/, $_[1];

	foreach my $i (0 .. max($#here, $#there))
	{
		my ($a, $b) = ($here[$i] // 'nothing', $there[$i] // 'nothing');

		return "line $i: primary $a, standby $b" if $a ne $b;
	}
	return '';
}

# ---- searches on the standby

my ($to_searcher, $from_searcher, $searcher_says) = ('', '', '');
my $searcher;
my $patience = IPC::Run::timeout(600);

sub start_searcher
{
	my $file = PostgreSQL::Test::Utils::tempdir() . '/tables.json';

	append_to_file($file, encode_json({ map { $_ => $kinds{$_}->{op} } @names }));
	$searcher = IPC::Run::start([ python_command($standby, 'standby.py', 'search', $file) ],
		'<', \$to_searcher, '>', \$from_searcher, '2>', \$searcher_says, $patience);
}

# Have it do something; returns what it answers.
sub searcher
{
	my ($command) = @_;

	$patience->start(600);
	$from_searcher = '';
	$to_searcher .= "$command\n";
	$searcher->pump until $from_searcher =~ /\n/ || !$searcher->pumpable;
	$from_searcher =~ /\n/ or BAIL_OUT("the searches on the standby ended: $searcher_says");
	return decode_json($from_searcher);
}

# ---- the cycles

catch_up();
same_on_both('filled', @names);
start_searcher();
my ($scans_across, $deep_across) = (0, 0);

# A scan on the standby is in the middle of a node's rows, many of which stand on
# pages of their own, when replay takes some of these pages out of their chain.
{
	my $dir = PostgreSQL::Test::Utils::tempdir();

	$primary->safe_psql('postgres', q(
CREATE TABLE equal (id int, v vector(3));
CREATE INDEX equal_idx ON equal USING hnsw (v vector_l2_ops);
INSERT INTO equal SELECT i, '[1,2,3]' FROM generate_series(1, 8000) i;
DELETE FROM equal WHERE id BETWEEN 1000 AND 6500;));
	catch_up();
	my $scan = session($standby, 'BEGIN', 'SET LOCAL enable_seqscan = off', 'SET LOCAL enable_sort = off',
		q(DECLARE c CURSOR FOR SELECT id FROM equal ORDER BY v <-> '[0,0,0]'), 'FETCH 10 FROM c',
		"\\! touch $dir/open; while [ ! -e $dir/go ]; do sleep 0.1; done", 'FETCH ALL FROM c', 'COMMIT');
	for (my $i = 0; !-e "$dir/open"; $i++)
	{
		BAIL_OUT('the scan does not begin') if $i == 20 * $PostgreSQL::Test::Utils::timeout_default;
		usleep(50_000);
	}
	my $before = $primary->safe_psql('postgres', q(SELECT overflow_pages FROM hnsw_info('equal_idx')));
	$primary->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on, TRUNCATE off) equal');
	catch_up();
	open(my $go, '>', "$dir/go") or die "$dir/go: $!";
	close($go);
	my ($err, $out) = end_session($scan);
	my %seen = map { $_ => 1 } split /\n/, $out;

	is($err, '', 'equal rows: the scan meets no error');
	is(scalar(() = $out =~ /\n/g), 999 + 1500, 'equal rows: the scan returns as many as its snapshot sees');
	is(scalar(grep { !$seen{$_} } 1 .. 999, 6501 .. 8000), 0, 'equal rows: which are these');
	cmp_ok($standby->safe_psql('postgres', q(SELECT overflow_pages FROM hnsw_info('equal_idx'))), '<', $before,
		'equal rows: pages had been taken out of the chain');
	$primary->safe_psql('postgres', 'DROP TABLE equal');
	catch_up();
}

foreach my $cycle (1 .. $cycles)
{
	my $when = "cycle $cycle";
	my @sql;

	# Of the oldest rows, whole regions of the graph; else rows here and there.
	push @sql, map {
		my $some = int($rows{$_} / 6);
		"DELETE FROM $_ WHERE id IN (SELECT id FROM $_ WHERE id > $anchors ORDER BY "
		  . ($cycle % 2 ? 'id' : 'random()') . " LIMIT $some);\n"
	} @names;
	$primary->safe_psql('postgres', join('', @sql));
	$primary->safe_psql('postgres', 'CHECKPOINT') if $cycle % 5 == 3;    # full page images from here on
	catch_up();

	# What VACUUM removes is older than these scans.
	searcher('open');
	$primary->safe_psql('postgres', join('', map {
		my $some = int($rows{$_} / 6);
		"VACUUM (INDEX_CLEANUP on) $_;\nINSERT INTO $_ (v) SELECT gen_$_() FROM generate_series(1, $some);\n"
	} @names));
	catch_up();
	my $scans = searcher('finish');

	is(join('; ', @{ $scans->{faults} }), '', "$when: scans across replay return the right rows");
	is(join('; ', @{ $scans->{cancelled} }), '', "$when: scans that nothing conflicts with are not cancelled");
	is($scans->{whole}, $scans->{of}, "$when: they came to their end");
	$scans_across += $scans->{whole};
	$deep_across += $scans->{deep};

	$primary->safe_psql('postgres', join('', map {
		my $some = int($rows{$_} / 10);
		"UPDATE $_ SET v = gen_$_() WHERE id IN (SELECT id FROM $_ WHERE id > $anchors ORDER BY random() LIMIT $some);\n"
	} @names));
	catch_up();
	same_on_both($when, @names);
}
note("$scans_across scans and $deep_across deep ones across the replay of VACUUM and inserts");

# ---- concurrent writers; the standby is killed in the middle of replay

my %scripts;
foreach my $name (@names)
{
	$scripts{$name} = [ write_scripts($primary, $name, insert => 6, batch => 2, copy => 1,
			update => 6, delete => 2, sweep => 1, abort => 1, vacuum => 2) ];
}

foreach my $kill (1 .. $kills)
{
	# It starts again from here, and with nothing older than this to be seen.
	$primary->safe_psql('postgres', 'CHECKPOINT');
	catch_up();
	$standby->safe_psql('postgres', 'CHECKPOINT');

	my @runs = map { start_pgbench($primary, 1, 600, @{ $scripts{$_} }) } @names;
	my $before = $standby->safe_psql('postgres', 'SELECT pg_last_wal_replay_lsn()');

	# Replay is halted somewhere, and more arrives meanwhile: there it dies.
	$standby->poll_query_until('postgres', "SELECT pg_last_wal_replay_lsn() > '$before'::pg_lsn + 500000")
	  or die 'nothing is replayed';
	$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
	$standby->poll_query_until('postgres', q(SELECT pg_get_wal_replay_pause_state() = 'paused'
		AND pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn() + 100000)) or die 'replay does not halt';
	my @processes = split /\n/, $standby->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity');
	$standby->kill9;
	# the others see that it is gone, and go
	for (my $i = 0; $i < 10 * $PostgreSQL::Test::Utils::timeout_default && grep { kill(0, $_) } @processes; $i++)
	{
		usleep(100_000);
	}
	$standby->start;
	$_->{h}->kill_kill foreach @runs;
	is($primary->poll_query_until('postgres', q(SELECT count(*) = 0 FROM pg_stat_activity
		WHERE application_name = 'pgbench')), 1, "kill $kill: writers stopped");
	catch_up();
	same_on_both("after kill $kill of the standby", @names);
}

{
	my @runs = map { start_pgbench($primary, 2, 2, @{ $scripts{$_} }) } @names;

	finish_pgbench($runs[$_], "$names[$_], two writers") foreach 0 .. $#names;
	catch_up();
	same_on_both('two writers each', @names);
}

# An index rebuilt and one built concurrently, beside writers
{
	my @rebuilt = qw(w_cos dup);
	my @runs = map { start_pgbench($primary, 2, 4, @{ $scripts{$_} }) } @rebuilt;

	foreach my $name (@rebuilt)
	{
		my $k = $kinds{$name};

		$primary->safe_psql('postgres', "REINDEX INDEX CONCURRENTLY ${name}_idx");
		$primary->safe_psql('postgres', "REINDEX INDEX ${name}_idx");
		$primary->safe_psql('postgres', "CREATE INDEX CONCURRENTLY ${name}_new ON $name USING hnsw (v $k->{opclass})");
		$primary->safe_psql('postgres', "DROP INDEX ${name}_idx");
		$primary->safe_psql('postgres', "ALTER INDEX ${name}_new RENAME TO ${name}_idx");
	}
	finish_pgbench($_, 'writers beside REINDEX and CREATE INDEX CONCURRENTLY') foreach @runs;
	catch_up();
	same_on_both('rebuilt', @rebuilt);
}

# An unlogged table is empty after a crash, and its index usable.
$kinds{unl} = $kinds{v100};
create_tables($primary, ['unl'], 'UNLOGGED');
fill_tables($primary, { unl => 300 });
index_is_sound($primary, 'unl', 'unlogged', 50);
$primary->stop('immediate');
$primary->start;
is($primary->safe_psql('postgres', 'SELECT count(*) FROM unl'), '0', 'the unlogged table is empty after a crash');
index_is_sound($primary, 'unl', 'reset', 50);
fill_tables($primary, { unl => 300 });
index_is_sound($primary, 'unl', 'filled again', 50);
$primary->safe_psql('postgres', 'ALTER TABLE unl SET LOGGED');
index_is_sound($primary, 'unl', 'logged', 50);
catch_up();
same_on_both('made logged', 'unl');

# ---- promotion in the middle of writes, then writes; what the primary had
# unlogged is empty there

$kinds{v3b} = $kinds{v3};
create_tables($primary, ['v3b'], 'UNLOGGED');
# an unlogged sequence may be a page of zeros after promotion: its init fork need not
# have been written when it is copied
$primary->safe_psql('postgres', 'ALTER SEQUENCE v3b_id_seq SET LOGGED');
fill_tables($primary, { v3b => 100 });
catch_up();
{
	my @runs = map { start_pgbench($primary, 2, 600, @{ $scripts{$_} }) } @names;
	my $before = $standby->safe_psql('postgres', 'SELECT pg_last_wal_replay_lsn()');

	$standby->poll_query_until('postgres', "SELECT pg_last_wal_replay_lsn() > '$before'::pg_lsn + 500000")
	  or die 'nothing is replayed';
	$standby->promote;
	$_->{h}->kill_kill foreach @runs;
	$primary->stop('immediate');
	is(faults($standby, @names), '', 'promoted in the middle of writes: the indexes are sound');
}
index_is_sound($standby, 'v3b', 'unlogged, after promotion', 50);
fill_tables($standby, { v3b => 100 });
index_is_sound($standby, 'v3b', 'unlogged, filled after promotion', 50);
{
	my @runs = map { start_pgbench($standby, 2, 2, @{ $scripts{$_} }) } @names;

	finish_pgbench($runs[$_], "$names[$_] after promotion") foreach 0 .. $#names;
}
$standby->safe_psql('postgres', join('', map { "VACUUM (INDEX_CLEANUP on) $_;\n" } @names));
index_is_sound($standby, $_, 'after promotion, writes and VACUUM', 1000) foreach @names;

my $searches = searcher('stop');
$searcher->finish;
is(join('; ', @{ $searches->{faults} }), '', 'searches on the standby returned the right rows');
cmp_ok($searches->{searches}, '>=', 10 * $cycles, 'there were searches on the standby');
cmp_ok($searches->{away}, '>', 0, 'they met the kill');
cmp_ok($searches->{recall}, '>=', 0.95, "their recall\@10 at ef_search 200 ($searches->{recall})");
note("$searches->{searches} searches on the standby, $searches->{cancelled} cancelled by replay, $searches->{away} met no server");
is($searcher_says, '', 'and they had nothing else to say');
$standby->stop;

foreach my $node ($primary, $standby)
{
	my $log = slurp_file($node->logfile);

	unlike($log, qr/PANIC|TRAP|XX002|inconsistent page|invalid page|Segmentation|signal 11|signal 6|is damaged/,
		'the log of the ' . $node->name . ' is clean');
}
done_testing();
