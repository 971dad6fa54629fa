#!/bin/sh
# SPDX-License-Identifier: MIT
#
# install-deps.sh run|test|bench|lint: sees to it that the packages of
# tools/packages.txt for this purpose are there. When they are, it says nothing
# and takes a few milliseconds; otherwise it installs only what is missing.
set -u
purpose=${1:?usage: install-deps.sh run|test|bench|lint}
list=$(dirname "$0")/packages.txt

needed=''   # package:optional
queried=''
while read -r package when command _; do
  case $package in ''|'#'*) continue ;; esac
  optional=no
  case $when in *'?') optional=yes; when=${when%?} ;; esac
  case ",$when," in *",$purpose,"*) ;; *) continue ;; esac
  if [ "$command" != - ] && command -v "$command" >/dev/null 2>&1; then
    continue
  fi
  needed="$needed $package:$optional"
  queried="$queried $package"
done <"$list"
[ -n "$queried" ] || exit 0

if ! command -v dpkg-query >/dev/null 2>&1; then
  echo "install-deps: no dpkg here; going on as if these were installed:$queried" >&2
  exit 0
fi

installed() {
  # shellcheck disable=SC2086
  dpkg-query -W -f='${db:Status-Status} ${Package} \n' $queried 2>/dev/null |
    sed -n 's/^installed / /p' | tr -d '\n'
}

missing() {
  have=" $(installed) "
  for entry in $needed; do
    case $have in *" ${entry%:*} "*) ;; *) printf ' %s' "$entry" ;; esac
  done
}

absent=$(missing)
[ -n "$absent" ] || exit 0

sudo=''
if [ "$(id -u)" != 0 ]; then
  if command -v sudo >/dev/null 2>&1; then
    sudo=sudo
  else
    sudo=false
    echo "install-deps: not root and no sudo: cannot install" >&2
  fi
fi
apt() {
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" >>"$log" 2>&1
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

names=''
for entry in $absent; do names="$names ${entry%:*}"; done
echo "install-deps: installing$names"
apt update || echo "install-deps: apt-get update failed; trying what is known" >&2
# shellcheck disable=SC2086
if ! apt install --no-install-recommends $names; then
  # One that cannot be had must not keep the others out.
  for name in $names; do apt install --no-install-recommends "$name"; done
fi

status=0
for entry in $(missing); do
  case ${entry#*:} in
    yes) echo "install-deps: cannot get ${entry%:*}; going on without it" >&2 ;;
    *) echo "install-deps: cannot get ${entry%:*}, which is needed" >&2
       status=1 ;;
  esac
done
if [ $status != 0 ]; then tail -n 5 "$log" >&2; fi
exit $status
