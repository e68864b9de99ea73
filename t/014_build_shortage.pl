# CREATE INDEX by several processes when something is short.  Without shared memory
# or workers it goes on with what there is, and never fails: /dev/shm of 8 and 64 MB,
# dynamic shared memory in files on a small disk, or taken from the server's start,
# no worker to be had.  A full disk and temp_file_limit are errors that leave nothing.
# VX_SMALL_DISK: as for t/010_operations.pl.  A small /dev/shm is mounted in a
# namespace of the user, where the system lets users have one; if not, one that is
# small already is taken.
use strict;
use warnings FATAL => 'all';

use File::Path qw(rmtree);
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my $disk = $ENV{VX_SMALL_DISK};
my $create = 'CREATE INDEX v100_idx ON v100 USING hnsw (v vector_l2_ops)';
my $create_middle = "$create WITH (ef_construction = 200)";
my $create_large = "$create WITH (ef_construction = 1000)";

my $node = new_node('build_shortage', q(
jit = off
shared_buffers = '32MB'
maintenance_work_mem = '256MB'
max_parallel_workers_per_gather = 0
max_parallel_maintenance_workers = 4
max_logical_replication_workers = 0
max_wal_size = '1GB'
dynamic_shared_memory_type = mmap
restart_after_crash = off
));

# For the graph of this table $create wants 8 MB of memory, $create_middle 20 MB and
# $create_large 75 MB.
create_tables($node, ['v100']);
create_gates($node);
$node->safe_psql('postgres', 'DROP INDEX v100_idx; ALTER TABLE v100 SET (parallel_workers = 2)');
fill_tables($node, { v100 => 9000 });
is(leftovers($node), '', 'nothing is left of nothing');

# Start the server anew, with a setting.
sub restart_with
{
	my ($setting) = @_;

	$node->append_conf('postgresql.conf', "$setting\n");
	$node->restart;
	delete $node->{vx_segments};
	is(leftovers($node), '', "nothing is left of nothing, $setting");
}

# The index is made whatever is short; the notices are of that, or none.
sub made
{
	my ($when, $sql, $notices) = @_;
	my ($status, undef, $err) = $node->psql('postgres', $sql);
	my $said = join(' ', $err =~ /NOTICE: +(could not get shared memory|hnsw graph no longer fits)/g);

	is($status, 0, "$when: made") or diag($err);
	unlike($err, qr/ERROR|WARNING|FATAL/, "$when: no error");
	like($said, $notices, "$when: notices") or diag($err);
	is($node->safe_psql('postgres', q(SELECT count(*) FROM hnsw_check('v100_idx'); SELECT heap_tids FROM hnsw_info('v100_idx'))), "0\n9000", "$when: hnsw_check");
	is($node->safe_psql('postgres', q(SELECT not_once('v100', '<->'))), '0', "$when: the index returns each row once and no other");
	recall_of($node, 'v100', 0.95, $when) if $said ne '';
	$node->safe_psql('postgres', 'DROP INDEX v100_idx');
}

my $none = qr/^$/;
my $shared = qr/^could not get shared memory$/;
my $memory = qr/^hnsw graph no longer fits$/;

# ---- /dev/shm

my $room = 0;	# of a small /dev/shm that is there already, in kB
my @command = ('sh', '-c', 'df -k /dev/shm | awk \'NR == 2 { print $2 }\'');
IPC::Run::run(\@command, '>', \$room) or $room = 0;
my $unshare = PostgreSQL::Test::Utils::tempdir() . '/unshare';
append_to_file($unshare, <<"EOF");
#!/bin/sh
# SIZE COMMAND...: a /dev/shm of this size, for a command of the same user
size=\$1
shift
exec unshare -Urm sh -c 'mount -t tmpfs -o "size=\$1,mode=1777" tmpfs /dev/shm && shift && exec unshare -U --map-user=$< "\$@"' sh "\$size" "\$@"
EOF
chmod(0755, $unshare);
my $namespaces = system("$unshare 8m true 2>/dev/null") == 0;

