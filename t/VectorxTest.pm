# What the tests of crashes, standbys and concurrency share: tables of several
# kinds of index, pgbench scripts that write to them in every way, and the
# properties an index must have afterwards.
package VectorxTest;

use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname);
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT = qw(%kinds value_of create_tables fill_tables write_scripts start_pgbench
  finish_pgbench index_is_sound built_is_sound recall_of files_of_nothing leftovers
  states_of session end_session wait_for_server create_gates close_gates open_gates wait_for_build
  progress_is_right fill_disk free_disk new_node log_is_clean
  copied_server sets_that_are_here python_command run_python_command run_python);

# One table and index for each way a node can be laid out.  "distinct" bounds
# the number of different vectors: many rows then share a node, and its TIDs
# overflow.  "gen" is an expression that gives vectors, instead of random ones.
# "type" is the column's, if not vector; "value" says how a value of it is made of
# a vector, of "elements" dimensions if not as many (without it an assignment casts).
# "with" are options of the index: by default rows of all but l1, bit, sparse and hashed are pending first.
our %kinds = (
	v100 => { dim => 100, opclass => 'vector_l2_ops', op => '<->', with => 'pending_limit = 0' },    # 4 bits
	v3   => { dim => 3,   opclass => 'vector_l2_ops', op => '<->' },     # exact
	l1   => { dim => 40,  opclass => 'vector_l1_ops', op => '<+>' },     # no sketch
	dup  => { dim => 16,  opclass => 'vector_l2_ops', op => '<->', distinct => 8, with => 'pending_limit = 0' },
	cos  => { dim => 384, opclass => 'vector_cosine_ops', op => '<=>', keep => 600 }, # 1 bit
	side => { dim => 3000, opclass => 'vector_ip_ops', op => '<#>', keep => 150 },    # side pages
	# rows that wait to be linked, of so many that tests come to the limit
	pend => { dim => 100, opclass => 'vector_cosine_ops', op => '<=>', with => 'pending_limit = 150' },
	half => { dim => 72,  opclass => 'halfvec_cosine_ops', op => '<=>', type => 'halfvec', with => 'pending_limit = 0' },
	# words: no whole number of them, nor of bytes
	bit  => { dim => 203, opclass => 'bit_hamming_ops', op => '<~>', type => 'bit', value => 'binary_quantize(%s)' },
	sparse => { dim => 3000, opclass => 'sparsevec_cosine_ops', op => '<=>', type => 'sparsevec',
		value => 'scattered(%s, 3000)', elements => 60 },
	# places are hashes; an index that was made empty has room for 256 elements, of 320 or so
	hashed => { dim => 200_000, opclass => 'sparsevec_l2_ops', op => '<->', type => 'sparsevec',
		value => 'scattered(%s, 200000)', elements => 480, keep => 300 },
);

# A server that has been started: nothing but the test writes to it, and its log
# holds no statements.  "conf" is added, and may say otherwise; "init" is for
# PostgreSQL::Test::Cluster's, but install_path, which says where the server is, and
# "damaged", where a test writes to pages: without checksums, which from 18 on are the default.
sub new_node
{
	my ($name, $conf, %init) = @_;
	my $path = delete $init{install_path};
	my $damaged = delete $init{damaged};
	my $node = PostgreSQL::Test::Cluster->new($name, defined $path ? (install_path => $path) : ());

	$init{extra} = ['--no-data-checksums'] if $damaged && $node->pg_version >= 18;
	$node->init(%init);
	$node->append_conf('postgresql.conf', "autovacuum = off\nlog_statement = none\n$conf");
	$node->start;
	return $node;
}

# A copy of the server's folders, for files that are installed there and nowhere else; returns its pg_config.
sub copied_server
{
	my $root = dirname(dirname(abs_path(__FILE__)));
	my $copy = PostgreSQL::Test::Utils::tempdir();

	local $ENV{PG_CONFIG} = $ENV{PG_CONFIG} || 'pg_config';
	chomp(my $config = `bash -c '. "$root/scripts/lib.sh"; work="$copy"; copy_server >/dev/null && echo "\$PG_CONFIG"'`);
	-x $config or BAIL_OUT("no copy of the server in $copy");
	return $config;
}

