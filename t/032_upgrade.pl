# Upgrades: a database that the last release has made, with an index of every layout it had, under this library, before
# and after ALTER EXTENSION vectorx UPDATE, moved by pg_upgrade, and restored from a dump; the catalogues are those of a new extension then.
# The release is built from git, in a copy of the server.  Then what is said of an index of a format that is not read,
# and what VACUUM, plans and REINDEX make of it.
use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Copy qw(copy);
use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

# 0.1.0, of 2026-11-23; a name, should it get one, or the commit
my @release = ('v0.1.0', '76705c8a5d3a904425177d5ceb79ddfbb5c6c697');

my $here = dirname(abs_path(__FILE__));
my $root = dirname($here);
# the repository may be somebody else's
my $git = "git -c safe.directory='*' -C '$root'";
my ($commit) = grep { system("$git rev-parse -q --verify '$_^{commit}' >/dev/null 2>&1") == 0 } @release;
plan skip_all => 'not run: the last release is not in the history of a git repository here' unless $commit;

delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL WERROR WAIT_POINTS SANITIZE MEMCHECK)};
my $config = copied_server();
my ($bin, $share, $libraries) = map { chomp(my $dir = `'$config' --$_`); $dir } qw(bindir sharedir pkglibdir);
my $folder = PostgreSQL::Test::Utils::tempdir();
my ($library) = grep { -e } map { "$libraries/vectorx.$_" } qw(so dylib);

sub run_ok
{
	my ($command) = @_;
	my $output = `$command 2>&1`;

	$? == 0 or BAIL_OUT("$command: $output");
}

# Files of a version, by name, from one folder to another's places.
sub keep
{
	my ($to) = @_;

	mkdir "$folder/$to";
	copy($_, "$folder/$to/" . basename($_)) or die "$_: $!" for $library, glob("$share/extension/vectorx*");
}

sub put
{
	my ($from) = @_;

	unlink $library, glob("$share/extension/vectorx*");
	copy($_, m{/vectorx\.(so|dylib)$} ? $library : "$share/extension/" . basename($_)) or die "$_: $!" for glob("$folder/$from/*");
	chmod 0755, $library;
}

keep('new');
mkdir "$folder/release";
run_ok("$git archive '$commit' | tar -x -C '$folder/release'");
run_ok("make -s -C '$folder/release' install PG_CONFIG='$config'");
unlink glob("$share/extension/vectorx_pgvector*"), glob("$share/extension/vectorx--*0.2*.sql");
keep('old');

# ---- a database of the last release

my $node = new_node('main', "max_parallel_maintenance_workers = 0\nignore_checksum_failure = on\n", install_path => dirname($bin));

sub sql
{
	my ($database, @sql) = @_;

	return $node->safe_psql($database, join(';', @sql));
}

# The messages of statements.
sub told
{
	my ($database, @sql) = @_;
	my (undef, undef, $err) = $node->psql($database, join(';', @sql), on_error_stop => 0);

	return $err;
}

# dimensions, rows, operator class, operator, options; rows that come before the index are linked by a build
my %tables = (
	exact => [ 3, 6000, 'l2', '<->', '' ],
	grown => [ 24, 2000, 'l2', '<->', 'm = 8', 'grown' ],
	v100 => [ 100, 6000, 'l2', '<->', '' ],
	ip => [ 100, 1500, 'ip', '<#>', '', 'grown' ],
	cos => [ 384, 2000, 'cosine', '<=>', '' ],
	cos_grown => [ 384, 600, 'cosine', '<=>', '', 'grown' ],
	long => [ 1536, 500, 'cosine', '<=>', '' ],
	side => [ 6000, 120, 'l2', '<->', '' ],
	side_grown => [ 3000, 100, 'ip', '<#>', '', 'grown' ],
	l1_exact => [ 10, 1500, 'l1', '<+>', '' ],
	l1 => [ 40, 1500, 'l1', '<+>', '', 'grown' ],
	l1_long => [ 3000, 200, 'l1', '<+>', '' ],
	none => [ 100, 1500, 'l2', '<->', "sketch_bits = '0'" ],
	none_fp16 => [ 100, 1000, 'ip', '<#>', "sketch_bits = '0', own_vector = fp16", 'grown' ],
	one_bit => [ 100, 1500, 'l2', '<->', "sketch_bits = '1', own_vector = fp16" ],
	two_bits => [ 100, 1500, 'cosine', '<=>', "sketch_bits = '2', own_vector = fp32" ],
	four_bits => [ 100, 1500, 'ip', '<#>', "sketch_bits = '4'" ],
	int8 => [ 20, 1500, 'cosine', '<=>', 'sketch_bits = exact, own_vector = int8' ],
	wide => [ 16, 1500, 'l2', '<->', 'm = 100, ef_construction = 200' ],
	empty => [ 5, 0, 'l2', '<->', '' ],
	single => [ 5, 1, 'cosine', '<=>', '', 'grown' ],
	# four vectors of 5,000 rows: overflow pages
	equal => [ 16, 5000, 'l2', '<->', '' ]);
