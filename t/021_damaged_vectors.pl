# Own vectors that have changed in ways that leave their squared norm and the sum of
# their codes: hnsw_check must tell, by the distances that stand beside links, for each
# metric and each precision of own vectors; and any change of vectors that are words (bit
# strings, sparse vectors), by their hash.  Also records of higher levels that lead down to
# another node, and a centre so far away that no search can be made.
use strict;
use warnings FATAL => 'all';

use Test::More;

use VectorxTest;

use constant { BLCKSZ => 8192, CENTRE => 2, NODE => 3, UPPER => 4, LIVE => 1, DIM => 48, DAMAGED => 6 };
# page.h: where a page's data and a record's TIDs begin, fields of record and metapage
use constant { DATA => 40, RECORD => 32, SCALE => 16, OFFSET => 20, CODESUM => 24 };
use constant { META_MAX_TIDS => 26, META_REC_SIZE => 30 };

my %width = (int8 => 1, fp16 => 2, fp32 => 4);
# of words, in bytes: with five before the elements of sparse vectors
my %words = (bits => 8, sparse => 4 * (5 + DIM));

my $node = new_node('damaged_vectors', '', damaged => 1);
$node->safe_psql('postgres', q(
CREATE EXTENSION vectorx;
SELECT setseed(0.25);
CREATE TABLE source AS SELECT id, (SELECT array_agg(sin(c.k * 12.9898 + i * 78.233) + random())::vector
	FROM (SELECT floor(random() * 20 + id * 0) AS k OFFSET 0) c, generate_series(1, 48) i) AS v
FROM generate_series(1, 400) id;
));

# Half of the rows are in an index from its build, half by inserts.
my %file;
foreach my $case ((map { my $metric = $_; map { [ $metric, $_ ] } sort keys %width } qw(l2 ip cosine l1)),
	[ 'hamming', 'bits' ], [ 'jaccard', 'bits' ], [ 'l2', 'sparse' ], [ 'cosine', 'sparse' ], [ 'l1', 'sparse' ])
{
	my ($metric, $own) = @$case;
	my $name = "${metric}_$own";
	my $type = { fp16 => 'halfvec', bits => 'bit', sparse => 'sparsevec' }->{$own} // 'vector';
	my $value = $own eq 'bits' ? 'binary_quantize(v)' : 'v';
	# a pending node has no distances to compare its vector with
	my $with = 'WITH (pending_limit = 0' . ($width{$own} ? ", own_vector = $own)" : ')');

	$node->safe_psql('postgres', qq(
CREATE TABLE $name (id int, v $type(@{[DIM]}));
INSERT INTO $name SELECT id, $value FROM source WHERE id <= 200;
CREATE INDEX ${name}_idx ON $name USING hnsw (v ${type}_${metric}_ops) $with;
INSERT INTO $name SELECT id, $value FROM source WHERE id > 200;
));
	is($node->safe_psql('postgres', "SELECT own_vector FROM hnsw_info('${name}_idx')"), $own, "$name: as it is to be");
	is($node->safe_psql('postgres', "SELECT * FROM hnsw_check('${name}_idx')"), '', "$name: nothing is wrong");
	$file{$name} = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('${name}_idx')");
}
$node->stop;

# ---- damage

# A number of so many bytes that is greater where the element is.
sub order
{
	my ($bytes) = @_;

	return unpack('c', $bytes) if length($bytes) == 1;
	return unpack('f', $bytes) if length($bytes) == 4;
	my $half = unpack('S', $bytes);
	return $half & 0x8000 ? -($half & 0x7FFF) : $half;
}

# The least and the greatest element change places.
sub swap_elements
{
	my ($own, $width) = @_;
	my @elements = unpack("(a$width)*", $own);
	my ($least, @others) = sort { order($elements[$a]) <=> order($elements[$b]) } 0 .. $#elements;

	@elements[ $least, $others[-1] ] = @elements[ $others[-1], $least ];
	return join('', @elements);
}

# The element of the greatest absolute value gets the other sign.
sub turn_sign
{
	my ($own, $width) = @_;
	my @elements = unpack("(a$width)*", $own);
	my ($most) = sort { abs(order($elements[$b])) <=> abs(order($elements[$a])) } 0 .. $#elements;

	substr($elements[$most], -1) ^= "\x80";
	return join('', @elements);
}

# The offset with which the same codes have the same norm: as far beyond the one that
# makes the sum of elements zero.
sub other_offset
{
	my ($head) = @_;
	my ($scale, $offset, $sum) = unpack('ffl', substr($head, SCALE, 12));

	return -$offset - 2 * $scale * $sum / DIM;
}