foreach my $mb (8, 64)
{
  SKIP:
	{
		if (!$namespaces && !($room > 0 && $room <= $mb * 1024))
		{
			diag("/dev/shm of $mb MB: not run, users may not mount here and it is not small");
			skip("/dev/shm of $mb MB: users may have no namespaces here, and /dev/shm is larger", 1);
		}
		$node->append_conf('postgresql.conf', "dynamic_shared_memory_type = posix\n");
		$node->stop;
		{
			local $ENV{PATH} = $ENV{PATH};
			if ($namespaces)
			{
				my $folder = PostgreSQL::Test::Utils::tempdir();
				my ($pg_ctl) = grep { -x } map { "$_/pg_ctl" } split /:/, $ENV{PATH};

				append_to_file("$folder/pg_ctl", "#!/bin/sh\nexec $unshare ${mb}m $pg_ctl \"\$@\"\n");
				chmod(0755, "$folder/pg_ctl");
				$ENV{PATH} = "$folder:$ENV{PATH}";
			}
			$node->start;
		}

		# as the server sees it
		my $shm = "/proc/$node->{_pid}/root/dev/shm";
		$node->safe_psql('postgres', 'SELECT FROM hnsw_index_stats()');	# has some, too
		my @before = glob("$shm/PostgreSQL.*");
		cmp_ok(scalar(@before), '>', 0, "/dev/shm of $mb MB: the server is there");
		made("/dev/shm of $mb MB, 75 MB wanted", $create_large, $shared) if $mb == 64;
		made("/dev/shm of $mb MB, 20 MB wanted", $create_middle, $mb > 20 ? $none : $shared);
		made("/dev/shm of $mb MB, 12 MB of 20 MB wanted", "SET maintenance_work_mem = '12MB'; $create_middle",
			$mb > 20 ? $memory : qr/^could not get shared memory hnsw graph no longer fits$/);
		made("/dev/shm of $mb MB, 2 MB of 8 MB wanted", "SET maintenance_work_mem = '2MB'; $create", $memory) if $mb == 8;
		# not even room for what the server itself needs for workers; for some of it
		foreach my $leave ($mb == 8 ? (0, 300_000, 2_000_000) : ())
		{
			fill_disk($shm, $leave);
			made("/dev/shm with $leave bytes left", $create, $shared);
			free_disk($shm);
		}
		is(join(' ', glob("$shm/PostgreSQL.*")), "@before", "/dev/shm of $mb MB: no segment is left");
	}
}

# ---- dynamic shared memory in files on a small disk

SKIP:
{
	if (!defined $disk || !-d $disk || !-w $disk)
	{
		diag('a small disk: not run, there is no VX_SMALL_DISK');
		skip('a small disk: there is no VX_SMALL_DISK', 1);
	}
	my $folder = $node->data_dir . '/pg_dynshmem';

	$node->stop;
	unlink(glob("$folder/*"));
	mkdir "$disk/dynshmem" or die "$disk/dynshmem: $!";
	rmdir $folder or die "$folder: $!";
	symlink("$disk/dynshmem", $folder) or die "$folder: $!";
	$node->start;
	restart_with('dynamic_shared_memory_type = mmap');
	made('files on a small disk, 20 MB wanted', $create_middle, $none);
	# 15 MB: so that the largest part is written for a while
	foreach my $leave (0, 300_000, 15_000_000)
	{
		fill_disk($disk, $leave);
		made("files on a disk with $leave bytes left, 20 MB wanted", $create_middle, $shared);
		free_disk($disk);
	}
	is(leftovers($node), '', 'files on a small disk: nothing is left');

	# the cache of results, for which there is not as much as it may have: results make room for each other
	$node->safe_psql('postgres', "LOAD 'vectorx'; ALTER SYSTEM SET vectorx.cache_size = '64MB'; SELECT pg_reload_conf(); "
		  . q(CREATE TABLE cached (id int, v vector(3)); INSERT INTO cached SELECT i, ARRAY[i, 0, 0] FROM generate_series(1, 2000) i; CREATE INDEX cached_v ON cached USING hnsw (v vector_l2_ops)));
	$node->safe_psql('postgres', q(SET enable_seqscan = off; SET vectorx.cache = on; SELECT id FROM cached ORDER BY v <-> '[1,1,1]' LIMIT 5));
	fill_disk($disk, 1_500_000);
	my $flood = $node->safe_psql('postgres', q(SET enable_seqscan = off; SET vectorx.cache = on;
		DO $$ DECLARE got int; BEGIN FOR i IN 1..4000 LOOP SELECT id INTO got FROM cached ORDER BY v <-> ARRAY[i % 2000 + 1, i / 2000, 0]::vector LIMIT 1;
			ASSERT got = i % 2000 + 1; END LOOP; END $$;
		SELECT sum(entries) > 100, sum(evictions) > 1000, sum(bytes) < 20 * 1024 * 1024 FROM vectorx_cache));
	is($flood, 't|t|t', 'a cache on a full disk: results give way');
	# nor is there room for a ring of vectors
	$node->safe_psql('postgres', 'SELECT vectorx_cache_reset(); SET enable_seqscan = off; SET vectorx.cache = on; '
		  . join('; ', map { "CREATE INDEX cached_$_ ON cached USING hnsw ((v::vector(3)) vector_cosine_ops) WITH (m = $_); SELECT id FROM cached ORDER BY v::vector(3) <=> '[1,1,1]' LIMIT 5; DROP INDEX cached_$_" } 4 .. 9));
	free_disk($disk);
	is($node->safe_psql('postgres', q(SET enable_seqscan = off; SET vectorx.cache = on; SELECT count(*) FROM (SELECT vectorx_cache_reset()) s;
		SELECT count(*) FROM (SELECT id FROM cached ORDER BY v <-> '[7,0,0]' LIMIT 5) s;
		INSERT INTO cached SELECT 3000 + i, ARRAY[-i, 0, 0] FROM generate_series(1, 1500) i;
		SELECT count(*) FROM (SELECT id FROM cached ORDER BY v <-> '[7,0,0]' LIMIT 5) s;
		SELECT merges FROM vectorx_cache WHERE index = 'cached_v'::regclass)), "1\n5\n5\n1", 'and with room again there are rings for vectors');
	$node->safe_psql('postgres', "DROP TABLE cached; LOAD 'vectorx'; ALTER SYSTEM RESET vectorx.cache_size; SELECT pg_reload_conf()");
	restart_with('dynamic_shared_memory_type = mmap');

	# ---- some of it from the start, in the server's own shared memory

	restart_with("min_dynamic_shared_memory = '16MB'");
	fill_disk($disk, 0);
	made('min_dynamic_shared_memory and a full disk, 8 MB wanted', $create, $none);
	made('min_dynamic_shared_memory and a full disk, 20 MB wanted', $create_middle, $shared);
	free_disk($disk);
	made('min_dynamic_shared_memory and a disk, 20 MB wanted', $create_middle, $none);

	# ---- the index, and the rows in a temporary file, on a full disk

	mkdir "$disk/full" or die "$disk/full: $!";
	mkdir "$disk/temp" or die "$disk/temp: $!";
	$node->stop;
	unlink $folder or die "$folder: $!";
	mkdir $folder or die "$folder: $!";
	rmtree("$disk/dynshmem");
	$node->start;
	restart_with('min_dynamic_shared_memory = 0');
	$node->safe_psql('postgres', "CREATE TABLESPACE full_disk LOCATION '$disk/full'");
	$node->safe_psql('postgres', "CREATE TABLESPACE full_temp LOCATION '$disk/temp'");
	foreach my $case ([ 2, '64MB' ], [ 2, '1MB' ], [ 0, '64MB' ])
	{
		my ($workers, $memory) = @$case;

		$node->safe_psql('postgres', "ALTER TABLE v100 SET (parallel_workers = $workers)");
		foreach my $leave (65_536, 4_000_000)
		{
			foreach my $how ("$create TABLESPACE full_disk", "SET temp_tablespaces = full_temp; $create")
			{
				my $when = "$how with $leave bytes left, $workers workers, $memory";

				next if $how =~ /temp/ && $leave > 65_536;
				fill_disk($disk, $leave);
				is(states_of($node, "SET application_name = 'builder'; SET maintenance_work_mem = '$memory'; $how"), '53100', $when);
				is($node->safe_psql('postgres', q(SELECT to_regclass('v100_idx') IS NULL)), 't', "$when: no index is left");
				is(leftovers($node), '', "$when: nothing is left");
				is(join(' ', grep { -f && -s } glob("$disk/full/*/*/*"), glob("$disk/temp/*/*/*")), '', "$when: no file is left on the disk");
				free_disk($disk);
			}
		}
		$node->safe_psql('postgres', "SET maintenance_work_mem = '$memory'; $create TABLESPACE full_disk");
		built_is_sound($node, 'v100', "made when the disk had room again, $workers workers, $memory");
		$node->safe_psql('postgres', 'DROP INDEX v100_idx; CHECKPOINT');
	}
	$node->safe_psql('postgres', 'DROP TABLESPACE full_disk; DROP TABLESPACE full_temp');
	rmdir($_) foreach "$disk/full", "$disk/temp";
}

