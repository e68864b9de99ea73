# Damaged pages: copies of indexes whose files were tampered with are searched,
# inserted into, vacuumed and inspected.  Each statement must end in time, with
# success or an error that says "index corrupted" and where (or the server's
# own "data corrupted"); the server must not crash; and where a search returns
# rows out of order or twice, hnsw_check must have something to say.
# VX_DAMAGE_TRIALS: how many damaged indexes (default below); VX_DAMAGE_SEED
# repeats the damage of an earlier run.
use strict;
use warnings FATAL => 'all';

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

use constant BLCKSZ => 8192;
# page.h: where a page's data and a record's TIDs begin
use constant DATA => 40;
use constant RECORD => 32;
use constant { META => 1, CENTRE => 2, NODE => 3, UPPER => 4, SIDE => 5, OVERFLOW => 6, PENDING => 8 };
# where the metapage has the number of pending pages, and their blocks
use constant { NPENDING => 280, BLOCKS => 304 };

my $trials = $ENV{VX_DAMAGE_TRIALS} || 150;
# the short form always does the same damage, the long form other damage each time
my $seed = $ENV{VX_DAMAGE_SEED} || ($ENV{VX_DAMAGE_TRIALS} ? int(rand(1_000_000)) + 1 : 31000);
my @names = $ENV{VX_KINDS} ? split(/,/, $ENV{VX_KINDS}) : qw(v100 v3 l1 dup cos side half bit sparse hashed pend);
my %rows = (pend => 200, v100 => 250, v3 => 300, l1 => 150, dup => 200, cos => 120, side => 50, half => 150, bit => 200, sparse => 150, hashed => 60);
my $seconds = $ENV{VX_DAMAGE_SECONDS} || 60;    # that a statement may take

note("VX_DAMAGE_SEED=$seed VX_DAMAGE_TRIALS=$trials");

my $node = new_node('damage', qq(
shared_buffers = '32MB'
restart_after_crash = off
statement_timeout = '${seconds}s'
), damaged => 1);

# A database to copy: each table has rows from a build and from inserts, free
# slots, and rows that are dead and not yet vacuumed.
create_tables($node, \@names);
$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS vectorx; SELECT setseed(0.5)');
fill_tables($node, { map { $_ => $rows{$_} } @names });
foreach my $name (@names)
{
	# two nodes with chains of two overflow pages
	$node->safe_psql('postgres', "INSERT INTO $name (v) SELECT f.v FROM "
		. "(SELECT DISTINCT ON (v::text) v FROM $name ORDER BY v::text LIMIT 2) f, generate_series(1, 1500)")
	  if $name eq 'dup';
	$node->safe_psql('postgres', "REINDEX INDEX ${name}_idx");
}
fill_tables($node, { map { $_ => int($rows{$_} / 2) } @names });
foreach my $name (@names)
{
	$node->safe_psql('postgres', "DELETE FROM $name WHERE id % 10 = 1");
	$node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP on) $name");
	$node->safe_psql('postgres', "DELETE FROM $name WHERE id % 10 = 2");
}
# VACUUM has linked all rows
fill_tables($node, { pend => 100 }) if grep { $_ eq 'pend' } @names;

# What an index scan does wrong: rows farther than one that comes later, rows
# that come twice.  (That they are visible is the executor's doing.)
$node->safe_psql('postgres', q(
CREATE FUNCTION search_faults(tab regclass, op text) RETURNS text LANGUAGE plpgsql
SET enable_seqscan = off SET enable_sort = off SET enable_bitmapscan = off AS $$
DECLARE
	q text;
	r record;
	many int;
	before float8;
	ids bigint[];
BEGIN
	FOREACH many IN ARRAY ARRAY[10, 10, 100, 1000000] LOOP
		PERFORM set_config('hnsw.ef_search', least(many * 2, 2000)::text, true);
		SET LOCAL enable_indexscan = off;
		SET LOCAL enable_seqscan = on;
		EXECUTE format('SELECT v FROM %s ORDER BY random() LIMIT 1', tab) INTO q;
		SET LOCAL enable_indexscan = on;
		SET LOCAL enable_seqscan = off;
		before := '-infinity';
		ids := '{}';
		FOR r IN EXECUTE format('SELECT id, v %1$s %4$L AS d FROM %2$s ORDER BY v %1$s %4$L LIMIT %3$s', op, tab, many, q)
		LOOP
			IF r.d < before - 1e-4 * (abs(before) + 1e-2) THEN
				RETURN format('row %s at %s after one at %s', r.id, r.d, before);
			END IF;
			before := greatest(r.d, before);
			ids := ids || r.id;
		END LOOP;
		IF cardinality(ids) <> (SELECT count(DISTINCT i) FROM unnest(ids) i) THEN
			RETURN 'a row came twice';
		END IF;
	END LOOP;
	RETURN '';
END $$;
));

