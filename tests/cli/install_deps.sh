#!/bin/sh
# SPDX-License-Identifier: MIT
#
# install_deps.sh CASE SOURCE: tools/install-deps.sh on false machines, where
# dpkg-query, apt-get and id are scripts of ours and nothing else is installed.
set -u
case_=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"
for tool in sh env sed tr mktemp rm tail grep dirname cat; do
  ln -s "$(command -v $tool)" "$work/bin/$tool"
done

fail() {
  echo "$*" >&2
  cat "$work/out" "$work/apt" >&2 2>/dev/null
  exit 1
}

script() { # script NAME: standard input becomes a program of that name
  { echo '#!/bin/sh'; cat; } >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}

echo 'echo 0' | script id
script dpkg-query <<S
shift 2
for package; do
  grep -qx "\$package" "$work/installed" && echo "installed \$package "
done
S
script apt-get <<S
echo "\$*" >>"$work/apt"
case " \$* " in *' update '*) exit 0 ;; esac
status=0
for word; do
  case \$word in -*|install) continue ;; esac
  if grep -qx "\$word" "$work/refused"; then status=100; fi
done
[ \$status = 0 ] || exit \$status
for word; do
  case \$word in -*|install) ;; *) echo "\$word" >>"$work/installed" ;; esac
done
S
: >"$work/installed"
: >"$work/refused"

# run STATUS PURPOSE
run() {
  : >"$work/apt"
  PATH="$work/bin" sh "$source/tools/install-deps.sh" "$2" >"$work/out" 2>&1
  status=$?
  [ $status = "$1" ] || fail "exit status $status, not $1"
}

case $case_ in
bare)
  run 0 run
  grep -q ' update' "$work/apt" || fail "no apt-get update"
  grep -qx cmake "$work/installed" || fail "cmake is not installed"
  grep -qx libcriterion-dev "$work/installed" && fail "run needs no Criterion"
  run 0 test
  grep -q libcriterion-dev "$work/apt" || fail "Criterion is not installed"
  grep -q ' cmake' "$work/apt" && fail "cmake is installed twice"
  ;;
again)
  run 0 test
  run 0 test
  [ ! -s "$work/out" ] && [ ! -s "$work/apt" ] || fail "the second run does things"
  ;;
optional)
  echo iso-codes >"$work/refused"
  run 0 run
  grep -q 'cannot get iso-codes; going on' "$work/out" || fail "no word of iso-codes"
  grep -qx cmake "$work/installed" || fail "iso-codes kept cmake out"
  ;;
needed)
  echo cmake >"$work/refused"
  run 1 run
  grep -q 'cannot get cmake, which is needed' "$work/out" || fail "no word of cmake"
  ;;
no_dpkg)
  rm "$work/bin/dpkg-query"
  run 0 run
  grep -q 'no dpkg here' "$work/out" || fail "no word of dpkg"
  ;;
no_root)
  echo 'echo 1000' | script id
  run 1 run
  grep -q 'not root and no sudo' "$work/out" || fail "no word of sudo"
  ;;
*)
  fail "no case $case_"
  ;;
esac
exit 0
