# Soak: eight clients insert, update, delete and search real vectors, with
# autovacuum at its most aggressive, until the table has been replaced three times
# over.  Every row of every answer is checked.  Afterwards the index must be sound,
# find every row by its own vector, find nearly as much as indexes built over the same
# rows do (soak.py says how nearly), and be at most 1.24 times as large.
#
# The short form is one small table of the shipped word vectors.  VX_SOAK_ROWS is
# the long form: so many rows (as far as a set has them) of every set and metric.
# VX_SOAK_ROUNDS says how many times each row is replaced (default 3),
# VX_SOAK_SETS chooses sets.
use strict;
use warnings FATAL => 'all';

use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my $rows = $ENV{VX_SOAK_ROWS};
my $rounds = $ENV{VX_SOAK_ROUNDS} || 3;
# "pool" is how many vectors of a set are used: the table has at most half of
# them at a time, the others are what its rows are replaced with.
my @cases = (
	{ name => 'words 100-d', set => 'words', dim => 100, pool => 24_000 },
	{ name => 'glove 100-d', set => 'glove100', dim => 100, pool => 80_000 },
	{ name => 'minilm 384-d', set => 'minilm1536', dim => 384, pool => 40_000 },
);

@cases = ($cases[0]) unless $rows;
@cases = map { my $set = $_; grep { $_->{set} eq $set } @cases } split(/,/, $ENV{VX_SOAK_SETS})
  if $ENV{VX_SOAK_SETS};
my @present = sets_that_are_here(@cases);
foreach my $case (@present)
{
	$case->{rows} = min($rows || 3000, $case->{pool} / 2);
	$case->{metrics} = $ENV{VX_SOAK_METRICS} ? [ split(/,/, $ENV{VX_SOAK_METRICS}) ] : $rows ? [qw(cosine l2)] : ['cosine'];
	$case->{rounds} = $rounds + 0;    # JSON keeps words and numbers apart
	$case->{clients} = 8;
	$case->{ef_search} = [ 20, 40, 100 ];
	$case->{queries} = 1000;
	$case->{queries_more} = 3000;
	# a build is random: compared with so many
	$case->{builds} = 5;
}

my $node = new_node('soak', qq(
jit = off
shared_buffers = '128MB'
maintenance_work_mem = '256MB'
autovacuum = on
autovacuum_naptime = '1s'
autovacuum_max_workers = 3
autovacuum_vacuum_threshold = 0
autovacuum_vacuum_scale_factor = 0
autovacuum_vacuum_insert_threshold = 0
autovacuum_vacuum_insert_scale_factor = 0
autovacuum_analyze_threshold = 0
autovacuum_analyze_scale_factor = 0
autovacuum_vacuum_cost_delay = 0
restart_after_crash = off
));
run_python($node, 'soak.py', \@present);
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|XX002|deadlock detected|Segmentation|signal 11|signal 6|is damaged/,
	'the server log is clean');
done_testing();