my %path;
foreach my $name (@names)
{
	$path{$name} = $node->safe_psql('postgres', "SELECT pg_relation_filepath('${name}_idx')");
	is($node->safe_psql('postgres', "SELECT search_faults('$name', '$kinds{$name}->{op}')"),
		'', "$name: the sound index is searched well");
	is($node->safe_psql('postgres', "SELECT * FROM hnsw_check('${name}_idx') LIMIT 5"),
		'', "$name: and hnsw_check says so");
}
my $template_oid = $node->safe_psql('postgres', q(SELECT oid FROM pg_database WHERE datname = 'postgres'));
$node->safe_psql('postgres', 'CHECKPOINT');
my %sound = map { $_ => slurp_index($node->data_dir . "/$path{$_}") } @names;

sub slurp_index
{
	my ($file) = @_;
	local $/;
	open(my $fh, '<:raw', $file) or die "$file: $!";
	return scalar <$fh>;
}

# ---- damage: each takes the file's bytes by reference, and says what it did

sub blocks { return length(${ $_[0] }) / BLCKSZ; }
sub pick { return $_[ int(rand(@_)) ]; }
sub u16 { my ($f, $at) = @_; return unpack('S', substr($$f, $at, 2)); }

sub put
{
	my ($f, $at, $bytes) = @_;
	substr($$f, $at, length($bytes)) = $bytes;
}

# A number such as damage leaves, of so many bytes: near, random or extreme.
sub odd_number
{
	my ($f, $at, $width) = @_;
	my $form = $width == 1 ? 'C' : $width == 2 ? 'S' : 'L';
	my $max = 2**(8 * $width) - 1;
	my $old = unpack($form, substr($$f, $at, $width));

	return pack($form, pick(0, 1, 2, $max, $max - 1, ($old + 1) & $max, ($old - 1) & $max,
			$old ^ (1 << int(rand(8 * $width))), int(rand($max)), int(rand(blocks($f) + 2)) & $max));
}

# Blocks of certain kinds, or else all.
sub of_kind
{
	my ($f, @kinds) = @_;
	my @found = grep { my $k = u16($f, $_ * BLCKSZ + 24); grep { $_ == $k } @kinds } 0 .. blocks($f) - 1;

	return @found ? @found : (0 .. blocks($f) - 1);
}

# Where a record in use begins, or undef.
sub a_record
{
	my ($f) = @_;
	my $size = u16($f, DATA + 30);
	my $at = pick(of_kind($f, pick(NODE, NODE, UPPER))) * BLCKSZ;
	my $nslots = u16($f, $at + 26);

	return undef if $nslots < 1 || $nslots > BLCKSZ / $size;
	return $at + DATA + int(rand($nslots)) * $size;
}

