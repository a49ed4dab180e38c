#!/usr/bin/env bash
# Odd names are rotated, and nothing else is.
set -u

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

fail() {
  echo "FAIL $*"
  exit 1
}

rotated() {
  local name=$1
  [ -f "./$name.1" ] || fail "'$name' was not rotated"
  [ "$(cat "./$name.1")" = "old" ] || fail "'$name.1' holds something else"
  [ -f "./$name" ] && [ ! -s "./$name" ] || fail "'$name' is not a new empty file"
  echo "ok   '$name'"
}

for name in "my app.log" "[1]*.log" "  two  spaces .log"; do
  echo old > "$name"
  bash "$root/logtrim.sh" --keep 3 "$name" || fail "logtrim.sh '$name' ended with $?"
  rotated "$name"
done

echo old > ./-n.log
bash "$root/logtrim.sh" --keep 3 -- -n.log || fail "logtrim.sh -- -n.log ended with $?"
rotated "-n.log"

echo keep > 1x.log
echo old > "[1]*.log"
bash "$root/logtrim.sh" --keep 3 "[1]*.log" || fail "second rotation ended with $?"
[ "$(cat 1x.log)" = "keep" ] && [ ! -e 1x.log.1 ] || fail "a file that only matched as a pattern was touched"
echo "ok   nothing else was touched"