my @tables = sort keys %tables;

sub rows
{
	my ($name, $n) = @_;
	my $dim = $tables{$name}[0];

	return "INSERT INTO $name (v) SELECT " . ($name eq 'equal' ? "array_fill((random() * 3)::int, ARRAY[$dim])::vector" : "clustered($dim)")
	  . " FROM generate_series(1, $n)";
}

put('old');
sql('postgres', 'CREATE EXTENSION vectorx', q(CREATE FUNCTION clustered(n int) RETURNS vector LANGUAGE sql VOLATILE AS $$
	SELECT array_agg(sin(c.k * 12.9898 + i * 78.233) + 0.6 * (random() + random() - 1))::vector
	FROM (SELECT floor(random() * 4) AS k OFFSET 0) c, generate_series(1, n) i $$),
	# how many of the ten nearest a search finds, in percent, and the sum of their distances
	q(CREATE FUNCTION found(name text, op text, OUT percent int, OUT exact float8) LANGUAGE plpgsql SET hnsw.ef_search = 200 AS $$
DECLARE
	query vector;
	theirs float8[];
	mine float8[];
	hits int := 0;
	n int := 0;
BEGIN
	exact := 0;
	FOR query IN EXECUTE format('SELECT v FROM %I ORDER BY id LIMIT 20', name) LOOP
		PERFORM set_config('enable_indexscan', 'off', true), set_config('enable_seqscan', 'on', true);
		EXECUTE format('SELECT array_agg(d) FROM (SELECT v %1$s $1 AS d FROM %2$I ORDER BY v %1$s $1 LIMIT 10) s', op, name) INTO theirs USING query;
		PERFORM set_config('enable_indexscan', 'on', true), set_config('enable_seqscan', 'off', true);
		EXECUTE format('SELECT array_agg(d) FROM (SELECT v %1$s $1 AS d FROM %2$I ORDER BY v %1$s $1 LIMIT 10) s', op, name) INTO mine USING query;
		hits := hits + (SELECT count(*) FROM unnest(mine) d WHERE d <= theirs[array_length(theirs, 1)] + 1e-6 * abs(d));
		n := n + array_length(theirs, 1);
		exact := exact + (SELECT sum(d) FROM unnest(theirs) d);
	END LOOP;
	percent := CASE n WHEN 0 THEN 100 ELSE 100 * hits / n END;
END $$));
for my $name (@tables)
{
	my ($dim, $rows, $metric, undef, $with, $grown) = @{ $tables{$name} };
	my @index = ("CREATE INDEX ${name}_v ON $name USING hnsw (v vector_${metric}_ops)" . ($with ? " WITH ($with)" : ''));

	sql('postgres', 'SELECT setseed(0.5)', "CREATE TABLE $name (id serial PRIMARY KEY, v vector($dim))", $grown ? @index : (), rows($name, $rows), $grown ? () : @index,
		$name eq 'single' ? () : "DELETE FROM $name WHERE id % 4 = 1");
	# two are upgraded with dead rows
	sql('postgres', "VACUUM $name") unless $name eq 'two_bits' || $name eq 'l1';
	sql('postgres', "INSERT INTO $name (v) SELECT v FROM $name WHERE id % 7 = 0 LIMIT 100");
}
# what else an application has of the extension
sql('postgres', 'CREATE VIEW near AS SELECT id, v <-> (SELECT v FROM grown WHERE id = 3) AS d FROM grown ORDER BY 2 LIMIT 3',
	'CREATE MATERIALIZED VIEW means AS SELECT id % 10 AS ten, avg(v) AS v, sum(v) AS total FROM exact GROUP BY 1',
	"CREATE DOMAIN place AS vector(3) CHECK (vector_norm(VALUE) < 1000)", 'CREATE TABLE points (p place DEFAULT \'[1,2,3]\', a real[] GENERATED ALWAYS AS (p::vector::real[]) STORED)',
	'INSERT INTO points DEFAULT VALUES', 'CREATE INDEX ON exact (v)', 'CREATE INDEX halves ON v100 USING hnsw ((subvector(v, 1, 50)::vector(50)) vector_cosine_ops) WHERE id > 100',
	'CREATE FUNCTION twice(vector) RETURNS vector LANGUAGE sql IMMUTABLE RETURN $1 + $1', "CREATE VIEW forms AS SELECT * FROM hnsw_info('exact_v')");