my %damages = (
	flip => sub {
		my ($f) = @_;
		my @at;
		my $blk = int(rand(blocks($f)));
		foreach (1 .. pick(1, 1, 2, 8, 64))
		{
			my $at = $blk * BLCKSZ + pick(int(rand(BLCKSZ)), int(rand(DATA + RECORD + 40)));
			put($f, $at, chr(ord(substr($$f, $at, 1)) ^ pick(255, 1 << int(rand(8)))));
			push @at, $at % BLCKSZ;
		}
		return "block $blk: bytes at @at";
	},
	zero => sub {
		my ($f) = @_;
		my $blk = int(rand(blocks($f)));
		put($f, $blk * BLCKSZ, "\0" x BLCKSZ);
		return "block $blk";
	},
	# all but the heads of page and first record, or only the page's
	noise => sub {
		my ($f) = @_;
		my $from = pick(DATA, DATA + RECORD, 24, int(rand(BLCKSZ)));
		my $blk = int(rand(blocks($f)));
		put($f, $blk * BLCKSZ + $from, join('', map { chr(int(rand(256))) } $from .. BLCKSZ - 1));
		return "block $blk from $from";
	},
	swap => sub {
		my ($f) = @_;
		my ($a, $b) = map { int(rand(blocks($f))) } 1 .. 2;
		my $page = substr($$f, $a * BLCKSZ, BLCKSZ);
		put($f, $a * BLCKSZ, substr($$f, $b * BLCKSZ, BLCKSZ));
		put($f, $b * BLCKSZ, $page);
		return "blocks $a and $b";
	},
	copy => sub {
		my ($f) = @_;
		my ($a, $b) = map { int(rand(blocks($f))) } 1 .. 2;
		put($f, $a * BLCKSZ, substr($$f, $b * BLCKSZ, BLCKSZ));
		return "block $b over $a";
	},
	foreign => sub {
		my ($f) = @_;
		my $name = pick(@names);
		my $other = $sound{$name};
		my ($a, $b) = (int(rand(blocks($f))), int(rand(blocks(\$other))));
		put($f, $a * BLCKSZ, substr($other, $b * BLCKSZ, BLCKSZ));
		return "block $b of $name over $a";
	},
	truncate => sub {
		my ($f) = @_;
		my $to = pick(0, BLCKSZ, int(rand(blocks($f))) * BLCKSZ, int(rand(length($$f))));
		$$f = substr($$f, 0, $to);
		return "to $to bytes";
	},
	meta => sub {
		my ($f) = @_;
		# fields from dim to rec_size, then entry, its level, root, centre_set,
		# upper_target
		my $at = DATA + pick((map { 2 * $_ } 0 .. 15), 40, 42, 44, 46, 48, 50, 52, 54, 56, 58);
		put($f, $at, odd_number($f, $at, 2));
		return 'field at ' . ($at - DATA);
	},
	record => sub {
		my ($f) = @_;
		my $rec = a_record($f) // return 'nothing';
		my ($field, $width) = @{ pick([ 0, 1 ], [ 1, 1 ], [ 2, 1 ], [ 3, 1 ], [ 4, 2 ], [ 8, 4 ], [ 12, 4 ],
				[ 16, 4 ], [ 20, 4 ], [ 24, 4 ], [ 28, 4 ], [ 28, 4 ], [ 32, 2 ], [ 34, 2 ], [ 36, 2 ], [ 40, 4 ]) };
		put($f, $rec + $field, odd_number($f, $rec + $field, $width));
		return "record at $rec, field at $field";
	},
	# a link, or other bytes of what is behind the TIDs, to another place
	link => sub {
		my ($f) = @_;
		my $rec = a_record($f) // return 'nothing';
		my $size = u16($f, DATA + 30);
		my $at = $rec + RECORD + 2 * int(rand(($size - RECORD) / 2 - 6));
		my $blk = pick(int($rec / BLCKSZ), int(rand(blocks($f) + 1)));
		put($f, $at, pack('SSS', $blk >> 16, $blk & 0xFFFF, pick(0, 1, 0x8000, 0x8001, 0x4000, int(rand(65536)))));
		return "bytes at $at to block $blk";
	},
	# an overflow page's head; chains that lead back, to a node, elsewhere
	chain => sub {
		my ($f) = @_;
		my $blk = pick(of_kind($f, OVERFLOW));
		my ($field, $width) = @{ pick([ 0, 2 ], [ 2, 2 ], [ 4, 2 ], [ 6, 2 ], [ 8, 4 ], [ 12, 2 ]) };
		my $at = $blk * BLCKSZ + DATA + $field;
		my $bytes = odd_number($f, $at, $width);

		if (pick(0, 1))
		{
			# next: itself, its owner, another overflow page
			$at = $blk * BLCKSZ + DATA + 8;
			$bytes = pack('L', pick($blk, u16($f, $at - 6), pick(of_kind($f, OVERFLOW)), 0));
		}
		put($f, $at, $bytes);
		# empty pages, as VACUUM takes out
		put($f, $blk * BLCKSZ + DATA + 6, pack('S', 0)) if rand() < 0.2;
		return "block $blk, " . unpack('H*', $bytes) . ' at ' . ($at % BLCKSZ);
	},
	# a record's chain leads to its own page or to another node's chain
	owner => sub {
		my ($f) = @_;
		my $rec = a_record($f) // return 'nothing';
		my $blk = pick(int($rec / BLCKSZ), pick(of_kind($f, OVERFLOW)), int(rand(blocks($f))));
		put($f, $rec + 28, pack('L', $blk));
		return "record at $rec, chain to block $blk";
	},
	# what is pending: the metapage's list, a bundle's count or anything else of it
	pending => sub {
		my ($f) = @_;
		my $blk = pick(of_kind($f, PENDING));
		my $size = u16($f, DATA + 30);
		my $at = $blk * BLCKSZ + DATA + pick(3, $size + 3, 2 * int(rand($size)));

		if (rand() < 0.3)
		{
			$at = DATA + pick(NPENDING, NPENDING + 4, BLOCKS, BLOCKS + 4);
			put($f, $at, pick(odd_number($f, $at, 4), pack('L', int(rand(blocks($f))))));
		}
		elsif (rand() < 0.5)
		{
			put($f, $at, odd_number($f, $at, 1));
		}
		else
		{
			put($f, $at, pack('SSS', 0, int(rand(blocks($f) + 1)), pick(0, 1, 2, 0x8000, int(rand(65536)))));
		}
		return "block " . int($at / BLCKSZ) . ', at ' . ($at % BLCKSZ);
	},
	# the head of a page: kind, slots, magic, next, closed
	header => sub {
		my ($f) = @_;
		my $blk = int(rand(blocks($f)));
		my $at = $blk * BLCKSZ + 24 + pick(0, 0, 2, 2, 4, 8, 12);
		put($f, $at, pick(odd_number($f, $at, 2), pack('S', int(rand(9)))));
		return "block $blk, at " . ($at % BLCKSZ);
	},
);

