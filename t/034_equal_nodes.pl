# Equal vectors that come again and again while merges are cut off and VACUUM runs: a merge makes a node of those
# that wait, beside the one there is.  Each is found all the same, by a search for as many rows as there are.
# (Most lists have one of several equal nodes: the others are found by way of their tree parents, which
# have to be near, whatever happened to those before.)
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my $node = new_node('equal', qq(
shared_buffers = '32MB'
jit = off
autovacuum = on
));

create_tables($node, ['cos']);
$node->safe_psql('postgres', q(
ALTER INDEX cos_idx SET (pending_limit = 300);
CREATE TABLE copies (v vector);
ALTER TABLE copies ALTER v SET STORAGE PLAIN;
-- In one session, which writes more than clients do: a tenth of all statements writes the copies.
CREATE PROCEDURE write(n int) LANGUAGE plpgsql AS $$
DECLARE
	r float;
	first bigint;
	last bigint;
BEGIN
	FOR k IN 1 .. n LOOP
		r := random();
		IF r < .36 THEN INSERT INTO cos (v) VALUES (gen_cos());
		ELSIF r < .54 THEN INSERT INTO cos (v) SELECT gen_cos() FROM generate_series(1, 8);
		ELSIF r < .64 THEN INSERT INTO cos (v) SELECT v FROM copies;
		ELSE
			SELECT min(id), max(id) INTO first, last FROM cos;
			IF r < .85 THEN
				UPDATE cos SET v = gen_cos() WHERE id = (SELECT id FROM cos WHERE id >= first + random() * (last - first) ORDER BY id LIMIT 1);
			ELSIF last - first > 600 THEN
				DELETE FROM cos WHERE id IN (SELECT id FROM cos WHERE id >= first + random() * (last - first) ORDER BY id LIMIT 10);
			END IF;
		END IF;
		COMMIT;
	END LOOP;
END $$;
));

# Who merges is cut off as if VACUUM had waited for it.
my @reads = write_scripts($node, 'cos', search => 6, vacuum => 1);
my $cancel = PostgreSQL::Test::Utils::tempdir() . '/cancel.sql';
append_to_file($cancel, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'vectorx merger';\n\\sleep 50 ms\n");
push @reads, '-f', "$cancel\@6";

foreach my $round (1 .. 3)
{
	$node->safe_psql('postgres', 'TRUNCATE cos, copies');
	fill_tables($node, { cos => 200 });
	$node->safe_psql('postgres', 'INSERT INTO copies SELECT gen_cos() FROM generate_series(1, 30)');
	my $readers = start_pgbench($node, 1, 7, @reads);
	$node->safe_psql('postgres', 'CALL write(3000)');
	finish_pgbench($readers, "round $round: searched and vacuumed");
	index_is_sound($node, 'cos', "round $round, written", 100_000);
	$node->safe_psql('postgres', "SELECT hnsw_merge('cos_idx')");
	index_is_sound($node, 'cos', "round $round, merged", 100_000);
	$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) cos');
	index_is_sound($node, 'cos', "round $round, vacuumed", 100_000);
}

log_is_clean($node);
done_testing();
