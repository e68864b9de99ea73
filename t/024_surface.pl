# The catalogues, object by object, against pgvector's: t/surface.tsv is what bench/surface.py read from pgvector with
# t/surface.sql, the query that is asked of vectorx here.  Each object is there under its name, with the same arguments,
# result, volatility, strictness, parallel safety, commutator, negator, context, default and so on.  vectorx may have more.
# What it has not yet is named in t/surface_missing.tsv: an object on that list that is there is a failure, too.
use strict;
use warnings FATAL => 'all';

use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

use VectorxTest;

my $here = dirname(__FILE__);

# kind and name, a tab between => what
sub objects
{
	my %objects;

	for (@_)
	{
		my ($kind, $name, $what) = split /\t/, $_;
		$objects{"$kind\t$name"} = $what // '';
	}
	return %objects;
}

sub lines_of
{
	my ($name) = @_;

	return grep { !/^(#|$)/ } split /\n/, slurp_file("$here/$name");
}

# Has a setting the other's type and context, and all of its values?
sub admits
{
	my ($mine, $theirs) = @_;
	my ($rest, $their_rest) = ($mine, $theirs);
	my %bounds = map { $_ => [ $mine =~ /, $_ ([^, ]+)/ ? $1 : undef, $theirs =~ /, $_ ([^, ]+)/ ? $1 : undef ] } qw(from to);
	my %values = map { $_ => 1 } split / /, $mine =~ /, one of (.*)/ ? $1 : '';

	s/, (from|to|one of) .*// for $rest, $their_rest;
	return $rest eq $their_rest
		&& (!defined $bounds{from}[1] || $bounds{from}[0] <= $bounds{from}[1])
		&& (!defined $bounds{to}[1] || $bounds{to}[0] >= $bounds{to}[1])
		&& !grep { !$values{$_} } split / /, $theirs =~ /, one of (.*)/ ? $1 : '';
}

my $node = new_node('surface', '');
my $query = slurp_file("$here/surface.sql") =~ s/:'extension'/'vectorx'/r;
# the settings are there from the first use on
my $answer = $node->safe_psql('postgres', qq(
CREATE EXTENSION vectorx;
SET client_min_messages = warning;
CREATE TEMP TABLE items (v vector(3));
CREATE INDEX ON items USING hnsw (v vector_l2_ops) WITH (m = 8);
\\pset format unaligned
\\pset fieldsep '\\t'
\\pset tuples_only on
$query));
my %mine = objects(split /\n/, $answer);
my %theirs = objects(lines_of('surface.tsv'));
my %missing = map { $_ => 1 } lines_of('surface_missing.tsv');

cmp_ok(scalar(keys %theirs), '>', 200, 'pgvector has more than 200 objects');
for my $object (sort keys %theirs)
{
	my $name = $object =~ s/\t/ /r;

	if ($missing{$object})
	{
		ok(!exists $mine{$object}, "$name is missing, as t/surface_missing.tsv says");
	}
	elsif (!exists $mine{$object})
	{
		fail("$name is there");
	}
	elsif ($object =~ /^setting/)
	{
		ok(admits($mine{$object}, $theirs{$object}), "$name takes what pgvector's takes")
			or diag("vectorx: $mine{$object}\npgvector: $theirs{$object}");
	}
	else
	{
		is($mine{$object}, $theirs{$object}, "$name is as pgvector's");
	}
}
for my $object (sort keys %missing)
{
	ok(exists $theirs{$object}, ($object =~ s/\t/ /r) . ', said to be missing, is an object of pgvector');
}
note(scalar(keys %mine) . ' objects here, ' . scalar(keys %theirs) . ' of pgvector, ' . scalar(keys %missing) . ' of them missing');

$node->stop;
done_testing();