my $others = "SELECT (SELECT array_agg(id ORDER BY id) FROM near), (SELECT md5(string_agg(v::text || total, ' ' ORDER BY ten)) FROM means), (SELECT p::text || a::text FROM points), "
  . "twice('[1,2]'), (SELECT v FROM exact WHERE v > '[0,0,0]' ORDER BY v LIMIT 1)";

# Every index: sound, and the rows that are there are found as they have been before, but for two in a hundred.
my %before;
sub all_found
{
	my ($database, $when, $same) = @_;

	for my $name (@tables)
	{
		my ($problems, $percent, $exact) = split /\|/, sql($database, "SELECT (SELECT count(*) FROM hnsw_check('${name}_v')), * FROM found('$name', '$tables{$name}[3]')");

		$before{$name} //= [ $percent, $exact ];
		cmp_ok($percent, '>=', $before{$name}[0] - 2, "$when: $name: as many are found ($percent %)");
		is($exact, $before{$name}[1], "$when: $name: the same rows") if $same;
		is($problems, 0, "$when: $name: sound");
	}
	is(sql($database, $others), $before{others} //= sql($database, $others), "$when: what else there is");
}

all_found('postgres', 'last release', 1);
sql('postgres', 'CHECKPOINT');
$node->command_ok([ 'pg_dump', '-h', $node->host, '-p', $node->port, '-f', "$folder/dump", 'postgres' ], 'a dump of the last release');

# ---- this library, with that catalogue

$node->stop;
put('new');
SKIP:
{
	skip "not run: there is no $bin/pg_upgrade", 1 unless -x "$bin/pg_upgrade";
	my ($old, $new) = ($node, PostgreSQL::Test::Cluster->new('upgraded', install_path => dirname($bin)));

	$new->init;
	# it leaves files where it runs
	$new->command_ok([ 'sh', '-c', 'cd "$0" && exec "$@"', $folder, "$bin/pg_upgrade", '-b', $bin, '-B', $bin, '-d', $old->data_dir, '-D', $new->data_dir,
			'-p', $old->port, '-P', $new->port, '-s', $new->host, '--no-sync' ], 'pg_upgrade');
	$new->append_conf('postgresql.conf', "autovacuum = off\n");
	$new->start;
	$node = $new;
	all_found('postgres', 'pg_upgrade', 1);
	sql('postgres', 'DROP VIEW forms', 'ALTER EXTENSION vectorx UPDATE');
	is(sql('postgres', "SELECT format FROM hnsw_info('exact_v')"), 1, 'pg_upgrade: the indexes are those that were there');
	$new->stop;
	$node = $old;
}
$node->start;
all_found('postgres', 'old catalogue', 1);
is(told('postgres', q(SELECT fmgr_c_validator(p.oid) FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'vectorx') WHERE prolang = (SELECT oid FROM pg_language WHERE lanname = 'c'))), '',
	'old catalogue: all its functions are in this library');
