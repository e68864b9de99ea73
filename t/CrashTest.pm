# What the tests of crashes share: tables whose rows tell what they must be,
# clients that keep a journal of what they committed, a server killed with
# SIGKILL, and what must hold after its recovery.
package CrashTest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IPC::Run;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use VectorxTest;

our @EXPORT = qw(%crash_kinds create_crash_table new_client start_client finish_client
  wait_for_clients start_commands run_psql kill_server kill_postmaster kill_backend
  rows_are_right index_is_right);

# One table and index for each way a node can be laid out, some of other types.  cap: rows
# that a client keeps.  The other words are those of %kinds.
our %crash_kinds = (
	exact => { dim => 8,   opclass => 'vector_l2_ops', op => '<->', cap => 250 },
	bits4 => { dim => 16,  opclass => 'vector_l2_ops', op => '<->', cap => 400, distinct => 8, with => 'pending_limit = 0' },
	bits2 => { dim => 64,  opclass => 'vector_cosine_ops', op => '<=>', cap => 250, with => 'pending_limit = 0' },
	bits1 => { dim => 200, opclass => 'halfvec_l2_ops', op => '<->', cap => 200, type => 'halfvec' },
	pend  => { dim => 100, opclass => 'vector_cosine_ops', op => '<=>', cap => 250, with => 'pending_limit = 80' },
	none  => { dim => 40,  opclass => 'vector_l1_ops', op => '<+>', cap => 200 },
	side  => { dim => 3000, opclass => 'vector_l2_ops', op => '<->', cap => 30 },
	bit   => { dim => 203, opclass => 'bit_jaccard_ops', op => '<%>', cap => 250, type => 'bit', value => 'binary_quantize(%s)' },
	sparse => { dim => 200_000, opclass => 'sparsevec_l2_ops', op => '<->', cap => 60, type => 'sparsevec',
		value => 'scattered(%s, 200000)', elements => 480 },
);

# Ids of one client.
my $RANGE = 10_000_000;
# Rows that COPY takes its vectors from.
my $POOL = 30;