# The seed of the rotation and the centre stand nowhere else: nothing could tell
# that they are others, and by them every distance is wrong.  Put them back.
sub spare
{
	my ($f, $sound) = @_;

	put($f, DATA + 32, substr($$sound, DATA + 32, 8)) if length($$f) >= BLCKSZ;
	foreach my $blk (1 .. u16($sound, DATA + 28))
	{
		my $at = $blk * BLCKSZ;
		next if length($$f) < $at + BLCKSZ || u16($f, $at + 24) != CENTRE;
		put($f, $at + DATA, substr($$sound, $at + DATA, BLCKSZ - DATA));
	}
}

# ---- one damaged index

my @steps = qw(check info search insert same delete vacuum after checked);

# The statements, each between marks on both of psql's outputs.
sub script
{
	my ($name) = @_;
	my $op = $kinds{$name}->{op};
	my %sql = (
		check => "SELECT * FROM hnsw_check('${name}_idx');",
		info => "SELECT 'info' FROM hnsw_info('${name}_idx');",
		search => "SELECT search_faults('$name', '$op');",
		insert => join('', ("INSERT INTO $name (v) SELECT gen_$name() FROM generate_series(1, 4);\n") x 2),
		same => "INSERT INTO $name (v) SELECT v FROM $name ORDER BY id LIMIT 4;\n"
		  . "INSERT INTO $name (v) SELECT v FROM $name ORDER BY id DESC LIMIT 2;",
		delete => "DELETE FROM $name WHERE id % 3 = 0 OR id % 100 < 40;",
		vacuum => "VACUUM (INDEX_CLEANUP on) $name;",
		after => "SELECT search_faults('$name', '$op');",
		checked => "SELECT * FROM hnsw_check('${name}_idx');",
	);

	return "\\set VERBOSITY verbose\n" . join("\n", map { "\\echo \@\@$_\n\\warn \@\@$_\n$sql{$_}" } @steps)
	  . "\n\\echo \@\@end\n\\warn \@\@end\n";
}

sub split_steps
{
	my %part;
	my $step = '';

	foreach my $line (split /\n/, $_[0])
	{
		if ($line =~ /^\@\@(\w+)/) { $step = $1; $part{$step} = ''; }
		else { $part{$step} .= "$line\n"; }
	}
	return \%part;
}

