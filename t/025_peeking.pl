# Peeking: searches look at pages that they neither pin nor lock, while these are
# evicted, and while records there are freed and filled again.  What they
# find, and in which order, must be what the rows say.
# VX_SOAK_SECONDS: how long each table is written to (default 5).
use strict;
use warnings FATAL => 'all';

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my $seconds = $ENV{VX_SOAK_SECONDS} || 5;
my %rows = (l1 => 2000, wide => 600);
my $ef = 40;    # of searches whose visits are counted

$kinds{wide} = { dim => 500, opclass => 'vector_l1_ops', op => '<+>', keep => 700 };

# so few buffers that a page is often another one when a search comes back to it
my $node = new_node('peeking', qq(
shared_buffers = '1MB'
jit = off
autovacuum = off
));

# The ten nearest to each of some queries, by the index and without, in one snapshot: how many
# there are, how many of these the index finds, what it returns that is no row, or out of order.
my $compare = q(
CREATE FUNCTION compare(tab regclass, queries int, OUT wanted bigint, OUT hits bigint, OUT wrong bigint)
LANGUAGE plpgsql AS $$
DECLARE
	q vector;
	exact float8[];
	found float8[];
BEGIN
	wanted := 0;
	hits := 0;
	wrong := 0;
	FOR i IN 1 .. queries LOOP
		EXECUTE format('SELECT gen_%s()', tab) INTO q;
		SET LOCAL enable_indexscan = off;
		SET LOCAL enable_seqscan = on;
		EXECUTE format('SELECT array_agg(d) FROM (SELECT v <+> $1 AS d FROM %s ORDER BY 1 LIMIT 10) s', tab)
			INTO exact USING q;
		SET LOCAL enable_indexscan = on;
		SET LOCAL enable_seqscan = off;
		EXECUTE format('SELECT array_agg(d) FROM (SELECT v <+> $1 AS d FROM %s ORDER BY v <+> $1 LIMIT 10) s', tab)
			INTO found USING q;
		wanted := wanted + cardinality(exact);
		hits := hits + (SELECT count(*) FROM unnest(found) d WHERE d <= exact[10]);
		wrong := wrong + (cardinality(found) <> cardinality(exact))::int
			+ (found <> (SELECT array_agg(d ORDER BY d) FROM unnest(found) d))::int
			+ (SELECT count(*) FROM generate_subscripts(found, 1) n WHERE found[n] < exact[n]);
	END LOOP;
END $$;
);

# Nodes that the last of two equal searches of a session reads in hand, and neighbours it looks at.
sub visited_and_scored
{
	my ($name, $temporary) = @_;
	my $table = $temporary ? "t_$name" : $name;
	my $make = $temporary ? "CREATE TEMP TABLE $table AS TABLE $name; CREATE INDEX ON $table USING hnsw (v $kinds{$name}->{opclass});" : '';
	my $search = "SELECT count(*) FROM (SELECT FROM $table ORDER BY v <+> (SELECT v FROM $name ORDER BY id LIMIT 1) LIMIT 5) s;";
	my $counts = $node->safe_psql('postgres', qq(
SET enable_seqscan = off;
SET enable_sort = off;
SET hnsw.ef_search = $ef;
$make
$search
$search
SELECT visited, scored FROM hnsw_last_scan()));
	my ($last) = $counts =~ /(\d+\|\d+)$/;

	return split /\|/, $last;
}

create_tables($node, [ sort keys %rows ]);
fill_tables($node, \%rows);
$node->safe_psql('postgres', $compare);

foreach my $name (sort keys %rows)
{
	my @writes = write_scripts($node, $name, insert => 10, batch => 3, update => 10, delete => 3, sweep => 1,
		abort => 1, vacuum => 2);
	my @searches;

	foreach my $client (1 .. 2)
	{
		my ($out, $err) = ('', '');
		my $sql = join('', map { "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT * FROM compare('$name', 10);\nCOMMIT;\n" } 1 .. 4 * $seconds);

		push @searches, { out => \$out, err => \$err, h => IPC::Run::start(
				[ 'psql', '-XAtq', '-h', $node->host, '-p', $node->port, 'postgres' ],
				'<', \$sql, '>', \$out, '2>', \$err) };
	}
	finish_pgbench(start_pgbench($node, 3, $seconds, @writes), "$name written to");
	my ($wanted, $hits, $wrong) = (0, 0, 0);
	foreach my $s (@searches)
	{
		$s->{h}->finish;
		is(${ $s->{err} }, '', "$name: no error of a search");
		foreach my $line (split /\n/, ${ $s->{out} })
		{
			my @n = split /\|/, $line;

			$wanted += $n[0];
			$hits += $n[1];
			$wrong += $n[2];
		}
	}
	is($wanted, 2 * 4 * $seconds * 100, "$name: all searches were made");
	is($wrong, 0, "$name: what searches return are rows, in order");
	cmp_ok($hits / $wanted, '>', 0.95, "$name: recall while it is written to (" . $hits / $wanted . ')');
	index_is_sound($node, $name, 'after it was written to', 200);
	recall_of($node, $name, 0.95, 'after it was written to');
}

# a page counts as used by those that look at it: with all in memory a session comes to know them
$node->adjust_conf('postgresql.conf', 'shared_buffers', "'64MB'");
$node->restart;
foreach my $name (sort keys %rows)
{
	my ($visited, $scored) = visited_and_scored($name);

	# as many as a search keeps it has to visit; how many neighbours these have is the graph's matter
	cmp_ok($visited - $ef, '<', $scored / 4, "$name: most neighbours are only looked at ($visited visited, $scored scored)");
	($visited, $scored) = visited_and_scored($name, 1);
	cmp_ok($visited, '>', $scored, "$name: in a temporary table none is");
	recall_of($node, $name, 0.95, 'all in memory');
}

$node->stop;
log_is_clean($node);
done_testing();