# What a server's log must not say, whatever statements it was sent; "more" is a
# pattern of what a test adds to that.
sub log_is_clean
{
	my ($node, $more) = @_;
	my $bad = join('|', 'PANIC', 'TRAP', 'XX00[12]', 'invalid page', 'Segmentation', 'signal \d', 'is damaged',
		'AddressSanitizer', 'runtime error', $more // ());

	unlike(slurp_file($node->logfile), qr/$bad/, 'the server log is clean');
}

# How a kind's values are made of an expression that gives vectors.
sub value_of
{
	my ($k, $vector) = @_;

	return sprintf($k->{value} // '%s', $vector);
}

# Extension, generators of vectors, and an empty table with an index for each
# kind.  "unlogged" is put before TABLE.
sub create_tables
{
	my ($node, $names, $unlogged) = @_;

	$node->safe_psql('postgres', q(
CREATE EXTENSION IF NOT EXISTS vectorx;
-- A vector of one of 40 clusters.
CREATE OR REPLACE FUNCTION clustered(n int) RETURNS vector LANGUAGE sql VOLATILE AS $$
	SELECT array_agg(sin(c.k * 12.9898 + i * 78.233) + 0.6 * (random() + random() - 1))::vector
	FROM (SELECT floor(random() * 40) AS k OFFSET 0) c, generate_series(1, n) i
$$;
-- One of a number of vectors.
CREATE OR REPLACE FUNCTION one_of(n int, variants int) RETURNS vector LANGUAGE sql VOLATILE AS $$
	SELECT array_agg(sin(c.k * 12.9898 + i * 78.233))::vector
	FROM (SELECT floor(random() * variants) AS k OFFSET 0) c, generate_series(1, n) i
$$;
-- A sparse vector of the greater elements of a vector, which has them all over so many dimensions.
CREATE OR REPLACE FUNCTION scattered(x vector, dim int) RETURNS sparsevec LANGUAGE sql IMMUTABLE AS $$
	SELECT ('{' || coalesce(string_agg((i - 1) * (dim / vector_dims(x)) + 1 || ':' || e, ','), '') || '}/' || dim)::sparsevec
	FROM unnest(x::real[]) WITH ORDINALITY u(e, i) WHERE abs(e) > 0.5
$$;
-- For each vector of a table (or about "most" of them): does an index scan with
-- it as the query find exactly the rows that have it?  Returns those for which
-- it does not.
CREATE OR REPLACE FUNCTION not_found(tab regclass, op text, most int)
RETURNS TABLE (v text, should bigint[], does bigint[]) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_sort = off SET enable_bitmapscan = off
SET hnsw.ef_search = 400 AS $$
DECLARE
	ids bigint[];
BEGIN
	FOR v, should IN EXECUTE format(
		'SELECT v::text, array_agg(id ORDER BY id) FROM %s GROUP BY v ORDER BY hashtext(v::text) LIMIT %s', tab, most)
	LOOP
		EXECUTE format(
			'SELECT array_agg(id ORDER BY id) FROM '
			'(SELECT id, v FROM %1$s ORDER BY v %2$s %3$L LIMIT %4$s) s WHERE v = %3$L', tab, op, v, cardinality(should) + 3) INTO does;
		IF does IS DISTINCT FROM should THEN
			RETURN NEXT;
		END IF;
	END LOOP;
END $$;
-- Everything the index returns, with ef_search above the number of nodes: each
-- row of the table once?  The number of rows missing, foreign or repeated.
CREATE OR REPLACE FUNCTION not_once(tab regclass, op text) RETURNS bigint
LANGUAGE plpgsql SET hnsw.ef_search = 10000 AS $$
DECLARE
	q text;
	ids bigint[];
	wrong bigint;
BEGIN
	EXECUTE format('SELECT v FROM %s ORDER BY id LIMIT 1', tab) INTO q;
	IF q IS NULL THEN
		RETURN 0;
	END IF;
	SET LOCAL enable_seqscan = off;
	SET LOCAL enable_sort = off;
	EXECUTE format('SELECT array_agg(id) FROM (SELECT id FROM %s ORDER BY v %s %L) s', tab, op, q) INTO ids;
	EXECUTE format('SELECT count(*) FROM (SELECT id FROM %s) t FULL JOIN '
		'(SELECT id, count(*) AS n FROM unnest($1) u(id) GROUP BY id) f USING (id) '
		'WHERE t.id IS NULL OR f.n IS DISTINCT FROM 1', tab) INTO wrong USING ids;
	RETURN wrong;
END $$;
-- Recall@10 over a number of its own rows as queries, at ef_search 100.
CREATE OR REPLACE FUNCTION recall10(tab regclass, op text, queries int) RETURNS float8
LANGUAGE plpgsql SET hnsw.ef_search = 100 AS $$
DECLARE
	q text;
	far float8;
	hits bigint := 0;
	wanted bigint := 0;
	h bigint;
	w bigint;
BEGIN
	FOR q IN EXECUTE format('SELECT v FROM %s ORDER BY hashtext(id::text) LIMIT %s', tab, queries)
	LOOP
		SET LOCAL enable_indexscan = off;
		SET LOCAL enable_seqscan = on;
		SET LOCAL enable_sort = on;
		EXECUTE format('SELECT max(d), count(*) FROM (SELECT v %s %L AS d FROM %s ORDER BY 1 LIMIT 10) s', op, q, tab)
			INTO far, w;
		SET LOCAL enable_indexscan = on;
		SET LOCAL enable_seqscan = off;
		SET LOCAL enable_sort = off;
		EXECUTE format('SELECT count(*) FROM (SELECT v %s %L AS d FROM %s ORDER BY 1 LIMIT 10) s WHERE d <= $1 + 1e-6', op, q, tab)
			INTO h USING far;
		hits := hits + least(h, w);
		wanted := wanted + w;
	END LOOP;
	RETURN CASE WHEN wanted = 0 THEN 1 ELSE hits::float8 / wanted END;
END $$;
));
	foreach my $name (@$names)
	{
		my $k = $kinds{$name};
		my $elements = $k->{elements} // $k->{dim};
		my $gen = $k->{gen} ? $k->{gen} : $k->{distinct} ? "one_of($elements, $k->{distinct})" : "clustered($elements)";
		my $type = $k->{type} // 'vector';

		$node->safe_psql('postgres', qq(
CREATE OR REPLACE FUNCTION gen_$name() RETURNS @{[$k->{value} ? $type : 'vector']} LANGUAGE sql VOLATILE AS 'SELECT @{[value_of($k, 'g')]} FROM (SELECT $gen AS g OFFSET 0) s';
CREATE @{[$unlogged || '']} TABLE $name (id bigserial PRIMARY KEY, v $type($k->{dim})) WITH (vacuum_truncate = off);
CREATE INDEX ${name}_idx ON $name USING hnsw (v $k->{opclass})@{[$k->{with} ? " WITH ($k->{with})" : '']};
));
	}
}

sub fill_tables
{
	my ($node, $rows) = @_;

	foreach my $name (sort keys %$rows)
	{
		$node->safe_psql('postgres',
			"INSERT INTO $name (v) SELECT gen_$name() FROM generate_series(1, $rows->{$name})");
	}
}

# pgbench scripts for one table, in a folder; returns the -f arguments.
# Weights of insert, batch, copy, update, delete, abort, search and vacuum can
# be given; a copy needs a file, which is made here.
sub write_scripts
{
	my ($node, $name, %weights) = @_;
	my $k = $kinds{$name};
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $copy = "$dir/rows";
	my $keep = $k->{keep} || 1500;
	my %sql = (
		insert => "INSERT INTO $name (v) VALUES (gen_$name());\n",
		batch  => "INSERT INTO $name (v) SELECT gen_$name() FROM generate_series(1, 8);\n",
		copy   => "COPY $name (v) FROM '$copy';\n",
		update => "\\set r random(1, 1000000)\n"
		  . "UPDATE $name SET v = gen_$name() WHERE id = (SELECT id FROM $name WHERE id >= "
		  . "(SELECT min(id) + :r % (max(id) - min(id) + 1) FROM $name) ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED);\n",
		# only while there are more rows than "keep" or so
		delete => "\\set r random(1, 1000000)\n"
		  . "DELETE FROM $name WHERE id IN (SELECT id FROM $name WHERE id >= "
		  . "(SELECT min(id) + :r % (max(id) - min(id) + 1) FROM $name) ORDER BY id LIMIT 10 FOR UPDATE SKIP LOCKED)"
		  . " AND (SELECT max(id) - min(id) > $keep FROM $name);\n",
		# all of the oldest: whole regions of the graph die, the root with them
		sweep  => "DELETE FROM $name WHERE id IN (SELECT id FROM $name ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED)"
		  . " AND (SELECT max(id) - min(id) > $keep FROM $name);\n",
		abort  => "BEGIN;\nINSERT INTO $name (id, v) SELECT -nextval('${name}_id_seq'), gen_$name() FROM generate_series(1, 3);\nROLLBACK;\n",
		search => "SET enable_seqscan = off;\nSET enable_sort = off;\nSELECT count(*) FROM (SELECT v $k->{op} q.g FROM (SELECT gen_$name() AS g OFFSET 0) q, "
		  . "LATERAL (SELECT * FROM $name ORDER BY v $k->{op} q.g LIMIT 10) s) t;\nRESET enable_seqscan;\nRESET enable_sort;\n",
		# one at a time; to truncate the table it would wait for all the others
		vacuum => "VACUUM (INDEX_CLEANUP on, TRUNCATE off, SKIP_LOCKED) $name;\n",
	);
	my @args;

	$node->safe_psql('postgres',
		"COPY (SELECT gen_$name() FROM generate_series(1, 30)) TO '$copy'");
	foreach my $what (sort keys %weights)
	{
		next unless $weights{$what};
		my $file = "$dir/$what.sql";
		open(my $fh, '>', $file) or die "$file: $!";
		print $fh $sql{$what} // die "no script $what";
		close($fh);
		push @args, '-f', "$file\@$weights{$what}";
	}
	return @args;
}

# Start pgbench; returns what finish_pgbench takes.
sub start_pgbench
{
	my ($node, $clients, $seconds, @args) = @_;
	my ($out, $err) = ('', '');
	my @command = ('pgbench', '-n', '-h', $node->host, '-p', $node->port,
		'-c', $clients, '-j', $clients, '-T', $seconds, @args, 'postgres');
	my $run = { out => \$out, err => \$err };

	$run->{h} = IPC::Run::start(\@command, '<', \undef, '>', \$out, '2>', \$err);
	return $run;
}

# Wait for it.  name: report as a test that no client met an error.
sub finish_pgbench
{
	my ($run, $name) = @_;

	eval { $run->{h}->finish; };
	return unless defined $name;
	unlike(${ $run->{err} }, qr/ERROR|FATAL|PANIC|aborted/, "$name: no client met an error")
	  or diag(${ $run->{err} });
	my ($n) = ${ $run->{out} } =~ /transactions actually processed: (\d+)/;
	note("$name: " . ($n // 0) . " transactions");
	cmp_ok($n // 0, '>', 0, "$name: transactions were processed");
}

# hnsw_check is silent, and the index finds every row of its table and nothing
# else.  most: how many vectors are searched for, 0 for none: what finds each of
# them in an index that was built at once is recall, which built_is_sound looks at.
sub index_is_sound
{
	my ($node, $name, $when, $most) = @_;
	my $op = $kinds{$name}->{op};

	is($node->safe_psql('postgres', "SELECT * FROM hnsw_check('${name}_idx') LIMIT 10"),
		'', "$name $when: hnsw_check");
	is($node->safe_psql('postgres', "SELECT count(*) FROM $name WHERE id < 0"),
		'0', "$name $when: no aborted row");
	# inner product: a row need not be the nearest to itself
	is($node->safe_psql('postgres',
			"SELECT should, does FROM not_found('$name', '$op', " . ($most // 500) . ") LIMIT 5"),
		'', "$name $when: each row is found by its own vector")
	  unless $op eq '<#>' || ($most // 500) == 0;
	is($node->safe_psql('postgres', "SELECT not_once('$name', '$op')"),
		'0', "$name $when: the index returns each row once and no other");
	note("$name $when: " . $node->safe_psql('postgres', "SELECT count(*) FROM $name") . " rows");
}

sub built_is_sound
{
	my ($node, $name, $when) = @_;

	index_is_sound($node, $name, $when, 0);
	recall_of($node, $name, 0.9, $when);
}

sub recall_of
{
	my ($node, $name, $least, $when) = @_;
	my $recall = $node->safe_psql('postgres', "SELECT recall10('$name', '$kinds{$name}->{op}', 100)");

	cmp_ok($recall, '>=', $least, "$name $when: recall\@10 at ef_search 100 ($recall)");
}

# Files in the database's folder that belong to no relation, after a checkpoint,
# which removes those of relations that are gone.
sub files_of_nothing
{
	my ($node) = @_;

	return $node->safe_psql('postgres', q(
CHECKPOINT;
SELECT f FROM pg_database d, pg_ls_dir('base/' || d.oid) f
WHERE datname = current_database() AND f ~ '^[0-9]' AND substring(f from '^[0-9]+')::oid NOT IN
	(SELECT pg_relation_filenode(oid) FROM pg_class WHERE pg_relation_filenode(oid) IS NOT NULL)
ORDER BY f));
}

# What a build that has ended may not leave, in words: files of no relation,
# temporary files, dynamic shared memory, workers.  Shared memory is looked for
# in the data folder, where it is with dynamic_shared_memory_type = mmap; the
# server itself and the counters of scans have some, which is what is there when
# this is first called.
# Files of relations whose transaction was under way when the server was killed
# remain: "killed" lets pass, for good, those that are there now.
sub leftovers
{
	my ($node, $killed) = @_;
	my @left;

	$node->poll_query_until('postgres', q(SELECT count(*) = 0 FROM pg_stat_activity
		WHERE application_name = 'builder' OR backend_type = 'parallel worker'))
	  or push @left, 'a process of the build does not end';
	my @files = split /\n/, files_of_nothing($node);
	$node->{vx_files} = { map { $_ => 1 } @files } if $killed;
	push @left, map { "file $_" } grep { !$node->{vx_files}{$_} } @files;
	push @left, map { "temporary file $_" } glob($node->data_dir . '/base/pgsql_tmp/*'),
	  glob($node->data_dir . '/pg_tblspc/*/PG_*/pgsql_tmp/*');
	$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS vectorx; SELECT FROM hnsw_index_stats()') if !defined $node->{vx_segments};
	my @segments = glob($node->data_dir . '/pg_dynshmem/*');
	$node->{vx_segments} //= @segments;
	push @left, "segments @segments" if @segments > $node->{vx_segments};
	return join("\n", @left);
}

# ---- statements that may fail, sessions in the background

# Run statements that may fail; returns the SQLSTATEs of those that did.
sub states_of
{
	my ($node, $sql) = @_;
	my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY sqlstate\n$sql", on_error_stop => 0);

	return join(' ', $err =~ /(?:ERROR|FATAL|PANIC): +(\w{5})\b/g);
}

# A session that runs in the background.
sub session
{
	my ($node, @sql) = @_;
	my ($out, $err) = ('', '');
	my $h = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-h', $node->host, '-p', $node->port, (map { ('-c', $_) } @sql), 'postgres' ],
		'<', \undef, '>', \$out, '2>', \$err);
	return { h => $h, out => \$out, err => \$err };
}

# Wait for its end; returns its messages, and in a list also what it printed.
sub end_session
{
	my ($s) = @_;
	eval { $s->{h}->finish; };
	return wantarray ? (${ $s->{err} }, ${ $s->{out} }) : ${ $s->{err} };
}

# Wait until a server that starts itself again after a crash lets clients in.  Called
# once for each crash: until the server has noticed it, it lets them in only to end
# them, so its log has to tell of one crash more than before.
sub wait_for_server
{
	my ($node) = @_;
	my $before = $node->{vx_crashes}++ // 0;

	for (my $i = 0; ; $i++)
	{
		my $crashes = () = slurp_file($node->logfile) =~ /all server processes terminated; reinitializing/g;

		last if $crashes > $before && system('pg_isready', '-q', '-h', $node->host, '-p', $node->port) == 0;
		BAIL_OUT('the server does not come back') if $i == 20 * $PostgreSQL::Test::Utils::timeout_default;
		usleep(50_000);
	}
}

# ---- full disks

# Leave so many bytes of the small file system that a folder is on.
sub fill_disk
{
	my ($disk, $leave) = @_;
	my $zeros = "\0" x 16384;

	open(my $fh, '>', "$disk/filler") or die "$disk/filler: $!";
	1 while (syswrite($fh, $zeros) // 0) > 0;
	my $size = -s $fh;
	die 'the disk has no room to leave' if $size < $leave;
	truncate($fh, $size - $leave) or die "truncate: $!";
	close($fh);
}

sub free_disk
{
	my ($disk) = @_;

	unlink("$disk/filler") or die "$disk/filler: $!";
}

# ---- gates: builds that are held while they read the table

# Functions gated(v vector), which returns v.  A process that builds an index on
# gated(v) sleeps there, at the first row it comes to, while the gate of its kind,
# leader or worker, is closed.  The leader is held only once it loads tuples: what
# it reads before, it reads alone.
sub create_gates
{
	my ($node, $name, $properties) = @_;

	$node->safe_psql('postgres', qq(
CREATE OR REPLACE FUNCTION @{[$name // 'gated']}(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE @{[$properties // 'PARALLEL SAFE']} AS \$\$
DECLARE
	gate text;
BEGIN
	-- a look at one file, when all are open
	WHILE (pg_stat_file('gates', true)).size IS NOT NULL LOOP
		PERFORM pg_stat_clear_snapshot();
		SELECT CASE WHEN backend_type = 'parallel worker' THEN 'gate.worker' ELSE 'gate.leader' END INTO gate
		FROM pg_stat_activity WHERE pid = pg_backend_pid();
		EXIT WHEN (pg_stat_file(gate, true)).size IS NULL OR gate = 'gate.leader' AND NOT EXISTS
			(SELECT FROM pg_stat_progress_create_index WHERE pid = pg_backend_pid() AND phase LIKE '%loading tuples');
		PERFORM pg_sleep(0.005);
	END LOOP;
	RETURN v;
END \$\$));
}

sub close_gates
{
	my ($node, @kinds) = @_;

	append_to_file($node->data_dir . '/' . $_, 'closed') foreach (map { "gate.$_" } @kinds), 'gates';
}

sub open_gates
{
	my ($node) = @_;

	unlink(map { $node->data_dir . "/$_" } qw(gates gate.leader gate.worker));
}

# Wait until the build of a session whose application_name is "builder" is held at
# closed gates, by the leader if wanted and so many workers.  False when it ended
# instead.
sub wait_for_build
{
	my ($node, $s, $leader, $workers) = @_;

	for (my $i = 0; $i < 20 * $PostgreSQL::Test::Utils::timeout_default; $i++)
	{
		return 1 if $node->safe_psql('postgres', qq(
SELECT count(*) FILTER (WHERE backend_type = 'client backend') >= $leader
	AND count(*) FILTER (WHERE backend_type = 'parallel worker') >= $workers
FROM pg_stat_activity WHERE application_name = 'builder' AND wait_event = 'PgSleep')) eq 't';
		$s->{h}->pump_nb;
		return 0 unless $s->{h}->pumpable;
		usleep(20_000);
	}
	BAIL_OUT('a build neither comes to the gates nor ends');
}

my @phases = ('initializing', 'loading tuples', 'linking nodes', 'writing pages', 'inserting tuples', 'logging');

# What a session saw of the progress of builds, a line each:
# phase|blocks total|blocks done|tuples total|tuples done.
sub progress_is_right
{
	my ($seen, $rows, $when) = @_;
	my ($at, @wrong, %phases) = (-1);

	foreach my $line (split /\n/, $seen)
	{
		my ($phase, $blocks, $blocks_done, $tuples, $tuples_done) = split /\|/, $line;
		my ($place) = grep { $phase eq "building index: $phases[$_]" } 0 .. $#phases;

		next if $phase eq 'initializing' || $phase eq 'building index';	# the server's own, before and after
		push @wrong, "unknown phase: $line" unless defined $place;
		next unless defined $place;
		$phases{ $phases[$place] } = 1;
		push @wrong, "goes back: $line" if $place < $at;
		push @wrong, "more than all: $line" if $blocks_done > $blocks || $tuples_done > $tuples;
		# in each phase that counts rows, no more than there are
		push @wrong, "too many rows: $line" if $tuples > $rows;
		$at = $place;
	}
	is(join("\n", @wrong), '', "$when: progress is told rightly");
	return join(', ', grep { $phases{$_} } @phases);
}

my $root = abs_path(dirname(__FILE__) . '/..');

# Of a list of cases, each a data set, those whose files are there, with the
# folder filled in.  The shipped words always are, and texts, which are made; the larger sets are looked for
# in $VECTORX_DATA, else in ../shared/data beside the repository, and each that is
# not there is reported as a skipped test.
sub sets_that_are_here
{
	my (@cases) = @_;
	my $folder = $ENV{VECTORX_DATA} || "$root/../shared/data";
	my @present;

	foreach my $case (@cases)
	{
		my @missing = $case->{set} =~ /^(?:words|texts)$/ ? () : grep { !-r } map { "$folder/$case->{set}.$_.npy" } qw(base queries);

		if (@missing)
		{
			diag("$case->{name}: not run, there is no $missing[0]");
		  SKIP: { skip("$case->{name}: the data set is not here (set VECTORX_DATA)", 1); }
			next;
		}
		$case->{folder} = $folder if $case->{set} !~ /^(?:words|texts)$/;
		push @present, $case;
	}
	return @present;
}

# The Python that helpers run with: one that has what they import.
sub python
{
	our $python;

	return $python if $python;
	$python = $ENV{VX_PYTHON} || (-x "$root/.venv/bin/python" ? "$root/.venv/bin/python" : 'python3');
	my $said = `'$python' -c 'import numpy, psycopg' 2>&1`;
	if ($? != 0)
	{
		my ($why) = reverse split(/\n/, $said);

		BAIL_OUT("$python does not serve (" . ($why // 'cannot be run')
			. '): scripts/bootstrap makes .venv, VX_PYTHON may name another Python with requirements.txt');
	}
	return $python;
}

# The words of a command that runs a Python helper of this folder against a server.
sub python_command
{
	my ($node, $script, @arguments) = @_;

	return ('env', 'PGHOST=' . $node->host, 'PGPORT=' . $node->port, 'PGDATABASE=postgres',
		python(), "$root/t/$script", @arguments);
}

sub run_python_command
{
	my ($node, $script, @arguments) = @_;

	system(python_command($node, $script, @arguments)) == 0 or BAIL_OUT("$script @arguments failed");
}

# Run a Python helper; an argument that is a reference is handed over as a JSON
# file.  Each line of the helper is one test, told as soon as it is known;
# recall.py says how they look.
sub run_python
{
	my ($node, $script, @arguments) = @_;
	my ($tests, $announced) = (0, -1);

	foreach my $argument (grep { ref } @arguments)
	{
		my $file = PostgreSQL::Test::Utils::tempdir() . '/argument.json';

		append_to_file($file, JSON::PP->new->canonical->encode($argument));
		$argument = $file;
	}
	open(my $helper, '-|', 'sh', '-c', 'exec "$0" "$@" 2>&1', python_command($node, $script, @arguments))
	  or BAIL_OUT("cannot run $script: $!");
	while (my $line = <$helper>)
	{
		chomp $line;
		my ($kind, $text) = split /\t/, $line, 2;
		$kind = '' unless defined $text;
		if    ($kind eq 'ok')     { $tests++; pass($text); }
		elsif ($kind eq 'not ok') { $tests++; fail($text); }
		elsif ($kind eq '#')      { note($text); }
		elsif ($kind eq 'done')   { $announced = $text; }
		else                      { diag($line); }    # what it said on its stderr
	}
	close($helper);
	is($?, 0, "$script ended well");
	is($tests, $announced, "$script told of all its tests");
	cmp_ok($tests, '>', 0, "$script: there were tests");
}

1;
