#!/usr/bin/env bash
# Runs every check; prints a line for each and fails when one does.
set -u

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
failures=0

check() {
  local name=$1 expected=$2 actual=$3
  if [ "$expected" = "$actual" ]; then
    echo "ok   $name"
  else
    echo "FAIL $name: expected '$expected', got '$actual'"
    failures=$((failures + 1))
  fi
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo first > "$work/app.log"
bash "$root/logtrim.sh" --keep 2 "$work/app.log"
check "the log becomes .1" first "$(cat "$work/app.log.1")"
check "a new empty log is there" "" "$(cat "$work/app.log")"

echo second > "$work/app.log"
bash "$root/logtrim.sh" --keep 2 "$work/app.log"
check ".1 becomes .2" first "$(cat "$work/app.log.2")"

echo third > "$work/app.log"
bash "$root/logtrim.sh" --keep 2 "$work/app.log"
check "the oldest goes" second "$(cat "$work/app.log.2")"
check "no more than asked are kept" no "$([ -e "$work/app.log.3" ] && echo yes || echo no)"

bash "$root/logtrim.sh" --keep 0 "$work/app.log" 2> /dev/null
check "a useless count is refused" 2 $?

exit $((failures > 0))
