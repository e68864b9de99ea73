# Searches by index return what a sequential scan of the same snapshot returns:
# with LIMIT k as many rows, all of which match, without LIMIT the same rows, nearest
# first, whatever the conditions, row security, settings, and what is done beside them.
# VX_SEARCH_CASES: how many searches of each table (default below); VX_SEARCH_SEED
# repeats the long form, which is another each time.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my $cases = $ENV{VX_SEARCH_CASES} || 60;
my $seed = $ENV{VX_SEARCH_SEED} || ($ENV{VX_SEARCH_CASES} ? 1 + int(rand(1_000_000)) : 33000);

note("VX_SEARCH_SEED=$seed VX_SEARCH_CASES=$cases");

my $node = new_node('searches', q(
shared_buffers = '64MB'
log_min_error_statement = panic
restart_after_crash = off
), allows_streaming => 1);
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'hot_standby_feedback = on');
$standby->start;

run_python($node, 'searches.py', $cases, $seed, $standby->port);

$standby->stop;
$node->stop;
done_testing();
