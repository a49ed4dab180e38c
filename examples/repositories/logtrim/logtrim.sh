#!/usr/bin/env bash
# Rotates each FILE and keeps the given number of old ones.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/rotate.sh
. "$here/lib/rotate.sh"

usage() {
  echo "usage: logtrim.sh [--keep COUNT] FILE..." >&2
  exit 2
}

keep=5
files=()
while [ $# -gt 0 ]; do
  case $1 in
    --keep)
      [ $# -ge 2 ] || usage
      keep=$2
      shift 2
      ;;
    --)
      shift
      files+=("$@")
      break
      ;;
    -*) usage ;;
    *)
      files+=("$1")
      shift
      ;;
  esac
done

[[ $keep =~ ^[1-9][0-9]*$ ]] || usage
[ ${#files[@]} -gt 0 ] || usage

for file in ${files[@]}; do
  rotate $file "$keep"
done