# ---- no workers, and no temporary files

restart_with("dynamic_shared_memory_type = mmap\nmax_worker_processes = 0");
$node->safe_psql('postgres', 'ALTER TABLE v100 SET (parallel_workers = 2)');
made('max_worker_processes = 0', $create, $none);
restart_with('max_worker_processes = 2');
made('max_parallel_workers = 0', "SET max_parallel_workers = 0; $create", $none);
# both taken by another build
{
	$node->safe_psql('postgres', 'CREATE TABLE other WITH (parallel_workers = 2) AS SELECT * FROM v100 LIMIT 500');
	close_gates($node, 'leader', 'worker');
	my $builder = session($node, q(SET application_name = 'builder'),
		'CREATE INDEX other_idx ON other USING hnsw ((gated(v)::vector(100)) vector_l2_ops)');
	ok(wait_for_build($node, $builder, 1, 2), 'another build has taken all workers');
	made('all workers taken', $create, $none);
	open_gates($node);
	is(end_session($builder), '', 'the other build');
	is($node->safe_psql('postgres', q(SELECT count(*) FROM hnsw_check('other_idx'))), '0', 'the other build: hnsw_check');
}
foreach my $workers (0, 2)
{
	my $when = "temp_file_limit, $workers workers";

	$node->safe_psql('postgres', "ALTER TABLE v100 SET (parallel_workers = $workers)");
	is(states_of($node, "SET temp_file_limit = '100kB'; $create"), '53400', "$when: an error");
	is($node->safe_psql('postgres', q(SELECT to_regclass('v100_idx') IS NULL)), 't', "$when: no index is left");
	is(leftovers($node), '', "$when: nothing is left");
	made("$when, the limit lifted", $create, $none);
}
is(leftovers($node), '', 'nothing is left');
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|XX002|invalid page|Segmentation|signal 11|signal 6|is damaged/, 'the server log is clean');
done_testing();
