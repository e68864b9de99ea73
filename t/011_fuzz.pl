# Random input.  fuzz.py: texts, binary messages, arrays and type modifiers, each
# answered as a model of the type says, for vector and for halfvec; fuzz_sparsevec.py: the same of sparsevec, and
# distances of bit strings.  fuzz_sql.py: tables, indexes, settings,
# changes and searches, compared with a sequential scan.
# VX_FUZZ_CASES: how many of each kind (default 3000); VX_FUZZ_TABLES: how many
# tables (default 60).  The default form is always the same; when one of them is
# set, it is another each time, and VX_FUZZ_SEED repeats it.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my $cases = $ENV{VX_FUZZ_CASES} || 3000;
my $tables = $ENV{VX_FUZZ_TABLES} || 60;
my $long = $ENV{VX_FUZZ_CASES} || $ENV{VX_FUZZ_TABLES};
my $seed = $ENV{VX_FUZZ_SEED} || ($long ? 1 + int(rand(1_000_000)) : 32000);

note("VX_FUZZ_SEED=$seed VX_FUZZ_CASES=$cases VX_FUZZ_TABLES=$tables");

my $node = new_node('fuzz', q(
log_min_error_statement = panic
log_line_prefix = '%m [%p] %e '
restart_after_crash = off
), extra => [ '--locale=C', '--encoding=UTF8' ]);

run_python($node, 'fuzz.py', $cases, $seed);
run_python($node, 'fuzz.py', $cases, $seed, 'halfvec');
run_python($node, 'fuzz_sparsevec.py', $cases, $seed);
run_python($node, 'fuzz_sql.py', $tables, $seed);

$node->stop;
log_is_clean($node, 'XX000');
done_testing();