is(sql('postgres', 'SELECT live_nodes, own_vector FROM forms'), sql('postgres', "SELECT live_nodes, own_vector FROM hnsw_info('exact_v')"), 'old catalogue: hnsw_info has its columns');
is(sql('postgres', 'SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = \'vector_l2_ops\''), 't', 'old catalogue: a valid operator class');
is(sql('postgres', 'SET enable_seqscan = off', "SELECT count(*) FROM exact WHERE v <-> '[0,0,0]' < 1"), sql('postgres', 'SET enable_indexscan = off', "SELECT count(*) FROM exact WHERE v <-> '[0,0,0]' < 1"),
	'old catalogue: a condition on a distance');
sql('postgres', "INSERT INTO grown (v) SELECT clustered(24) FROM generate_series(1, 50)", 'DELETE FROM grown WHERE id % 31 = 5');
sql('postgres', 'VACUUM grown');
is(sql('postgres', "SELECT count(*) FROM hnsw_check('grown_v')"), 0, 'old catalogue: inserts and VACUUM');
delete @before{'grown', 'others'};

# ---- the update

like(told('postgres', 'ALTER EXTENSION vectorx UPDATE'), qr/ERROR:  cannot drop function hnsw_info\(regclass\) because other objects depend on it.*view forms depends on/s, 'a view of hnsw_info is in the way');
sql('postgres', 'DROP VIEW forms', 'ALTER EXTENSION vectorx UPDATE', 'CREATE DATABASE fresh', 'CREATE DATABASE restored');
sql('fresh', 'CREATE EXTENSION vectorx');
my $catalogue = slurp_file("$here/catalogue.sql") =~ s/:'extension'/'vectorx'/r;
my %members = map { $_ => sql($_, $catalogue) } 'postgres', 'fresh';
is($members{postgres}, $members{fresh}, 'the catalogues are those of a new extension');
like($members{fresh}, qr/(.*\n){300}/, 'which has many objects');
is(sql('postgres', "SELECT extversion = vectorx_version() FROM pg_extension WHERE extname = 'vectorx'"), 't', 'vectorx_version');
is(sql('postgres', 'SELECT bool_and(amvalidate(oid)) FROM pg_opclass WHERE opcmethod IN (SELECT oid FROM pg_am WHERE amname IN (\'hnsw\', \'ivfflat\'))'), 't', 'all operator classes are valid');
all_found('postgres', 'updated', 1);
my %format = map { $_ => sql('postgres', "SELECT format FROM hnsw_info('${_}_v')") } @tables;
is(join(' ', grep { $format{$_} != 1 } @tables), 'grown', 'indexes are what they were, but for one that was written to');
like(sql('postgres', 'SET enable_seqscan = off', "EXPLAIN (COSTS off) SELECT id FROM exact WHERE v <-> '[0,0,0]' < 1"), qr/Index Scan using exact_v.*Index Cond/s, 'a condition uses the index');

for my $name (@tables)
{
	sql('postgres', "INSERT INTO $name (v) SELECT v FROM $name WHERE id % 5 = 0 LIMIT 100", rows($name, 1 + int($tables{$name}[1] / 8)), "DELETE FROM $name WHERE id % 6 = 3");
}
delete @before{keys %before};
all_found('postgres', 'written to', 0);
sql('postgres', "VACUUM $_") for @tables;
all_found('postgres', 'after VACUUM', 1);
is(join(' ', map { sql('postgres', "SELECT format FROM hnsw_info('${_}_v')") } qw(exact grown v100 cos)), '2 2 2 2', 'those that rows have been pending in are of format 2');
sql('postgres', "REINDEX INDEX ${_}_v") for @tables;
all_found('postgres', 'after REINDEX', 1);

# ---- a dump of the last release

delete @before{keys %before};
$node->command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-h', $node->host, '-p', $node->port, '-f', "$folder/dump", 'restored' ], 'its dump is restored');
all_found('restored', 'restored', 0);
is(sql('restored', "SELECT extversion = vectorx_version() FROM pg_extension WHERE extname = 'vectorx'; SELECT live_nodes FROM forms"), "t\n" . sql('restored', "SELECT live_nodes FROM hnsw_info('exact_v')"), 'with the version of today');
log_is_clean($node);

# ---- a format that is not read

my %file = map { $_ => $node->data_dir . '/' . sql('postgres', "SELECT pg_relation_filepath('${_}_v')") } 'exact', 'v100', 'int8';

