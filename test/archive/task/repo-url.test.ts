/** Which repositories a task may name, and the URL that git gets. */
import { describe, expect, test } from "vitest";
import { repoUrl } from "../../../src/archive/task/repo-url.ts";

const github = { template: "https://github.com/{owner}/{name}.git", hosts: ["github.com", "git.example.org"] };
const mirror = { template: "file:///srv/git/{owner}+{name}/repo", hosts: [] };

describe("accepted", () => {
  test.each([
    { why: "owner/name", repo: "psf/requests", url: "https://github.com/psf/requests.git" },
    { why: "dots, dashes, underscores", repo: "a-b/c_d.e-f", url: "https://github.com/a-b/c_d.e-f.git" },
    { why: "digits", repo: "0xA/7", url: "https://github.com/0xA/7.git" },
    { why: ".git ending", repo: "psf/requests.git", url: "https://github.com/psf/requests.git" },
    { why: "full GitHub URL", repo: "https://github.com/psf/requests", url: "https://github.com/psf/requests.git" },
    {
      why: "full GitHub URL, .git and slash",
      repo: "https://github.com/psf/requests.git/",
      url: "https://github.com/psf/requests.git",
    },
    { why: "host in capitals", repo: "https://GitHub.com/psf/requests", url: "https://github.com/psf/requests.git" },
    {
      why: "other allowed host",
      repo: "https://git.example.org/group/sub/name.git",
      url: "https://git.example.org/group/sub/name.git",
    },
  ])("$why", ({ repo, url }) => expect(repoUrl(repo, github)).toEqual({ url }));

  test("a GitHub URL goes through the template too", () => {
    expect(repoUrl("https://github.com/psf/requests", mirror)).toEqual({ url: "file:///srv/git/psf+requests/repo" });
  });

  test("a name is not a replacement pattern", () => {
    expect(repoUrl("a/b", { ...github, template: "https://h/{name}/{owner}/{name}" })).toEqual({
      url: "https://h/b/a/b",
    });
  });
});

describe("refused", () => {
  test.each([
    { why: "nothing", repo: "", problem: /missing/ },
    { why: "option", repo: "--upload-pack=touch /tmp/x", problem: /blanks|option/ },
    { why: "option without blanks", repo: "--upload-pack=id", problem: /option/ },
    { why: "option as owner", repo: "-x/name", problem: /option/ },
    { why: "option as name", repo: "owner/-x", problem: /not a valid owner/ },
    { why: "ext transport", repo: "ext::sh", problem: /transport helper/ },
    { why: "ext transport in a pair", repo: "ext::sh/-c", problem: /transport helper/ },
    { why: "ssh", repo: "git@github.com:psf/requests", problem: /scheme/ },
    { why: "ssh URL", repo: "ssh://git@github.com/a/b", problem: /scheme/ },
    { why: "http", repo: "http://github.com/a/b", problem: /scheme/ },
    { why: "git", repo: "git://github.com/a/b", problem: /scheme/ },
    { why: "file", repo: "file:///etc", problem: /scheme/ },
    { why: "absolute path", repo: "/etc/passwd", problem: /scheme|owner/ },
    { why: "climbing owner", repo: "../etc", problem: /not a valid owner/ },
    { why: "climbing name", repo: "a/..", problem: /not a valid owner/ },
    { why: "only dots", repo: "a/...", problem: /not a valid owner/ },
    { why: "name that is only .git", repo: "a/.git", problem: /not a valid owner/ },
    { why: "three parts", repo: "github.com/a/b", problem: /scheme/ },
    { why: "one part", repo: "requests", problem: /scheme/ },
    { why: "plus sign, which the mirror's template uses", repo: "a+b/c", problem: /not a valid owner/ },
    { why: "credentials", repo: "https://user:pass@github.com/a/b", problem: /credentials/ },
    { why: "user alone", repo: "https://user@github.com/a/b", problem: /credentials/ },
    { why: "host hidden behind credentials", repo: "https://github.com@evil.org/a/b", problem: /credentials/ },
    { why: "port", repo: "https://github.com:8443/a/b", problem: /port/ },
    { why: "default port", repo: "https://github.com:443/a/b", problem: /port/ },
    { why: "loopback", repo: "https://127.0.0.1/a/b", problem: /literal address/ },
    { why: "loopback as a number", repo: "https://2130706433/a/b", problem: /literal address/ },
    { why: "loopback in hex", repo: "https://0x7f.1/a/b", problem: /literal address/ },
    { why: "IPv6", repo: "https://[::1]/a/b", problem: /literal address/ },
    { why: "metadata address", repo: "https://169.254.169.254/a/b", problem: /literal address/ },
    { why: "private address", repo: "https://10.0.0.1/a/b", problem: /literal address/ },
    { why: "localhost", repo: "https://localhost/a/b", problem: /not allowed/ },
    { why: "host not listed", repo: "https://evil.org/a/b", problem: /not allowed/ },
    { why: "host that ends like a listed one", repo: "https://evilgithub.com/a/b", problem: /not allowed/ },
    { why: "trailing dot", repo: "https://github.com./a/b", problem: /not allowed/ },
    { why: "subdomain", repo: "https://x.github.com/a/b", problem: /not allowed/ },
    { why: "query", repo: "https://github.com/a/b?x=1", problem: /query/ },
    { why: "escape", repo: "https://github.com/a/%2e%2e", problem: /escape/ },
    { why: "backslash", repo: "https://github.com\\@evil.org/a/b", problem: /credentials|backslash/ },
    { why: "climbing path", repo: "https://git.example.org/../a", problem: /plain names/ },
    { why: "option in a path", repo: "https://git.example.org/a/--x", problem: /plain names/ },
    { why: "too few parts", repo: "https://github.com/a", problem: /owner\/name/ },
    { why: "too many parts", repo: "https://github.com/a/b/tree/main", problem: /owner\/name/ },
    { why: "control character", repo: "a/b\n", problem: /control/ },
    { why: "blank", repo: "a/b c", problem: /blanks/ },
    { why: "look-alike letter", repo: "https://g\u0456thub.com/a/b", problem: /non-ASCII/ },
    { why: "too long", repo: `a/${"b".repeat(600)}`, problem: /500/ },
    { why: "command substitution", repo: "a/$(id)", problem: /not a valid owner/ },
  ])("$why", ({ repo, problem }) => {
    const result = repoUrl(repo, github);
    expect(result).toEqual({ problem: expect.stringMatching(problem) });
    expect(repoUrl(repo, mirror)).toHaveProperty("problem");
  });
});
