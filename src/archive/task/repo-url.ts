/** From the `repo` of a task to a clone URL that is safe to hand to git: built anew from checked parts, never passed through. */
import { isIP } from "node:net";
import { shown } from "../refusal.ts";

export interface RepoRules {
  /** REPO_URL_TEMPLATE with {owner} and {name} */
  readonly template: string;
  /** REPO_HOSTS: what an https URL may name */
  readonly hosts: readonly string[];
}

export type RepoUrl = { readonly url: string } | { readonly problem: string };

const PART = /^[A-Za-z0-9_.][A-Za-z0-9_.-]{0,99}$/;
const SEGMENT = /^[A-Za-z0-9_.~][A-Za-z0-9_.~-]{0,99}$/;
const HINT = "write owner/name or an https URL of an allowed host";

/** @returns the clone URL, or why `repo` is refused */
export function repoUrl(repo: string, rules: RepoRules): RepoUrl {
  const problem = (why: string) => ({ problem: `repo ${shown(repo)} ${why}; ${HINT}` });
  if (repo === "") return { problem: `repo is missing; ${HINT}` };
  if (repo.length > 500) return problem("is longer than 500 characters");
  if (!/^[\x21-\x7e]+$/.test(repo)) return problem("holds blanks, control or non-ASCII characters");
  if (repo.startsWith("-")) return problem("looks like an option");
  if (/^[A-Za-z0-9+.-]*::/.test(repo)) return problem("names a transport helper");
  const pair = repo.split("/");
  if (!repo.includes(":") && pair.length === 2) {
    return fromTemplate(pair[0] ?? "", pair[1] ?? "", rules) ?? problem("is not a valid owner/name");
  }
  const rest = /^https:\/\/(.*)$/i.exec(repo)?.[1];
  if (rest === undefined) return problem("has a scheme other than https");
  return fromHttps(repo, rest, rules, problem);
}

function fromHttps(repo: string, rest: string, rules: RepoRules, problem: (why: string) => RepoUrl): RepoUrl {
  const authority = rest.split(/[/?#\\]/, 1)[0] ?? "";
  if (authority.includes("@")) return problem("carries credentials");
  if (/[?#\\%]/.test(repo)) return problem("holds a query, fragment, escape or backslash");
  if (!URL.canParse(repo)) return problem("is not a valid URL");
  const host = new URL(repo).hostname;
  if (isIP(host.replace(/^\[|\]$/g, "")) !== 0) return problem("names a literal address");
  if (authority.includes(":")) return problem("names a port");
  const allowed = [...rules.hosts.map((name) => name.toLowerCase()), "github.com"];
  if (host !== authority.toLowerCase() || !allowed.includes(host)) return problem("names a host that is not allowed");
  const segments = rest.slice(authority.length).replace(/\/$/, "").split("/").slice(1);
  if (host === "github.com") {
    const [owner = "", name = "", ...more] = segments;
    if (more.length > 0) return problem("is not https://github.com/owner/name");
    return fromTemplate(owner, name, rules) ?? problem("is not https://github.com/owner/name");
  }
  const isPlain =
    segments.length > 0 && segments.length <= 10 && segments.every((s) => SEGMENT.test(s) && !/^\.+$/.test(s));
  if (!isPlain) return problem("has a path of other than plain names");
  return { url: `https://${host}/${segments.join("/")}` };
}

function fromTemplate(owner: string, rawName: string, rules: RepoRules): RepoUrl | undefined {
  const name = rawName.replace(/\.git$/, "");
  const isPlain = [owner, name].every((part) => PART.test(part) && !/^\.+$/.test(part));
  if (!isPlain) return undefined;
  return { url: rules.template.replaceAll("{owner}", () => owner).replaceAll("{name}", () => name) };
}
