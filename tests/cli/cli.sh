#!/bin/sh
# SPDX-License-Identifier: MIT
#
# cli.sh CASE COMMAND PROGRAM SOURCE: what the mallocgc command answers.
set -u
case_=$1 command=$2 program=$3 source=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  echo "$*" >&2
  echo "--- stdout" >&2
  cat "$work/out" >&2
  echo "--- stderr" >&2
  cat "$work/err" >&2
  exit 1
}

# run STATUS ARGUMENT...: runs the command and compares its exit status.
run() {
  expected=$1
  shift
  "$command" "$@" >"$work/out" 2>"$work/err" </dev/null
  status=$?
  [ $status = "$expected" ] || fail "mallocgc $*: exit status $status, not $expected"
}
out_has() { grep -q -e "$1" "$work/out" || fail "no '$1' on stdout"; }
err_has() { grep -q -e "$1" "$work/err" || fail "no '$1' on stderr"; }
silent() { [ ! -s "$work/$1" ] || fail "std$1 is not empty"; }

case $case_ in
help)
  run 0 --help
  silent err
  out_has '^Usage: mallocgc '
  out_has '^  types PROGRAM'
  out_has '^  run PROGRAM'
  out_has '^  stat PID'
  run 0 run --help
  out_has '^Usage: mallocgc run '
  out_has '127'
  run 0 stat --help
  out_has '^Usage: mallocgc stat '
  run 0 types --help
  out_has '^Usage: mallocgc types '
  out_has 'Exit status'
  ;;
version)
  run 0 --version
  out_has '^mallocgc [0-9]*\.[0-9]*\.[0-9]*$'
  ;;
usage)
  run 2
  silent out
  run 2 no-such-command
  err_has 'no command'
  silent out
  run 2 --no-such-option
  run 2 types
  err_has 'PROGRAM is missing'
  run 2 types one two
  run 2 types --no-such-option "$program"
  ;;
full)
  "$command" types "$program" >/dev/full 2>"$work/err"
  [ $? = 1 ] || fail "a full device is not noticed"
  : >"$work/out"
  err_has 'cannot write'
  ;;
missing)
  run 1 types /nonexistent/program
  err_has '/nonexistent/program: No such file'
  run 1 types "$work"
  silent out
  ;;
not_elf)
  run 1 types "$source/Makefile"
  err_has 'not an ELF file'
  : >"$work/empty"
  run 1 types "$work/empty"
  run 1 types "$command"x
  run 1 types /bin/sh
  err_has 'no type descriptors'
  ;;
damaged)
  # Cut off at many places, and with bytes overwritten: an answer, never a crash.
  size=$(wc -c <"$program")
  step=$((size / 60))
  at=1
  while [ $at -lt "$size" ]; do
    head -c $at "$program" >"$work/cut"
    "$command" types "$work/cut" >"$work/out" 2>"$work/err"
    [ $? -le 1 ] || fail "cut at $at: exit status above 1"
    cp "$program" "$work/hit"
    printf '\377\377\377\377\377\377\377\377' |
      dd of="$work/hit" bs=1 seek=$at conv=notrunc 2>/dev/null
    "$command" types "$work/hit" >"$work/out" 2>"$work/err"
    [ $? -le 1 ] || fail "overwritten at $at: exit status above 1"
    at=$((at + step))
  done
  ;;
layout)
  run 0 types -t 'struct six' "$program"
  out_has 'size 48  ptrdata 40  align 8'
  out_has 'gcdata 20 (00101, word 0 first)'
  out_has '^  *16 |c  *| \*  c: unsafe pointer (8)$'
  out_has '^  *8 |b |.*| *b: uint8 (1)  7 padding$'
  run 0 types -t 'struct five' "$program"
  out_has 'gcdata 13 '
  run 0 types -t 'struct nest' "$program"
  out_has 'gcdata program of '
  out_has '|\.\.\. elements\[1\.\.7\]'
  out_has '| +  elements\[1\.\.7\]'
  run 1 types -t 'struct none' "$program"
  err_has 'no type named struct none'
  ;;
all)
  run 0 types "$program"
  grep -q '^\*struct six' "$work/out" && fail "pointer types without --all"
  run 0 types --all "$program"
  out_has '^\*struct six$'
  ;;
json)
  run 0 types --json "$program"
  python3 - "$work/out" <<'P' || fail "the JSON is not what it should be"
import json, sys
types = {t["name"]: t for t in json.load(open(sys.argv[1]))["types"]}
six, five, nest = (types["struct " + n] for n in ("six", "five", "nest"))
assert (six["size"], six["ptrdata"], six["gcdata"]) == (48, 40, [20])
assert [f["offset"] for f in six["fields"]] == [0, 8, 16, 24, 32, 40]
assert five["gcdata"] == [13]
assert nest["gcdata"] == "program"
assert nest["fields"][0]["stride"] == 16
assert nest["fields"][0]["each"][0]["pointer"] is True
P
  run 0 types --json /bin/sh
  out_has '"types": \[\]'
  ;;
*)
  echo "no case $case_" >&2
  exit 1
  ;;
esac
