# SPDX-License-Identifier: MIT
# Hashes of arrays of strings, regular expressions, sorting, joins.
use strict;
use warnings;

my $rounds = shift // 10;
my $state = 12345;
sub number { $state = ($state * 1103515245 + 12345) % 2147483648; return $state % shift; }

my $sum = 0;
for my $round (1 .. $rounds) {
  my (%index, @lines);
  for my $i (1 .. 12000) {
    my $line = join ' ', map { ('a' .. 'z')[number(26)] x (1 + number(9)) } 1 .. 5;
    push @lines, "$i:$line";
    push @{ $index{$_} }, $i for split / /, $line;
  }
  for my $key (sort keys %index) {
    $sum = ($sum + @{ $index{$key} } * length $key) % 1000000007;
  }
  my @found = grep { /(\w)\1{4,}\s+(\w+)/ && length($2) > 2 } @lines;
  s/(\w+):(\w+)/$2-$1/ for @found;
  my %records = map { my @f = split /[ -]/; ($f[1] => { first => $f[0], rest => [@f[2 .. $#f]] }) } @found;
  my $text = join "\n", map { "$_=" . join ',', @{ $records{$_}{rest} } } sort keys %records;
  $sum = ($sum + unpack('%32C*', $text)) % 1000000007;
  print scalar(@found), ' ', length($text), " $sum\n";
}
