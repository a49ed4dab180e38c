/** What an agent's change may look like, and that its patch holds all of it and nothing of the agent's git runs. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Bench, type Repository } from "./bench.ts";

let bench: Bench;
let repository: Repository;

beforeAll(async () => {
  bench = await Bench.open({}, "presumed");
  repository = await bench.repository({
    "a.txt": "one\ntwo\n",
    "gone.txt": "bye\n",
    "tool.sh": "#!/bin/sh\necho tool\n",
    "dir/in.txt": "in\n",
    ".gitignore": "*.log\nbuild/\n",
    ".gitattributes": "*.txt text\n*.dat filter=evil diff=evil\n",
  });
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
});

const passing = { judges: [{ name: "check", script: "true", workingDir: "." }] };
const judgedBy = (script: string) => ({ judges: [{ name: "check", script, workingDir: "." }] });

describe("the patch", () => {
  it("holds new, changed, deleted, binary, linked, executable and ignored files, and applies to the base", async () => {
    const script = `
      printf 'one\\nTWO\\n' > a.txt
      rm gone.txt
      printf 'new\\r\\nline' > new.txt
      head -c 2000 /dev/zero | tr '\\0' '\\377' > blob.bin
      printf 'a\\0b' > nul.dat
      ln -s a.txt link
      chmod +x dir/in.txt
      mkdir build; echo artefact > build/out; echo ignored > x.log
      printf 'x' > "odd name \\$(id) é"
      mkdir -p deep/er; : > deep/er/empty
    `;
    const check = `
      test "$(cat a.txt)" = "one
TWO" && ! test -e gone.txt && test -L link && test -x dir/in.txt && test -f build/out && test -f x.log &&
      test "$(wc -c < blob.bin)" = 2000 && test "$(wc -c < nul.dat)" = 3 && test -f deep/er/empty && test -f 'odd name $(id) é'`;
    const { result } = await bench.evaluate(repository, script, judgedBy(check));
    expect(result).toMatchObject({ verdict: "passed", notes: [] });
    const listed = await bench.applied(repository, result.agentPatch.text);
    const lines = listed.split("\n").map((line) => [line.slice(0, 6), line.split("\t")[1]].join(" "));
    for (const line of [
      "100644 build/out",
      "100644 x.log",
      "100644 blob.bin",
      "120000 link",
      "100755 dir/in.txt",
      "100644 deep/er/empty",
    ]) {
      expect(lines).toContain(line);
    }
    expect(listed).not.toContain("gone.txt");
    expect(listed).toContain("odd name $(id)");
  });

  it("holds what the agent committed itself, on whatever branch", async () => {
    const script = `
      git checkout -q -b mine && echo three >> a.txt && git rm -q gone.txt && echo fresh > fresh.txt && git add -A && git commit -q -m mine
      git checkout -q -b other && echo four >> a.txt && git commit -q -a -m more
    `;
    const { result } = await bench.evaluate(repository, script, passing);
    expect(result.verdict).toBe("passed");
    expect(result.agentPatch.text).toMatch(/\+three\n\+four/);
    expect(result.agentPatch.text).toContain("deleted file mode 100644");
    expect(result.agentPatch.text).toContain("+++ b/fresh.txt");
    expect(result.agentPatch.text).not.toContain(".git/");
  });

  it("is exact: line ends, missing newlines and attributes of the change alter nothing", async () => {
    const script = `
      printf 'crlf\\r\\nlf\\nend' > mixed.txt
      printf '* -diff\\n*.txt ident\\n' > .gitattributes
      printf '$Id$\\n' > ident.txt
    `;
    const { result } = await bench.evaluate(repository, script, passing);
    expect(result.agentPatch.text).toContain("+crlf\r\n+lf\n+end\n\\ No newline at end of file");
    expect(result.agentPatch.text).toContain("+$Id$\n");
    expect(result.agentPatch.text).not.toContain("GIT binary patch");
  });

  it("G03: planted git configuration, hooks, filters and attributes run nowhere", async () => {
    const script = `
      mark='touch /tmp/pwned /repo/pwned'
      for hook in pre-commit post-checkout post-index-change reference-transaction; do
        printf '#!/bin/sh\\n%s\\n' "$mark" > .git/hooks-$hook; mkdir -p .git/hooks; cp .git/hooks-$hook .git/hooks/$hook; chmod +x .git/hooks/$hook
      done
      git config core.fsmonitor "$mark"; git config core.hooksPath /repo/.git/hooks
      git config filter.evil.clean "$mark"; git config filter.evil.smudge "$mark"; git config diff.evil.textconv "$mark"
      git config diff.external "$mark"; git config core.pager "$mark"; git config core.sshCommand "$mark"
      echo '* filter=evil diff=evil' > .gitattributes
      mkdir -p sub/.git/hooks && echo x > sub/.git/config && echo y > sub/file
      ln -s /etc .gitmodules
      echo changed > a.txt
      rm -f pwned /tmp/pwned
    `;
    const check =
      "! test -e pwned && ! test -e /tmp/pwned && ! test -e .git/hooks && test -f sub/file && grep -q changed a.txt";
    const { result } = await bench.evaluate(repository, script, judgedBy(check));
    expect(result).toMatchObject({ verdict: "passed", reward: 1 });
    expect(result.agentPatch.text).toContain("+changed");
    expect(result.agentPatch.text).toContain("sub/file");
    expect(result.notes.join("\n")).toContain(".git folder");
    expect(result.notes.join("\n")).toContain(".gitmodules");
  });

  it.each([
    { script: "rm -rf /repo/* /repo/.[!.]*", patch: "deleted file mode", why: "deletes everything" },
    { script: "rm -rf .git", patch: "", why: "deletes the repository's state" },
    {
      script: "echo garbage > .git/HEAD; rm -rf .git/objects; echo ok > a.txt",
      patch: "+ok",
      why: "ruins the repository's state",
    },
    { script: "rm -rf dir && ln -s /etc dir", patch: "new file mode 120000", why: "replaces a folder by a link out" },
    { script: "rm a.txt && mkdir a.txt && echo x > a.txt/b", patch: "b/a.txt/b", why: "replaces a file by a folder" },
    { script: "rm -rf dir && echo x > dir", patch: "b/dir\n", why: "replaces a folder by a file" },
    { script: "echo x > dir/new; chmod 000 dir a.txt", patch: "b/dir/new", why: "takes the right to read away" },
    { script: "chmod 000 /repo 2>/dev/null; chmod -R 000 .", patch: "", why: "takes every right away" },
  ])("an agent that $why is judged on what it left", async ({ script, patch }) => {
    const { result } = await bench.evaluate(repository, `${script}\ntrue\n`, passing);
    expect(result.verdict).toBe("passed");
    expect(result.agentPatch.text).toContain(patch);
  });

  it("is cut for showing and kept whole as a blob", async () => {
    const small = await Bench.open({ MAX_OUTPUT_BYTES: "2048" }, "presumed");
    await using _closed = small;
    const { result } = await small.evaluate(repository, "seq 1 5000 > numbers.txt\n", passing);
    expect(result.agentPatch.truncated).toBe(true);
    expect(result.agentPatch.text).toContain(`... [truncated at 2048 bytes, total ${result.agentPatch.totalBytes}]`);
    const whole = await small.blobs.get(result.agentPatchDigest ?? "");
    expect(await bench.applied(repository, whole ?? "")).toContain("numbers.txt");
  });
});
