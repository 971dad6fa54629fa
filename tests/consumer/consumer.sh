#!/bin/sh
# SPDX-License-Identifier: MIT
#
# consumer.sh STEP SOURCE BUILD CC: uses the installed library as its users do.
# `install` puts the tree under BUILD/consumer/first and then moves it to
# BUILD/consumer/prefix, since an installed tree must not know where it lies; the
# other steps use it. Exit status 77: a tool is missing, the test is skipped.
set -eu
step=$1 source=$2 build=$3 cc=$4
work=$build/consumer
prefix=$work/prefix
here=$source/tests/consumer

if [ "$step" != install ]; then
  pc=$(dirname "$(find "$prefix" -name mallocgc.pc)")
  lib=$(dirname "$pc")
  export PKG_CONFIG_PATH="$pc" LD_LIBRARY_PATH="$lib"
  warnings='-Wall -Wextra -Werror'
fi

fail() {
  echo "$*" >&2
  exit 1
}

# Names that a table of symbols defines and that are not ours.
foreign() {
  awk 'NF >= 2 && $(NF-1) ~ /^[TDBRVWGiuS]$/ { sub(/@.*/, "", $NF); print $NF }' |
    grep -v -e '^mgc_' -e '^MALLOCGC_0$' || true
}

case $step in
install)
  rm -rf "$work"
  cmake --install "$build" --prefix "$work/first" >/dev/null
  mv "$work/first" "$prefix"
  ;;
layout)
  for file in include/mallocgc.h include/mallocgc/type.h \
      include/mallocgc/sizeclass_inline.h bin/mallocgc \
      share/man/man1/mallocgc.1 share/bash-completion/completions/mallocgc; do
    [ -f "$prefix/$file" ] || fail "not installed: $file"
  done
  for file in libmallocgc.so libmallocgc.a cmake/mallocgc/mallocgc-config.cmake; do
    [ -f "$lib/$file" ] || fail "not installed: $lib/$file"
  done
  if grep -rlF "$build" "$prefix/include" "$pc" "$lib/cmake"; then
    fail "these name the build directory"
  fi
  env -u LD_LIBRARY_PATH "$prefix/bin/mallocgc" --version >/dev/null
  ;;
soname)
  readelf -d "$lib/libmallocgc.so" | grep -q 'SONAME.*\[libmallocgc\.so\.0\]' ||
    fail "SONAME is not libmallocgc.so.0"
  ;;
exports)
  names=$(nm -D --defined-only "$lib/libmallocgc.so" | foreign)
  [ -z "$names" ] || fail "libmallocgc.so exports:" $names
  names=$(nm -g --defined-only "$lib/libmallocgc.a" | foreign)
  [ -z "$names" ] || fail "libmallocgc.a has global symbols:" $names
  nm -D --defined-only "$lib/libmallocgc.so" | grep -q ' mgc_new_slow' ||
    fail "mgc_new_slow is not exported"
  ;;
pkgconfig)
  command -v pkg-config >/dev/null || exit 77
  # shellcheck disable=SC2046
  $cc $warnings "$here/program.c" $(pkg-config --cflags --libs mallocgc) \
    -o "$work/pkgconfig"
  "$work/pkgconfig"
  ;;
malloc)
  command -v pkg-config >/dev/null || exit 77
  $cc $warnings "$here/malloc.c" -o "$work/malloc_plain"
  if "$work/malloc_plain" >/dev/null; then fail "the C library's malloc is ours"; fi
  env -u LD_LIBRARY_PATH "$prefix/bin/mallocgc" run "$work/malloc_plain"
  # shellcheck disable=SC2046
  $cc $warnings "$here/malloc.c" $(pkg-config --libs mallocgc-malloc) \
    -o "$work/malloc_linked"
  "$work/malloc_linked"
  ;;
static)
  # shellcheck disable=SC2046
  $cc $warnings "$here/program.c" $(pkg-config --cflags mallocgc) \
    "$lib/libmallocgc.a" -pthread -o "$work/static"
  env -u LD_LIBRARY_PATH "$work/static"
  ;;
cmake)
  cmake -S "$here/find_package" -B "$work/cmake" -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
  cmake --build "$work/cmake" >/dev/null
  "$work/cmake/shared_program"
  "$work/cmake/static_program"
  ;;
cxx)
  command -v c++ >/dev/null || exit 77
  # shellcheck disable=SC2046
  c++ $warnings "$here/program.cpp" $(pkg-config --cflags --libs mallocgc) \
    -o "$work/cxx"
  "$work/cxx"
  ;;
types)
  # What the compiler put into a user's program, read back by the command.
  "$prefix/bin/mallocgc" types "$work/pkgconfig" | grep -q 'ptrdata 16'
  ;;
*)
  fail "no step $step"
  ;;
esac
