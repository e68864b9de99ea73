# Tree links that go around in circles: nodes may have two tree parents and be below each other, and a damaged file
# may say so of all.  Whoever goes down the tree comes to an end: a merge at once, one in turn, inserts, VACUUM,
# hnsw_check.  No row is lost, and VACUUM leaves each node one parent.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

use constant BLCKSZ => 8192;
# page.h: where a page's data and a record's links may begin, kinds of pages, a link's bits
use constant { DATA => 40, RECORD => 32, NODE => 3 };
use constant { TREE => 0x8000, SLOT => 0x03FF };
use constant { ROWS => 2000, MORE => 400 };

my $node = new_node('circles', qq(
shared_buffers = '32MB'
statement_timeout = '30s'
), damaged => 1);

$node->safe_psql('postgres', 'CREATE EXTENSION vectorx; SELECT setseed(0.5); CREATE TABLE c (id int, v vector(8)) WITH (autovacuum_enabled = off)');

sub insert_rows
{
	my ($first, $n) = @_;

	$node->safe_psql('postgres', "INSERT INTO c SELECT i, (SELECT array_agg(random()) FROM generate_series(1, 8) WHERE i > 0)::vector "
		. "FROM generate_series($first, $first + $n - 1) i");
}

sub u16 { my ($f, $at) = @_; return unpack('S', substr($$f, $at, 2)); }

# Where records' links begin: where all that are in use lead to slots there are.
sub links_offset
{
	my ($f, $slots, $records) = @_;
	my $size = u16($f, DATA + 30);

  OFFSET: for (my $off = RECORD + 6; $off < $size - 6; $off += 2)
	{
		foreach my $rec (@$records)
		{
			foreach my $i (0 .. ord(substr($$f, $rec + 3, 1)) - 1)
			{
				my ($high, $low, $pos) = unpack('SSS', substr($$f, $rec + $off + 6 * $i, 6));
				my $slot = $pos & SLOT;

				next OFFSET unless defined $slots->{ ($high << 16) + $low } && $slot < $slots->{ ($high << 16) + $low };
			}
		}
		return $off;
	}
	return undef;
}

# Make every link of the lowest level a tree link; how many more there are now.
sub all_tree_links
{
	my ($file) = @_;
	my $size;
	my %slots;
	my @records;
	my $changed = 0;

	open(my $fh, '<:raw', $file) or die "$file: $!";
	my $bytes = do { local $/; <$fh> };
	close($fh);
	$size = u16(\$bytes, DATA + 30);
	foreach my $blk (0 .. length($bytes) / BLCKSZ - 1)
	{
		my $at = $blk * BLCKSZ;

		next unless u16(\$bytes, $at + 24) == NODE;
		$slots{$blk} = u16(\$bytes, $at + 26);
		push @records, map { $at + DATA + $_ * $size } 0 .. $slots{$blk} - 1;
	}
	my $off = links_offset(\$bytes, \%slots, \@records) // die 'no links were found';
	foreach my $rec (@records)
	{
		foreach my $i (0 .. ord(substr($bytes, $rec + 3, 1)) - 1)
		{
			my $at = $rec + $off + 6 * $i + 4;
			my $pos = u16(\$bytes, $at);

			$changed += ($pos & TREE) == 0;
			substr($bytes, $at, 2) = pack('S', $pos | TREE);
		}
	}
	open($fh, '>:raw', $file) or die "$file: $!";
	print $fh $bytes;
	close($fh) or die "$file: $!";
	return $changed;
}

# Each row is found, and none twice.
sub all_are_found
{
	my ($rows, $what) = @_;

	is($node->safe_psql('postgres', 'SET enable_seqscan = off; SET enable_sort = off; '
			. q(SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM c ORDER BY v <-> '[0,0,0,0,0,0,0,0]') s)),
		"$rows|$rows", "$what: all rows come, once");
}

insert_rows(1, ROWS);
$node->safe_psql('postgres', 'CREATE INDEX c_i ON c USING hnsw (v vector_l2_ops)');
my $path = $node->safe_psql('postgres', q(SELECT pg_relation_filepath('c_i')));

foreach my $way ('at once', 'in turn')
{
	my ($last, $before) = split(/\|/, $node->safe_psql('postgres', 'SELECT max(id), count(*) FROM c'));
	my $n = $way eq 'at once' ? MORE : 20;

	# not so many that a worker comes
	insert_rows($last + 1, $n);
	$node->stop;
	cmp_ok(all_tree_links($node->data_dir . "/$path"), '>', ROWS, "$way: the tree has circles");
	$node->start;
	my ($status, $out, $err) = $node->psql('postgres', q(SELECT hnsw_merge('c_i')));
	is("$out$err", $n, "$way: a merge comes to an end");
	all_are_found($before + $n, $way);
	is($node->safe_psql('postgres', "DELETE FROM c WHERE id % 7 = 0; VACUUM (INDEX_CLEANUP on) c; SELECT count(*) FROM hnsw_check('c_i')"),
		0, "$way: VACUUM comes to an end, and hnsw_check has nothing to say");
	all_are_found($node->safe_psql('postgres', 'SELECT count(*) FROM c'), "$way, vacuumed");
}

log_is_clean($node);
done_testing();