# How far that moves the vector, in steps of its codes.
sub moves
{
	my ($head) = @_;
	my $scale = unpack('f', substr($head, SCALE, 4));

	return abs(other_offset($head) - unpack('f', substr($head, OFFSET, 4))) / $scale;
}

# Live records on pages of a kind, as they stand: where, and the offset in the file.
sub records
{
	my ($bytes, $page_kind) = @_;
	my $size = unpack('S', substr($bytes, DATA + META_REC_SIZE, 2));
	my @found;

	foreach my $blk (1 .. length($bytes) / BLCKSZ - 1)
	{
		my ($kind, $nslots) = unpack('SS', substr($bytes, $blk * BLCKSZ + 24, 4));
		next unless $kind == $page_kind;
		foreach my $slot (0 .. $nslots - 1)
		{
			my $at = $blk * BLCKSZ + DATA + $slot * $size;
			push @found, { where => "$blk|$slot", tid => pack('SSS', 0, $blk, $slot), at => $at, head => substr($bytes, $at, RECORD) }
			  if ord(substr($bytes, $at, 1)) == LIVE;
		}
	}
	return @found;
}

# Damage some records of an index, in two ways; returns where they are.
sub damage
{
	my ($path, $own) = @_;
	my $bytes = PostgreSQL::Test::Utils::slurp_file($path);
	my $tids = 6 * unpack('S', substr($bytes, DATA + META_MAX_TIDS, 2));
	my $length = $words{$own} // DIM * $width{$own};
	my @records = records($bytes, NODE);
	my ($upper) = records($bytes, UPPER);
	my @where;

	@records = sort { moves($b->{head}) <=> moves($a->{head}) } @records if $own eq 'int8';
	foreach my $i (0 .. DAMAGED - 1)
	{
		my $r = $own eq 'int8' ? $records[$i] : $records[ $i * $#records / DAMAGED ];
		my $at = $r->{at} + RECORD + ($tids + 3 & ~3);
		my $vector = substr($bytes, $at, $length);

		push @where, $r->{where};
		if ($words{$own})
		{
			# any bit, of words that are not used, too
			substr($bytes, $at + $i * 37 % $length, 1) ^= chr(1 << $i);
			next;
		}
		if ($own eq 'int8' && $i % 2)
		{
			substr($bytes, $r->{at} + OFFSET, 4) = pack('f', other_offset($r->{head}));
			next;
		}
		substr($bytes, $at, $length) = $i % 2 ? turn_sign($vector, $width{$own}) : swap_elements($vector, $width{$own});
	}
	# the first link leads down, the second to the node on level 0
	foreach my $record (grep { $_->{tid} ne substr($bytes, $upper->{at} + RECORD + 6, 6) } $records[0], $records[1])
	{
		push @where, $upper->{where} unless $where[-1] eq $upper->{where};
		substr($bytes, $upper->{at} + RECORD + 6, 6) = $record->{tid};
	}
	overwrite($path, $bytes);
	return sort @where;
}

sub overwrite
{
	my ($path, $bytes) = @_;

	open(my $fh, '>:raw', $path) or die "$path: $!";
	print $fh $bytes;
	close($fh) or die "$path: $!";
}

my %where = map { $_ => [ damage($file{$_}, s/.*_//r) ] } sort keys %file;

# ---- each of them is told, and nothing that has no link to one

$node->start;
foreach my $name (sort keys %file)
{
	my @problems = split(/\n/, $node->safe_psql('postgres', "SELECT * FROM hnsw_check('${name}_idx')"));
	my %reported = map { (join('|', (split /\|/)[ 0, 1 ]) => 1) } @problems;
	my %damaged = map { $_ => 1 } @{ $where{$name} };

	is(join(' ', grep { $reported{$_} } @{ $where{$name} }), join(' ', @{ $where{$name} }), "$name: changed vectors and links down are told");
	is(join("\n", grep { !(/^(\d+\|\d+)\|/ && $damaged{$1}) && !(/to block (\d+) slot (\d+)/ && $damaged{"$1|$2"}) } @problems),
		'', "$name: and no others");
}
$node->stop;

# ---- the centre

my $bytes = PostgreSQL::Test::Utils::slurp_file($file{l2_int8});
is(unpack('S', substr($bytes, BLCKSZ + 24, 2)), CENTRE, 'the centre is on the second page');
substr($bytes, BLCKSZ + DATA, 4) = pack('f', 3e38);
overwrite($file{l2_int8}, $bytes);
$node->start;
is($node->safe_psql('postgres', "SELECT * FROM hnsw_check('l2_int8_idx') WHERE problem ~ 'centre'"), '1||the centre is too far', 'a centre too far away is told');
$node->stop;
done_testing();
