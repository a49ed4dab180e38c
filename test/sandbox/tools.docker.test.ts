/**
 * What honest tasks are made of works under the filter: compilers, git, test runners, threads, processes, event loops,
 * servers on localhost. Each of a tool that the image offers; one that it does not offer is skipped by name.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Sandbox } from "../../src/sandbox/port.ts";
import { bash, type ContractSubject, megabyte, specOf } from "./contract.ts";
import { makeSubject, whyNoEngine } from "./engine.ts";

const missing = await whyNoEngine();
if (missing !== undefined) it.skip(missing, () => {});

interface Case {
  readonly tool: string;
  readonly what: string;
  readonly script: string;
  readonly says: RegExp;
  /** needs what paranoid does without; there it must say so, and not hang or crash the tool */
  readonly needsNetwork?: true;
}

const python = (code: string) => `python3 - <<'EOF'\n${code}\nEOF`;
const node = (code: string) => `node --input-type=module - <<'EOF'\n${code}\nEOF`;

const cases: readonly Case[] = [
  {
    tool: "gcc",
    what: "compiles and runs threads",
    script: `cat > t.c <<'EOF'
#include <pthread.h>
#include <stdio.h>
static void *add(void *n) { ++*(int *)n; return 0; }
int main(void) { pthread_t t; int n = 41; pthread_create(&t, 0, add, &n); pthread_join(t, 0); printf("%d\\n", n); }
EOF
gcc -O2 -pthread t.c -o t && ./t`,
    says: /^42\n$/,
  },
  {
    tool: "g++",
    what: "compiles and runs with the address sanitizer",
    script: `cat > t.cc <<'EOF'
#include <iostream>
#include <vector>
int main() { std::vector<int> v(3, 7); std::cout << v.at(2) << std::endl; }
EOF
g++ -fsanitize=address t.cc -o t && ASAN_OPTIONS=detect_leaks=0 ./t`,
    says: /^7\n$/,
  },
  {
    tool: "make",
    what: "runs jobs beside each other",
    script: "printf 'all: a b\\na b:\\n\\t@echo $@\\n' > Makefile && make -sj2 | sort",
    says: /^a\nb\n$/,
  },
  {
    tool: "git",
    what: "commits, branches, clones, packs and greps",
    script: `export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q -b main one && cd one && echo text > file && git add . && git commit -qm first && git switch -qc other &&
git gc -q && git clone -q . ../two && git -C ../two grep -c text && git -C ../two log --format=%s`,
    says: /^file:1\nfirst\n$/,
  },
  {
    tool: "pytest",
    what: "runs tests",
    script: "printf 'def test_a(tmp_path):\\n  (tmp_path / \"x\").mkdir()\\n' > test_a.py && pytest -q test_a.py",
    says: /1 passed/,
  },
  {
    tool: "python3",
    what: "multiprocessing: a pool, a queue, shared memory",
    script: python(`import multiprocessing as m
from multiprocessing import shared_memory
def square(n): return n * n
with m.get_context("fork").Pool(3) as pool: print(sum(pool.map(square, range(10))))
queue = m.Queue(); p = m.Process(target=queue.put, args=("said",)); p.start(); print(queue.get()); p.join()
s = shared_memory.SharedMemory(create=True, size=64); s.buf[0] = 9; print(s.buf[0]); s.close(); s.unlink()`),
    says: /^285\nsaid\n9\n$/,
  },
  {
    tool: "python3",
    what: "asyncio: a subprocess and a socket of the file system",
    script: python(`import asyncio
async def serve(reader, writer):
    writer.write(await reader.readline()); await writer.drain(); writer.close()
async def main():
    p = await asyncio.create_subprocess_exec("echo", "child", stdout=asyncio.subprocess.PIPE)
    print((await p.communicate())[0].decode(), end="")
    await asyncio.start_unix_server(serve, "/tmp/tools.sock")
    reader, writer = await asyncio.open_unix_connection("/tmp/tools.sock")
    writer.write(b"echoed\\n"); print((await reader.readline()).decode(), end="")
asyncio.run(main())`),
    says: /^child\nechoed\n$/,
  },
  {
    tool: "python3",
    what: "a server on localhost",
    script: python(`import http.server, threading, urllib.request
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(urllib.request.urlopen(f"http://localhost:{server.server_port}/").status)`),
    says: /^200$/m,
    needsNetwork: true,
  },
  {
    tool: "python3",
    what: "a virtual environment, sqlite, ssl, ctypes",
    script: `python3 -m venv --without-pip v && v/bin/python - <<'EOF'
import sqlite3, ssl, ctypes
print(sqlite3.connect("a.db").execute("select 6 * 7").fetchone()[0], ssl.create_default_context() is not None)
print(ctypes.CDLL(None).getpid() > 0)
EOF`,
    says: /^42 True\nTrue\n$/,
  },
  {
    tool: "node",
    what: "workers, a child, files, timers",
    script: node(`import { Worker } from "node:worker_threads";
import { execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
await writeFile("n", "file");
const worker = new Worker('import { parentPort } from "node:worker_threads"; parentPort.postMessage("worker")', { eval: true });
const said = await new Promise((resolve) => worker.once("message", resolve));
console.log(said, execFileSync("echo", ["child"]).toString().trim(), await readFile("n", "utf8"));`),
    says: /^worker child file\n$/,
  },
  {
    tool: "node",
    what: "a server on localhost",
    script: node(`import { createServer } from "node:http";
const server = createServer((_, answer) => answer.end("served")).listen(0, "127.0.0.1", async () => {
  console.log(await (await fetch("http://localhost:" + server.address().port)).text());
  server.close();
});`),
    says: /^served\n$/,
    needsNetwork: true,
  },
  {
    tool: "node",
    what: "its test runner",
    script: `printf 'require("node:test").test("a", () => {});' > a.test.js && node --test --test-reporter=tap a.test.js`,
    says: /# pass 1/,
  },
  {
    tool: "tsx",
    what: "runs TypeScript",
    script: `echo 'const n: number = 7; console.log(n)' > t.ts && tsx t.ts`,
    says: /^7\n$/,
  },
  {
    tool: "go",
    what: "builds, runs goroutines and a test",
    script: `export GOCACHE=/tmp/go GOFLAGS=-mod=mod GO111MODULE=on GOPROXY=off
echo 'module m' > go.mod
cat > a_test.go <<'EOF'
package m
import "testing"
func TestA(t *testing.T) { c := make(chan int); go func() { c <- 1 }(); if <-c != 1 { t.Fatal() } }
EOF
go test ./...`,
    says: /^ok\s+m/m,
  },
  {
    tool: "ruby",
    what: "forks, threads, pipes",
    script: `ruby -e 'r, w = IO.pipe; fork { w.puts Thread.new { 6 * 7 }.value }; Process.wait; puts r.gets'`,
    says: /^42\n$/,
  },
  {
    tool: "rustc",
    what: "compiles and runs",
    script: `echo 'fn main() { println!("{}", std::thread::spawn(|| 7).join().unwrap()) }' > r.rs && rustc r.rs -o r && ./r`,
    says: /^7\n$/,
  },
  {
    tool: "javac",
    what: "compiles and runs",
    script: `echo 'class A { public static void main(String[] a) { System.out.println(7); } }' > A.java && javac A.java && java A`,
    says: /^7\n$/,
  },
  { tool: "curl", what: "answers of files", script: "echo x > f && curl -s file://$PWD/f", says: /^x\n$/ },
  {
    tool: "tar",
    what: "keeps and restores modes, links and times",
    script: "mkdir d && echo x > d/f && ln -s f d/l && tar czf t.gz d && rm -r d && tar xzf t.gz && cat d/l",
    says: /^x\n$/,
  },
  {
    tool: "bash",
    what: "named pipes, process substitution, background jobs",
    script:
      "mkfifo p && (echo piped > p &) && cat p <(echo substituted) && (sleep 60 & kill $!; wait; true) && echo ended",
    says: /^piped\nsubstituted\nended\n$/,
  },
];

