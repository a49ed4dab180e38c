# rotate FILE KEEP: FILE becomes FILE.1, FILE.1 becomes FILE.2, …; at most KEEP old ones stay.
rotate() {
  local file=$1 keep=$2 number
  if [ ! -f $file ]; then
    echo "logtrim: $file is not a file" >&2
    return 1
  fi
  rm -f $file.$keep
  for ((number = keep - 1; number >= 1; number--)); do
    if [ -f $file.$number ]; then
      mv $file.$number $file.$((number + 1))
    fi
  done
  mv $file $file.1
  : > $file
}