# Run them; returns what was wrong, and counts the outcomes.
sub try_index
{
	my ($db, $name, $outcomes) = @_;
	my ($out, $err) = ('', '');
	my @command = ('psql', '-XAtq', '-d', $node->connstr($db), '-f', '-');
	my $script = script($name);
	my @wrong;

	my $h = IPC::Run::start(\@command, '<', \$script, '>', \$out, '2>', \$err,
		my $timer = IPC::Run::timeout(4 * $seconds));
	unless (eval { IPC::Run::finish($h); 1 })
	{
		my $why = $@;
		$h->kill_kill;
		die $why unless $timer->is_expired;
		push @wrong, 'did not end';
	}
	my ($outs, $errs) = (split_steps($out), split_steps($err));

	push @wrong, 'the session was cut off: ' . ($err =~ s/.*\@\@//sr) unless defined $errs->{end};
	my $reported = ($outs->{check} // '') ne '' || ($errs->{check} // '') =~ /XX00[12]/;
	my $later = ($outs->{checked} // '') ne '' || ($errs->{checked} // '') =~ /XX00[12]/;
	foreach my $step (@steps)
	{
		my $e = $errs->{$step} // next;
		my $result = $e eq '' ? 'ok' : '';

		while ($e =~ /(?:ERROR|FATAL|PANIC): +(\w{5}): (.*)\n(?:DETAIL: +(.*)\n)?/g)
		{
			$result = $1;
			push @wrong, "$step: $1: $2" unless $1 eq 'XX001' || $1 eq 'XX002';
			push @wrong, "$step: $1: $2 (" . ($3 // '') . '), without a block'
			  if $1 eq 'XX002' && ($3 // '') !~ /Block \d+/;
		}
		my $fault = $outs->{$step} // '';
		if ($step eq 'search' || $step eq 'after')
		{
			chomp($fault);
			$result = 'wrong, reported' if $fault ne '';
			push @wrong, "$step: $fault, and hnsw_check is silent"
			  if $fault ne '' && !$reported && !($step eq 'after' && $later);
		}
		$outcomes->{$step}{$result}++;
	}
	return @wrong;
}

# A server that has crashed or hangs is started again.
sub revive
{
	return if $node->psql('postgres', 'SELECT 1') == 0 && !$_[0];
	my $file = $node->data_dir . '/postmaster.pid';
	PostgreSQL::Test::Utils::system_log('pg_ctl', '-D', $node->data_dir, '-m', 'immediate', 'stop') if -e $file;
	$node->{_pid} = undef;
	$node->start;
}

my (%failed, %outcomes, %done);
my $copy = $node->pg_version >= 15 ? 'STRATEGY file_copy' : '';
my $trial = 0;
while ($trial < $trials)
{
	my $db = "copy$trial";
	my %what;

	# copied file by file, so that no buffer holds what is damaged below
	$node->safe_psql('template1', "CREATE DATABASE $db TEMPLATE postgres $copy");
	my $oid = $node->safe_psql('template1', "SELECT oid FROM pg_database WHERE datname = '$db'");
	my @batch = @names[ 0 .. ($trials - $trial < @names ? $trials - $trial : @names) - 1 ];
	foreach my $name (@batch)
	{
		srand($seed + $trial);
		my @kinds = sort keys %damages;
		my $kind = pick(@kinds);
		my $bytes = $sound{$name};
		my $file = $node->data_dir . '/' . ($path{$name} =~ s!/$template_oid/!/$oid/!r);

		$what{$name} = "trial $trial, $name, $kind: " . $damages{$kind}->(\$bytes);
		spare(\$bytes, \$sound{$name});
		open(my $fh, '>:raw', $file) or die "$file: $!";
		print $fh $bytes;
		close($fh) or die "$file: $!";
		$trial++;
		$done{$name}++;
	}
	foreach my $name (@batch)
	{
		my @wrong = try_index($db, $name, $outcomes{$name} //= {});

		next unless @wrong;
		push @{ $failed{$name} }, "$what{$name}: " . join('; ', @wrong);
		diag($failed{$name}[-1]);
		revive(grep { /did not end/ } @wrong);
	}
	$node->safe_psql('template1', "DROP DATABASE $db");
}

foreach my $name (@names)
{
	next unless $done{$name};
	is(join("\n", @{ $failed{$name} // [] }), '', "$name: $done{$name} damaged indexes");
	foreach my $step ($ENV{VX_DAMAGE_TRIALS} ? @steps : ())
	{
		my $o = $outcomes{$name}{$step} // {};
		note("$name $step: " . join(', ', map { "$_ $o->{$_}" } sort keys %$o));
	}
}
cmp_ok(scalar(grep { ($outcomes{$_}{search}{XX002} // 0) > 0 } @names), '>', 0, 'the damage was met')
  if $trials >= 60;

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|was terminated by signal/, 'no backend crashed');
done_testing();
