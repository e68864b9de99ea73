# Two-phase commit: rows written, rows deleted, and indexes made or dropped by
# transactions that are prepared, through VACUUM, other writers and a crash, then
# committed or rolled back.  And a transaction whose cursor stays open through many
# VACUUMs.
use strict;
use warnings FATAL => 'all';

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my @names = qw(v100 dup side hashed);
my %rows = (v100 => 300, dup => 600, side => 30, hashed => 60);

my $node = new_node('transactions', qq(
max_prepared_transactions = 10
restart_after_crash = off
));
create_tables($node, \@names);
fill_tables($node, { map { $_ => $rows{$_} } @names });

# Prepare two transactions for each table: a third of the rows deleted and as
# many new ones, and further new ones; the second is to be rolled back.
foreach my $name (@names)
{
	my $n = $rows{$name} / 3;

	$node->safe_psql('postgres', qq(
BEGIN;
INSERT INTO $name (id, v) SELECT 10000 + i, gen_$name() FROM generate_series(1, $n) i;
DELETE FROM $name WHERE id <= $n;
PREPARE TRANSACTION '${name}_kept';
BEGIN;
INSERT INTO $name (id, v) SELECT -i, gen_$name() FROM generate_series(1, $n) i;
SAVEPOINT s;
INSERT INTO $name (id, v) SELECT -1000 - i, gen_$name() FROM generate_series(1, $n) i;
ROLLBACK TO s;
INSERT INTO $name (id, v) SELECT -2000 - i, gen_$name() FROM generate_series(1, $n) i;
DELETE FROM $name WHERE id BETWEEN $n + 1 AND $n + 10;
PREPARE TRANSACTION '${name}_dropped';
));
}

sub all_sound
{
	my ($when) = @_;

	index_is_sound($node, $_, $when, 100) foreach @names;
}

all_sound('while prepared');
$node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP on) $_") foreach @names;
fill_tables($node, { map { $_ => $rows{$_} / 3 } @names });
all_sound('while prepared, after VACUUM and inserts');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_prepared_xacts'),
	2 * @names, 'all are still prepared after a crash');
all_sound('while prepared, after a crash');

foreach my $name (@names)
{
	$node->safe_psql('postgres', "ROLLBACK PREPARED '${name}_dropped'");
	index_is_sound($node, $name, 'after ROLLBACK PREPARED', 100);
	$node->safe_psql('postgres', "COMMIT PREPARED '${name}_kept'");
	is($node->safe_psql('postgres', "SELECT count(*), count(*) FILTER (WHERE id > 10000) FROM $name"),
		join('|', $rows{$name} * 4 / 3, $rows{$name} / 3), "$name: the rows of what was committed");
	index_is_sound($node, $name, 'after COMMIT PREPARED', 100);
	$node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP on) $name");
	index_is_sound($node, $name, 'after COMMIT PREPARED and VACUUM', 100);
	is($node->safe_psql('postgres', "SELECT heap_tids - (SELECT count(*) FROM $name) FROM hnsw_info('${name}_idx')"),
		'0', "$name: the index has as many rows as the table");
}

# Indexes of prepared transactions
$node->safe_psql('postgres', q(
DROP INDEX v100_idx;
BEGIN;
CREATE INDEX v100_idx ON v100 USING hnsw (v vector_l2_ops);
INSERT INTO v100 (v) SELECT gen_v100() FROM generate_series(1, 50);
PREPARE TRANSACTION 'create';
BEGIN;
CREATE INDEX dup_other ON dup USING hnsw (v vector_l2_ops);
PREPARE TRANSACTION 'create, not kept';
BEGIN;
DROP INDEX side_idx;
PREPARE TRANSACTION 'drop, not kept';
));
$node->stop('immediate');
$node->start;
$node->safe_psql('postgres', q(
COMMIT PREPARED 'create';
ROLLBACK PREPARED 'create, not kept';
ROLLBACK PREPARED 'drop, not kept';
));
all_sound('made or dropped by a prepared transaction');
fill_tables($node, { map { $_ => 20 } @names });
all_sound('made or dropped by a prepared transaction, with inserts');
is(files_of_nothing($node), '', 'no file is left of the index rolled back');

# A cursor finds a node's only row dead, which a hint is to say when it is closed.
# Meanwhile the node gets another row, and VACUUM takes rows out of it 256 times.  (The
# cursor keeps the page of the row it is at; all of this is on others.)
$node->safe_psql('postgres', q(
CREATE TABLE held (id int, v vector(3));
CREATE INDEX held_idx ON held USING hnsw (v vector_l2_ops);
INSERT INTO held VALUES (1, '[1,1,1]');
INSERT INTO held SELECT i, ARRAY[1000 + i, i % 7, i % 3]::vector FROM generate_series(1001, 1500) i;
INSERT INTO held SELECT i, ARRAY[i, 1, 1]::vector FROM generate_series(2, 9) i;
INSERT INTO held SELECT i, ARRAY[1000 + i, i % 7, i % 3]::vector FROM generate_series(2001, 2500) i;
DELETE FROM held WHERE id = 1;
));
my ($in, $out) = ('', '');
my $cursor = IPC::Run::start([ 'psql', '-XAtq', '-h', $node->host, '-p', $node->port, 'postgres' ], '<', \$in, '>', \$out);
$in = q(SET enable_seqscan = off;
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM held ORDER BY v <-> '[1,1,1]' LIMIT 50;
FETCH 3 FROM c;
\echo fetched
);
$cursor->pump until $out =~ /fetched/;
is($out, "2\n3\n4\nfetched\n", 'a cursor passes a dead row over');
my $vacuum = "VACUUM (INDEX_CLEANUP on, TRUNCATE off) held;\n";
$node->safe_psql('postgres', "INSERT INTO held VALUES (5000, '[1,1,1]');\n$vacuum" .
	"BEGIN; INSERT INTO held VALUES (6000, '[1,1,1]'); ROLLBACK;\n$vacuum" x 255);
$in = "CLOSE c;\nCOMMIT;\n\\q\n";
$cursor->finish;
# so many nodes that all are swept, where hints are believed
is($node->safe_psql('postgres', q(SET enable_seqscan = off; SET hnsw.ef_search = 10000;
SELECT id FROM held ORDER BY v <-> '[1,1,1]' LIMIT 1)), '5000', 'a row that came to the node meanwhile is found');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|XX002|invalid page|Segmentation|signal 11|signal 6|is damaged/,
	'the server log is clean');
done_testing();