sub set_format
{
	my ($version, @names) = @_;

	sql('postgres', 'CHECKPOINT');
	$node->stop;
	for my $file (@file{@names})
	{
		open(my $fh, '+<:raw', $file) or die "$file: $!";
		seek($fh, 44, 0);
		print $fh pack('L', $version);
		close($fh);
	}
	$node->start;
}

set_format(9, keys %file);
my $other = qr/index "exact_v" has format version 9, this library reads 1 to 2\nDETAIL:  Block 0\.\nHINT:  REINDEX INDEX public\.exact_v;/;
my $nearest = "SELECT id FROM exact ORDER BY v <-> '[1,2,3]' LIMIT 3";
my $within = "SELECT id FROM exact WHERE v <-> '[1,2,3]' < 2 ORDER BY id";
for my $query ($nearest, $within)
{
	my $plan = sql('postgres', 'SET enable_seqscan = off', "EXPLAIN (COSTS off) $query");

	unlike($plan, qr/exact_v/, 'no plan has an index that cannot be read');
	is(sql('postgres', 'SET enable_seqscan = off', 'SET enable_sort = off', $query), sql('postgres', 'SET enable_indexscan = off', $query), 'queries are answered without');
}
is(states_of($node, "INSERT INTO exact (v) VALUES ('[1,2,3]')"), 'XX002', 'inserts are refused');
like(told('postgres', "INSERT INTO exact (v) VALUES ('[1,2,3]')"), $other, 'with a hint');
like(told('postgres', "SELECT * FROM $_"), $other, $_) for "hnsw_info('exact_v')", "hnsw_search('exact_v', ARRAY['[1,2,3]'::vector], 3)", "hnsw_merge('exact_v')";
is(sql('postgres', "SELECT * FROM hnsw_check('exact_v')"), '0||format version 9 is not one of 1 to 2', 'hnsw_check says so');
like(told('postgres', 'VACUUM (FREEZE) v100'), qr/^\S* WARNING:  index "v100_v" has a format that this library does not read: it is left as it is\n\S*HINT:  REINDEX INDEX public\.v100_v;$/,
	'VACUUM of a table without dead rows warns');
is(sql('postgres', "SELECT age(relfrozenxid) < 50 FROM pg_class WHERE relname = 'v100'"), 't', 'and freezes it');
sql('postgres', 'DELETE FROM exact WHERE id % 10 = 2');
like(told('postgres', 'VACUUM (INDEX_CLEANUP on) exact'), $other, 'of one with dead rows stops: their places must not be taken');
is(told('postgres', 'VACUUM (INDEX_CLEANUP off, FREEZE) exact'), '', 'INDEX_CLEANUP off freezes that, too');
is(told('postgres', 'ANALYZE exact', 'ALTER INDEX exact_v SET (target_recall = 0.9)', 'ALTER INDEX exact_v RESET (target_recall)', 'SELECT * FROM pg_stat_vectorx_indexes'), '', 'ANALYZE, ALTER INDEX, statistics');
$node->command_ok([ 'pg_dump', '-h', $node->host, '-p', $node->port, '-f', "$folder/dump", 'postgres' ], 'pg_dump');
is(told('postgres', 'REINDEX INDEX CONCURRENTLY exact_v', 'REINDEX INDEX v100_v', 'DROP INDEX int8_v'), '', 'REINDEX and DROP');
is(told('postgres', "INSERT INTO exact (v) VALUES ('[1,2,3]')"), '', 'the index is built again');
is(told('postgres', 'VACUUM (INDEX_CLEANUP on) exact'), '', 'VACUUM');
is(sql('postgres', "SELECT count(*) FROM hnsw_check('exact_v'); SELECT count(*) FROM hnsw_check('v100_v'); SELECT format FROM hnsw_info('exact_v')"), "0\n0\n2", 'sound');
like(sql('postgres', 'SET enable_seqscan = off', "EXPLAIN (COSTS off) $nearest"), qr/exact_v/, 'and planned with');
log_is_clean($node);

# ---- the last release's library does not take an index of today for one of its own

$node->stop;
put('old');
$node->start;
like(told('postgres', "INSERT INTO exact (v) VALUES ('[1,2,3]')"), qr/index "exact_v" has format version 2, this library reads 1/, 'the way back: REINDEX');

$node->stop;
done_testing();
