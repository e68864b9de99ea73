# Vectors of extreme elements, from denormals to the greatest floats: each is
# found where a sequential scan says, or refused when it comes (extremes.py).
# VX_EXTREME_CASES: how many tables (default 60).  The default form is always
# the same; when it is set, it is another each time, and VX_EXTREME_SEED repeats it.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my $cases = $ENV{VX_EXTREME_CASES} || 60;
my $seed = $ENV{VX_EXTREME_SEED} || ($ENV{VX_EXTREME_CASES} ? 1 + int(rand(1_000_000)) : 1);

note("VX_EXTREME_SEED=$seed VX_EXTREME_CASES=$cases");

my $node = new_node('extremes', q(
log_min_error_statement = panic
log_line_prefix = '%m [%p] %e '
restart_after_crash = off
));

run_python($node, 'extremes.py', $cases, $seed);

$node->stop;
log_is_clean($node, 'XX000');
done_testing();
