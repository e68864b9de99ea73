# VACUUM of many dead rows chooses most lists anew at once (src/hnsw/README, "Relinking"),
# for every way a node can be laid out: then the index is sound, finds what one that is built
# over the same rows does, and VACUUM VERBOSE says what was done.  With less memory than that
# takes, and where few rows are dead, lists are mended one by one, and it is sound as well.
# A merge of many rows links them at once in the same way.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my %rows = (v3 => 4000, map { $_ => 2000 } qw(v100 l1 cos side half bit sparse));
my $node = new_node('relink', "maintenance_work_mem = '64MB'\nmax_wal_size = '512MB'\n");
create_tables($node, [ sort keys %rows ]);
# So many clusters that none fills its members' lists: a VACUUM, one by one as well, may take the
# records above level 0 that alone lead to one that does.
$node->safe_psql('postgres', q(
CREATE OR REPLACE FUNCTION clustered(n int) RETURNS vector LANGUAGE sql VOLATILE AS $$
	SELECT array_agg(sin(c.k * 12.9898 + i * 78.233) + 0.6 * (random() + random() - 1))::vector
	FROM (SELECT floor(random() * 400) AS k OFFSET 0) c, generate_series(1, n) i
$$));

# What VACUUM VERBOSE says of an index: nodes freed, lists repaired, chosen anew, at once.
sub vacuum
{
	my ($name, $set) = @_;
	my $said = '';

	$node->psql('postgres', "$set VACUUM (VERBOSE, INDEX_CLEANUP on) $name", stderr => \$said);
	like($said, qr/pages of nodes have room for more, \d+ pages are free/, "$name: VACUUM VERBOSE tells of pages");
	my @numbers = $said =~ /index "${name}_idx": (\d+) nodes freed, (\d+) lists repaired\nDETAIL:\s+(\d+) lists were chosen anew, (\d+) of them at once/
	  or diag($said);
	return @numbers;
}

foreach my $name (sort keys %rows)
{
	# most by a build, the others one by one, whose lists are shorter
	$node->safe_psql('postgres', "ALTER TABLE $name SET (parallel_workers = 0)");
	fill_tables($node, { $name => $rows{$name} });
	$node->safe_psql('postgres', "REINDEX INDEX ${name}_idx");
	fill_tables($node, { $name => 300 });
	$node->safe_psql('postgres', "DELETE FROM $name WHERE id % 10 IN (2, 5, 9)");

	my ($freed, $repaired, $chosen, $at_once) = vacuum($name, '');
	cmp_ok($freed, '>', $rows{$name} / 4, "$name: nodes freed");
	cmp_ok($at_once, '>', $rows{$name} / 4, "$name: lists chosen at once");
	cmp_ok($chosen - $at_once, '<', $rows{$name} / 20, "$name: hardly any by itself");
	index_is_sound($node, $name, 'relinked', 100);

	my $recall = $node->safe_psql('postgres', "SELECT recall10('$name', '$kinds{$name}->{op}', 200)");
	$node->safe_psql('postgres', "REINDEX INDEX ${name}_idx");
	my $fresh = $node->safe_psql('postgres', "SELECT recall10('$name', '$kinds{$name}->{op}', 200)");
	cmp_ok($recall, '>=', $fresh - 0.02, "$name: recall $recall, of a new index $fresh");

	# too little memory
	$node->safe_psql('postgres', "DELETE FROM $name WHERE id % 10 IN (1, 6)");
	($freed, $repaired, $chosen, $at_once) = vacuum($name, "SET maintenance_work_mem = '1MB';");
	is($at_once, 0, "$name: none at once with little memory");
	cmp_ok($chosen, '>', $rows{$name} / 10, "$name: but chosen anew");
	index_is_sound($node, $name, 'repaired', 100);

	# few dead
	$node->safe_psql('postgres', "DELETE FROM $name WHERE id % 200 = 0");
	($freed, $repaired, $chosen, $at_once) = vacuum($name, '');
	is($at_once, 0, "$name: none at once where few are dead");
	index_is_sound($node, $name, 'hardly changed', 100);

	# many rows that wait to be linked
	$node->safe_psql('postgres', "ALTER INDEX ${name}_idx SET (pending_limit = 3000)");
	fill_tables($node, { $name => 700 });
	my $said = '';
	is($node->safe_psql('postgres', "SELECT pending_rows FROM hnsw_info('${name}_idx')"), 700, "$name: pending rows");
	$node->psql('postgres', "SET client_min_messages = debug2; SELECT hnsw_merge('${name}_idx')", stderr => \$said);
	like($said, qr/"${name}_idx": 700 pending nodes linked at once, 0 one by one, 0 links afterwards/, "$name: merged at once");
	is($node->safe_psql('postgres', "SELECT pending_rows FROM hnsw_info('${name}_idx')"), 0, "$name: no pending rows");
	index_is_sound($node, $name, 'merged', 100);
	$recall = $node->safe_psql('postgres', "SELECT recall10('$name', '$kinds{$name}->{op}', 200)");
	$node->safe_psql('postgres', "REINDEX INDEX ${name}_idx");
	$fresh = $node->safe_psql('postgres', "SELECT recall10('$name', '$kinds{$name}->{op}', 200)");
	cmp_ok($recall, '>=', $fresh - 0.02, "$name: recall $recall after the merge, of a new index $fresh");
	$node->safe_psql('postgres', "DROP TABLE $name");
}
$node->stop;
log_is_clean($node);
done_testing();
