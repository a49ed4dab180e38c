#!/bin/bash
# Run inside a sandbox of the image, as an unprivileged user: everything that CONTRACT.md promises to tasks is there.
set -u
failed=0
check() { # check NAME COMMAND…
  local name=$1
  shift
  if output=$("$@" 2>&1); then
    printf 'ok   %-10s %s\n' "$name" "$(head -n 1 <<<"$output")"
  else
    printf 'FAIL %-10s %s\n' "$name" "$output"
    failed=1
  fi
}
check git git --version
check bash bash --version
check curl curl --version
check certs test -s /etc/ssl/certs/ca-certificates.crt
check python3 python3 --version
check python python --version
check pip pip --version
check venv python3 -m venv --without-pip "$(mktemp -d)/venv"
check pytest pytest --version
check node node -e 'if (+process.versions.node.split(".")[0] < 24) throw process.version; console.log(process.version)'
check npm npm --version
check npx npx --version
check tsx tsx --eval 'const n: number = 1; console.log("tsx", n)'
check npx-tsx npx --no-install tsx --version
check go go version
check ruby ruby --version
check ps ps --version
probe=$(mktemp -d)
cat >"$probe/hello.c" <<<'int main(void) { return 0; }'
check gcc gcc -o "$probe/hello" "$probe/hello.c"
check run-c "$probe/hello"
check g++ g++ --version
check make make --version
check uid test "$(id -u agent):$(id -u tests)" = 10001:10002
check home test "$(getent passwd agent | cut -d: -f6)$(stat -c %a /root)" = /root755
check gitconfig test "$(git config --system safe.directory)" = '*'
check programs test -x /proctor/bin/supervisor -a -x /proctor/bin/harvest -a -x /proctor/bin/wipe
check unreadable test ! -r /proctor/bin/supervisor
check places test -d /repo -a -d /agent -a -d /task
check no-host-ca test ! -e /run/extra-ca.crt
exit "$failed"