# A table whose vectors follow from id and version: vec_NAME(id, ver).  Rows
# with a negative version have the vector that id -ver had in version 0.
sub create_crash_table
{
	my ($node, $name) = @_;
	my $k = $crash_kinds{$name};
	my $type = $k->{type} // 'vector';
	my $of = $k->{distinct}
	  ? "sin((f.id + f.ver) % $k->{distinct} * 12.9898 + i * 78.233)"
	  : "sin(f.id % 40 * 12.9898 + i * 78.233) + (hashint8extended(f.id * 1000 + f.ver, i) & 65535) / 65536.0 - 0.5";

	$node->safe_psql('postgres', qq(
CREATE FUNCTION vec_$name(id bigint, ver int) RETURNS @{[$k->{value} ? $type : 'vector']} LANGUAGE sql IMMUTABLE AS \$\$
	SELECT @{[value_of($k, "array_agg($of ORDER BY i)::vector")]}
	FROM (SELECT CASE WHEN \$2 < 0 THEN -\$2 ELSE \$1 END AS id, greatest(\$2, 0) AS ver OFFSET 0) f,
		generate_series(1, @{[$k->{elements} // $k->{dim}]}) i
\$\$;
CREATE TABLE $name (id bigint PRIMARY KEY, ver int NOT NULL, v $type($k->{dim})) WITH (vacuum_truncate = off);
CREATE INDEX ${name}_idx ON $name USING hnsw (v $k->{opclass})@{[$k->{with} ? " WITH ($k->{with})" : '']};
));
	$k->{pool} = [ split /\n/, $node->safe_psql('postgres', "SELECT vec_$name(i, 0) FROM generate_series(1, $POOL) i") ];
}

# ---- clients

# A client of a table: it alone writes the rows of its range of ids, so that
# what they are after each of its transactions is known beforehand.
sub new_client
{
	my ($name, $number) = @_;

	return { name => $name, low => ($number + 1) * $RANGE, next => ($number + 1) * $RANGE, rows => {} };
}

sub some_of
{
	my ($rows, $n) = @_;
	my @ids = keys %$rows;

	return () if @ids == 0;
	$n = @ids if $n > @ids;
	# neighbours in the order of ids as well as any
	if (rand() < 0.5)
	{
		@ids = sort { $a <=> $b } @ids;
		my $at = int(rand(@ids - $n + 1));
		return @ids[ $at .. $at + $n - 1 ];
	}
	my %some = map { $ids[ rand @ids ] => 1 } 1 .. $n;
	return keys %some;
}

# SQL of one statement; %$rows becomes what the client's rows are after it.
sub statement
{
	my ($client, $what, $rows) = @_;
	my $name = $client->{name};
	my $k = $crash_kinds{$name};

	$what = 'multi' if keys %$rows < $k->{cap} / 4 && $what =~ /update|delete|sweep/;
	$what = rand() < 0.5 ? 'sweep' : 'delete' if keys %$rows > $k->{cap};
	if ($what eq 'single' || $what eq 'multi')
	{
		my $from = $client->{next};
		my $n = $what eq 'single' ? 1 : 2 + int(rand($k->{cap} / 10));
		my $to = $from + $n - 1;

		$client->{next} += $n;
		$rows->{$_} = 0 foreach $from .. $to;
		return "INSERT INTO $name SELECT i, 0, vec_$name(i, 0) FROM generate_series($from, $to) i;\n";
	}
	if ($what eq 'copy')
	{
		my $sql = "COPY $name FROM STDIN;\n";

		foreach my $i (1 .. 1 + int(rand($k->{cap} / 8)))
		{
			my $id = $client->{next}++;
			my $from = 1 + int(rand($POOL));

			$rows->{$id} = -$from;
			$sql .= "$id\t-$from\t$k->{pool}[ $from - 1 ]\n";
		}
		return $sql . "\\.\n";
	}
	if ($what eq 'update')
	{
		my @ids = some_of($rows, 1 + int(rand(6)));

		$rows->{$_}++ foreach @ids;
		return "UPDATE $name SET ver = ver + 1, v = vec_$name(id, ver + 1) WHERE id IN (" . join(',', @ids) . ");\n";
	}
	if ($what eq 'delete')
	{
		my @ids = some_of($rows, 1 + int(rand(12)));

		delete $rows->{$_} foreach @ids;
		return "DELETE FROM $name WHERE id IN (" . join(',', @ids) . ");\n";
	}
	if ($what eq 'sweep')
	{
		# the oldest: whole regions of the graph die, the root with them
		my @ids = sort { $a <=> $b } keys %$rows;
		my $last = $ids[ @ids / 2 ];

		delete $rows->{$_} foreach grep { $_ <= $last } @ids;
		return "DELETE FROM $name WHERE id BETWEEN $client->{low} AND $last;\n";
	}
	die "no statement $what";
}

# One transaction.
sub transaction
{
	my ($client, $weights, $rows) = @_;
	my @kinds = map { ($_) x $weights->{$_} } sort keys %$weights;
	my $pick = sub { $kinds[ rand @kinds ] };

	return statement($client, $pick->(), $rows) if rand() < 0.75;
	if (rand() < 0.4)
	{
		my %gone = %$rows;

		return "BEGIN;\n" . statement($client, $pick->(), \%gone) . statement($client, 'multi', \%gone) . "ROLLBACK;\n";
	}
	my %gone;
	my $sql = "BEGIN;\n" . statement($client, $pick->(), $rows);

	%gone = %$rows;
	$sql .= "SAVEPOINT s;\n" . statement($client, $pick->(), \%gone) . "ROLLBACK TO s;\n" if rand() < 0.5;
	return $sql . statement($client, $pick->(), $rows) . "COMMIT;\n";
}

# psql in the background, ending at the first error.  Its messages go to a file,
# which can be read while it runs.
sub run_psql
{
	my ($node, $script) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $run = { messages => "$dir/messages" };

	open(my $fh, '>', "$dir/script") or die "$dir/script: $!";
	print $fh $script;
	close $fh;
	$run->{h} = IPC::Run::start(
		[ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') . ' application_name=client', '-f', "$dir/script" ],
		'<', '/dev/null', '>', '/dev/null', '2>', $run->{messages});
	return $run;
}

# Start a client with so many transactions.  psql writes its journal to stderr,
# which is not buffered: "try N" before a transaction, "done N" after it.
# "after" keeps what the rows are after each.
sub start_client
{
	my ($node, $client, $weights, $transactions) = @_;
	my %rows = %{ $client->{rows} };
	my $script = '';

	$client->{after} = [ {%rows} ];
	foreach my $n (1 .. $transactions)
	{
		$script .= "\\warn try $n\n" . transaction($client, $weights, \%rows) . "\\warn done $n\n";
		push @{ $client->{after} }, {%rows};
	}
	$client->{run} = run_psql($node, $script);
}

# Commands over and over, with the same journal.
sub start_commands
{
	my ($node, $times, @commands) = @_;
	my $n = 0;

	return { run => run_psql($node, join('', map { ++$n; "\\warn try $n\n$_;\n\\warn done $n\n" } (@commands) x $times)) };
}

# Wait until each of them has done something.
sub wait_for_clients
{
	foreach my $client (@_)
	{
		my $run = $client->{run};

		for (my $i = 0; slurp_file($run->{messages}) !~ /^done /m && $run->{h}->pumpable; $i++)
		{
			BAIL_OUT('a client does not get on') if $i == $PostgreSQL::Test::Utils::timeout_default * 200;
			usleep(5_000);
		}
	}
}

# After the server has gone: wait for the client's end and read its journal.
# Returns what it met besides the loss of its connection, and the number of
# transactions it did and whether one was under way.
sub finish_client
{
	my ($client) = @_;
	my $run = $client->{run};
	my ($try, $done) = (0, 0);
	my $unexpected = '';

	$run->{h}->finish;
	foreach my $line (split /\n/, slurp_file($run->{messages}))
	{
		if ($line =~ /^try (\d+)$/) { $try = $1 }
		elsif ($line =~ /^done (\d+)$/) { $done = $1 }
		# the last where a worker is killed before its leader
		elsif ($line =~ /(ERROR|FATAL|PANIC): /
			&& $line !~ /(?:unexpected postmaster exit|postmaster exited during a parallel transaction|lost connection to parallel worker)/) { $unexpected .= "$line\n" }
	}
	$unexpected .= "try $try after done $done\n" unless $try == $done || $try == $done + 1;
	$client->{try} = $try;
	$client->{done} = $done;
	return ($unexpected, $done, $try - $done);
}

# ---- SIGKILL

# The server's processes that are left: the postmaster and its children, as
# [pid, state].
sub processes
{
	my ($postmaster) = @_;
	my @found;

	if (-r "/proc/$$/stat")
	{
		foreach my $file (glob '/proc/[0-9]*/stat')
		{
			open(my $fh, '<', $file) or next;
			my $line = <$fh>;
			close $fh;
			next unless defined $line && $line =~ /^(\d+) \(.*\) (\S) (\d+) /s;
			push @found, [ $1, $2 ] if $1 == $postmaster || $3 == $postmaster;
		}
	}
	else
	{
		foreach (split /\n/, `ps -A -o pid= -o ppid= -o stat=`)
		{
			push @found, [ $1, $3 ] if /^\s*(\d+)\s+(\d+)\s+(\S)/ && ($1 == $postmaster || $2 == $postmaster);
		}
	}
	return @found;
}

sub is_running
{
	my ($pid) = @_;

	return 0 unless kill(0, $pid);
	if (open(my $fh, '<', "/proc/$pid/stat"))
	{
		my $line = <$fh>;
		return 0 if defined $line && $line =~ /^\d+ \(.*\) Z /s;
	}
	return 1;
}

sub wait_for_end
{
	foreach my $pid (@_)
	{
		for (my $i = 0; is_running($pid); $i++)
		{
			BAIL_OUT("process $pid of the server does not end") if $i == $PostgreSQL::Test::Utils::timeout_default * 100;
			usleep(10_000);
		}
	}
}

# The next postmaster does not start while the process number in the lock files
# is anybody's, be it of a process that has ended and whose parent has not asked
# after it yet: put that of a process that is gone there.
sub forget_postmaster
{
	my ($node) = @_;
	my $gone = fork() // BAIL_OUT("cannot fork: $!");

	POSIX::_exit(0) if $gone == 0;
	waitpid($gone, 0);
	foreach my $file ($node->data_dir . '/postmaster.pid', $node->host . '/.s.PGSQL.' . $node->port . '.lock')
	{
		next unless -e $file;
		my $text = slurp_file($file);

		$text =~ s/^\d+/$gone/ or BAIL_OUT("no process number in $file");
		open(my $fh, '>', $file) or BAIL_OUT("$file: $!");
		print $fh $text;
		close $fh;
	}
	$node->{_pid} = undef;
	return;
}

# All processes at once.  The postmaster is stopped first, so that it neither
# starts others nor sees them end.
sub kill_server
{
	my ($node) = @_;
	my $postmaster = $node->{_pid};

	kill('STOP', $postmaster) or BAIL_OUT("cannot stop the postmaster: $!");
	my @pids = map { $_->[0] } processes($postmaster);
	kill('KILL', @pids);
	wait_for_end(@pids);
	forget_postmaster($node);
}

# The postmaster alone; the others find out and end.
sub kill_postmaster
{
	my ($node) = @_;
	my $postmaster = $node->{_pid};
	my @pids = map { $_->[0] } processes($postmaster);

	kill('KILL', $postmaster) or BAIL_OUT("cannot kill the postmaster: $!");
	wait_for_end(@pids);
	forget_postmaster($node);
}

# The backend of one client; with restart_after_crash = off the server goes down.
sub kill_backend
{
	my ($node) = @_;
	my $postmaster = $node->{_pid};
	my @pids = map { $_->[0] } processes($postmaster);

	while (is_running($postmaster))
	{
		my ($status, $pid) = $node->psql('postgres',
			"SELECT pid FROM pg_stat_activity WHERE application_name = 'client' ORDER BY random() LIMIT 1");

		last if $status != 0;	# it is going down
		return kill_server($node) if $pid eq '';	# all have ended
		kill('KILL', $pid);
		# again, if that one has just ended by itself
		for (my $i = 0; is_running($postmaster) && $i < 1000; $i++)
		{
			usleep(10_000);
		}
	}
	wait_for_end(@pids);
	forget_postmaster($node);
}

# ---- after recovery

# In words.
sub difference
{
	my ($have, $should) = @_;
	my $version = sub { my ($rows, $id) = @_; exists $rows->{$id} ? "version $rows->{$id}" : 'no row' };
	my %ids = (%$have, %$should);

	return join(', ', map { my ($h, $s) = ($version->($have, $_), $version->($should, $_)); $h eq $s ? () : "$_: $h, not $s" }
		  sort { $a <=> $b } keys %ids);
}

# Is what the table holds of each client what it was after its last committed
# transaction, or after the one that was under way, and nothing in between?
# That becomes what the client goes on from.
sub rows_are_right
{
	my ($node, $when, $name, @clients) = @_;
	my @problems;
	my %found;

	foreach (split /\n/, $node->safe_psql('postgres', "SELECT id, ver FROM $name"))
	{
		my ($id, $ver) = split /\|/;
		$found{ int($id / $RANGE) - 1 }{$id} = $ver;
	}
	foreach my $i (0 .. $#clients)
	{
		my $client = $clients[$i];
		my $have = delete $found{$i} // {};
		my @may = exists $client->{after} ? @{ $client->{after} }[ $client->{done} .. $client->{try} ] : ($client->{rows});
		my @wrong = map { difference($have, $_) } @may;

		push @problems, "client $i, transaction $client->{done} to $client->{try}: " . join("\nor ", @wrong)
		  unless grep { $_ eq '' } @wrong;
		$client->{rows} = $have;
		delete $client->{after};
	}
	push @problems, "rows of nobody: $_" foreach keys %found;
	is(join("\n", @problems), '', "$when: each transaction is there as a whole or not at all");
	is($node->safe_psql('postgres', "SELECT id, ver FROM $name WHERE v IS DISTINCT FROM vec_$name(id, ver) LIMIT 5"),
		'', "$when: each row has its vector");
}

# hnsw_check is silent; each row is found by an index scan with its own vector,
# and the scan of everything returns what the table holds.
sub index_is_right
{
	my ($node, $when, $name, $most) = @_;
	my $k = $crash_kinds{$name};

	is($node->safe_psql('postgres', "SELECT * FROM hnsw_check('${name}_idx') LIMIT 10"), '', "$when: hnsw_check");
	like($node->safe_psql('postgres', qq(
		SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off;
		EXPLAIN (COSTS OFF) SELECT id, v FROM $name ORDER BY v $k->{op} vec_$name(1, 0) LIMIT 5)),
		qr/Index Scan using ${name}_idx/, "$when: the index is used");
	is($node->safe_psql('postgres', "SELECT should, does FROM not_found('$name', '$k->{op}', " . ($most // 100000) . ') LIMIT 5'),
		'', "$when: each row is found by its own vector");
	is($node->safe_psql('postgres', "SELECT not_once('$name', '$k->{op}')"),
		'0', "$when: the index returns each row once and no other");
}

1;