describe.runIf(missing === undefined).each(["strict", "paranoid"] as const)("under %s", (profile) => {
  let subject: ContractSubject;
  let sandbox: Sandbox;
  const env = { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: "/tmp", LANG: "C.UTF-8", TMPDIR: "/tmp" };
  const run = (script: string) => sandbox.run(bash(script, { timeoutMs: 120_000, env }));

  beforeAll(async () => {
    subject = await makeSubject();
    const resources = { memoryBytes: 1024 * megabyte, cpus: 2, pidsMax: 256, diskBytes: 512 * megabyte };
    sandbox = await subject.host.open(specOf(subject.instance, subject.image, { profile, resources }));
  });
  afterAll(async () => {
    await sandbox?.close();
    await subject?.dispose();
  });

  it.for(cases)("$tool: $what", async ({ tool, script, says, needsNetwork }, context) => {
    const found = await run(`command -v ${tool}`);
    if (found.output.text === "") context.skip(`the image has no ${tool}`);
    const { outcome, output } = await run(`cd "$(mktemp -d)"\n${script}`);
    if (profile === "paranoid" && needsNetwork) {
      expect(output.text).toMatch(/EAFNOSUPPORT|Address family not supported/);
      expect(outcome).toEqual({ kind: "exited", exitCode: 1 });
    } else {
      expect(output.text).toMatch(says);
      expect(outcome).toEqual({ kind: "exited", exitCode: 0 });
    }
  });
});
