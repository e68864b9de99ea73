# Recall of the index against exact search on the same rows, over real vectors,
# for every metric: after a build, after inserts alone, and after half of the
# rows were replaced and vacuumed.  Also: the rows come nearest first, with
# true distances, none twice and none deleted; hnsw_check finds nothing, and
# hnsw_info counts what is in the table.
#
# The shipped word vectors (bench/data) are always tested.  The larger sets are
# looked for in $VECTORX_DATA, else in ../shared/data beside the repository;
# each one that is not there is reported as a skipped test.
use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# ef_search, and the least recall@10 to be had at each, by metric: what an HNSW
# index that compares exact vectors everywhere (m 16, ef_construction 64) finds
# on the same rows, less 0.02 to 0.03.  "ip" has numbers of its own, because
# glove's norms differ a lot, and with them what is near by inner product.
my @ef_search = (40, 100);
my @cases = (
	{
		name => 'words 100-d', set => 'words', dim => 100,
		rows => 10_000, inserted => 4_000,
		recall => {
			l2     => [ 0.96, 0.98 ],
			cosine => [ 0.96, 0.98 ],
			ip     => [ 0.96, 0.98 ],
			l1     => [ 0.95, 0.97 ],
		},
	},
	{
		name => 'glove 100-d', set => 'glove100', dim => 100,
		rows => 10_000, inserted => 4_000,
		recall => {
			l2     => [ 0.89, 0.95 ],
			cosine => [ 0.92, 0.96 ],
			ip     => [ 0.93, 0.97 ],
			l1     => [ 0.86, 0.93 ],
		},
	},
	{
		name => 'minilm 384-d', set => 'minilm1536', dim => 384,
		rows => 8_000, inserted => 3_000,
		recall => {
			l2     => [ 0.95, 0.97 ],
			cosine => [ 0.95, 0.97 ],
			ip     => [ 0.95, 0.97 ],
			l1     => [ 0.95, 0.97 ],
		},
	},
	{
		name => 'minilm 1536-d', set => 'minilm1536', dim => 1536,
		rows => 4_000, inserted => 1_500,
		recall => {
			l2     => [ 0.96, 0.98 ],
			cosine => [ 0.96, 0.98 ],
			ip     => [ 0.96, 0.98 ],
			l1     => [ 0.96, 0.98 ],
		},
	},);
my $queries = 200;

my $root = abs_path(dirname(__FILE__) . '/..');
my $folder = $ENV{VECTORX_DATA} || "$root/../shared/data";
my $python = $ENV{VX_PYTHON} || (-x "$root/.venv/bin/python" ? "$root/.venv/bin/python" : 'python3');

my @present;
foreach my $case (@cases)
{
	my ($set, $name) = ($case->{set}, $case->{name});
	if ($set ne 'words')
	{
		my @missing = grep { !-r } map { "$folder/$set.$_.npy" } qw(base queries);
		if (@missing)
		{
			diag("$name: not run, there is no $missing[0]");
		  SKIP: { skip("$name: the data set is not here (set VECTORX_DATA)", 1); }
			next;
		}
		$case->{folder} = $folder;
	}
	$case->{ef_search} = \@ef_search;
	$case->{queries} = $queries;
	push @present, $case;
}

my $node = PostgreSQL::Test::Cluster->new('recall');
$node->init;
$node->append_conf('postgresql.conf', qq(
autovacuum = off
maintenance_work_mem = '256MB'
shared_buffers = '256MB'
));
$node->start;

my $file = PostgreSQL::Test::Utils::tempdir() . '/cases.json';
append_to_file($file, JSON::PP->new->canonical->encode(\@present));

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';
my @command = ($python, "$root/t/recall.py", $file);

# One line of the helper is one test, told as soon as it is known.
my ($tests, $announced) = (0, -1);
open(my $helper, '-|', 'sh', '-c', 'exec "$0" "$@" 2>&1', @command) or BAIL_OUT("cannot run $python: $!");
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
is($?, 0, 'the helper ended well');
is($tests, $announced, 'the helper told of all its tests');
cmp_ok($tests, '>', 0, 'there were tests');

$node->stop;
done_testing();
