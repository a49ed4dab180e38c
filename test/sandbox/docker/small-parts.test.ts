import Docker from "dockerode";
import { describe, expect, it } from "vitest";
import { type Clock, systemClock } from "../../../src/kernel/clock.ts";
import { Demux } from "../../../src/sandbox/docker/demux.ts";
import { watchDisk } from "../../../src/sandbox/docker/disk-watch.ts";
import { dockerOptions, endpointName } from "../../../src/sandbox/docker/endpoint.ts";
import { Engine } from "../../../src/sandbox/docker/engine.ts";
import { encodeRun, type RunRequest } from "../../../src/sandbox/docker/frames.ts";
import { createDockerHost } from "../../../src/sandbox/docker/host.ts";
import { found, keptLabels, splitReference } from "../../../src/sandbox/docker/labels.ts";

describe("DOCKER_HOST", () => {
  it.each([
    { text: "", options: { socketPath: "/var/run/docker.sock" } },
    { text: "unix:///run/user/1000/docker.sock", options: { socketPath: "/run/user/1000/docker.sock" } },
    { text: "tcp://10.0.0.1:2375", options: { protocol: "http", host: "10.0.0.1", port: 2375 } },
  ])("$text", ({ text, options }) => {
    expect(dockerOptions(text)).toEqual(options);
    expect(endpointName(text)).toBe(text === "" ? "/var/run/docker.sock" : text);
  });

  it.each(["docker.sock", "ssh://host", "tcp://host", "tcp://host:port", "unix://relative", "tcp://a/b:1"])(
    "%s is refused by name",
    (text) => {
      expect(() => dockerOptions(text)).toThrow(
        expect.objectContaining({ code: "invalid_config", message: expect.stringContaining(text) }),
      );
    },
  );
});

describe("the engine's answers", () => {
  const fast: Clock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(ms / 1_000, signal) };
  const engine = new Engine(new Docker(), fast, "unix:///nowhere");
  const failing = (error: object) => engine.call("ping", "asking", () => Promise.reject(error));

  it.each([
    { why: "not running", error: { code: "ECONNREFUSED" }, code: "sandbox_unavailable", says: "unix:///nowhere" },
    { why: "no socket", error: { code: "ENOENT" }, code: "sandbox_unavailable", says: "DOCKER_HOST" },
    { why: "no right", error: { code: "EACCES" }, code: "sandbox_unavailable", says: "EACCES" },
    {
      why: "no image",
      error: { statusCode: 404, json: { message: "No such image: x:y" } },
      code: "image_missing",
      says: "x:y",
    },
    {
      why: "full disk",
      error: { statusCode: 500, message: "write: no space left on device" },
      code: "disk_full",
      says: "full",
    },
    {
      why: "its own failure",
      error: { statusCode: 500, message: "shim gone" },
      code: "sandbox_failed",
      says: "shim gone (HTTP 500)",
    },
  ])("$why is $code", async ({ error, code, says }) => {
    await expect(failing(error)).rejects.toMatchObject({
      code,
      isPlatformFault: true,
      message: expect.stringContaining(says),
    });
  });

  it("F03 a call that hangs ends at its deadline, even when the client ignores the signal", async () => {
    const hung = engine.call("start", "starting", () => new Promise(() => {}));
    await expect(hung).rejects.toMatchObject({
      code: "sandbox_unavailable",
      message: expect.stringContaining("60000 ms"),
    });
  });

  it("an abort ends a call with its own reason", async () => {
    const controller = new AbortController();
    const hung = engine.call("commit", "keeping", () => new Promise(() => {}), controller.signal);
    controller.abort(new Error("enough"));
    await expect(hung).rejects.toThrow("enough");
  });

  it("ping without an engine says where it looked and what to do", async () => {
    const host = createDockerHost({ instance: "i", image: "i", dockerHost: "unix:///nonexistent/docker.sock" });
    await expect(host.ping()).rejects.toMatchObject({
      code: "sandbox_unavailable",
      message:
        "asking the engine: no Docker engine answers at unix:///nonexistent/docker.sock (ENOENT); start it, or set DOCKER_HOST",
    });
  });
});

describe("labels and references", () => {
  it.each([
    { text: "a/b:c", parts: { repo: "a/b", tag: "c" } },
    { text: "a/b", parts: { repo: "a/b", tag: "latest" } },
    { text: "host:5000/a/b", parts: { repo: "host:5000/a/b", tag: "latest" } },
    { text: "host:5000/a:t", parts: { repo: "host:5000/a", tag: "t" } },
  ])("$text", ({ text, parts }) => expect(splitReference(text)).toEqual(parts));

  it("a container that somebody else labelled reads harmlessly", () => {
    const info = { Id: "1", Labels: { "proctor.attempt": "x", "proctor.phase": "<b>" }, Created: 5, State: "exited" };
    expect(found(info as unknown as Docker.ContainerInfo)).toEqual({
      id: "1",
      labels: { instance: "-", batch: "-", task: "-", attempt: 0, phase: "prepare" },
      createdAtMs: 5_000,
      running: false,
    });
  });

  it("a kept image names its instance and what was asked, and no task", () => {
    const container = { instance: "i", batch: "b", task: "t", attempt: 1, phase: "install" } as const;
    expect(keptLabels(container, { "proctor.environment": "k" })).toEqual({
      "proctor.instance": "i",
      "proctor.batch": "-",
      "proctor.task": "-",
      "proctor.attempt": "-",
      "proctor.phase": "-",
      "proctor.environment": "k",
    });
  });
});

describe("the attach stream", () => {
  it("is taken apart whatever the chunks", () => {
    const told: string[] = [];
    const part = (stream: number, text: string) => {
      const head = Buffer.alloc(8);
      head.writeUInt8(stream, 0);
      head.writeUInt32BE(text.length, 4);
      return Buffer.concat([head, Buffer.from(text)]);
    };
    const bytes = Buffer.concat([part(1, "abc"), part(2, ""), part(2, "de"), part(1, "f")]);
    for (let size = 1; size <= bytes.length; size++) {
      told.length = 0;
      const demux = new Demux(
        (chunk) => told.push(`1${chunk}`),
        (chunk) => told.push(`2${chunk}`),
      );
      for (let at = 0; at < bytes.length; at += size) demux.push(bytes.subarray(at, at + size));
      const of = (stream: string) =>
        told
          .filter((text) => text.startsWith(stream))
          .map((text) => text.slice(1))
          .join("");
      expect([of("1"), of("2")]).toEqual(["abcf", "de"]);
    }
  });
});

describe("a command's request", () => {
  const request: RunRequest = {
    uid: 1,
    gid: 2,
    argv: ["a"],
    env: {},
    cwd: "/",
    hasStdin: false,
    isData: true,
    headBytesMax: 1,
    tailBytesMax: 2,
    floodBytesMax: 2 ** 40,
    fileBytesMax: 4,
    openFilesMax: 5,
  };

  it("is laid out as supervisor.h says", () => {
    const bytes = encodeRun({ ...request, env: { N: "v=w" } });
    expect(bytes.subarray(0, 9).toString("hex")).toBe("010000000200000002");
    expect(bytes.readBigUInt64LE(25)).toBe(2n ** 40n);
    expect(bytes.readUInt16LE(45)).toBe(1);
    expect(bytes.readUInt16LE(47)).toBe(1);
    expect(bytes.subarray(49).toString()).toBe("/\0a\0N=v=w\0");
  });

  it.each([
    { why: "NUL in an argument", change: { argv: ["a\0b"] } },
    { why: "NUL in a value", change: { env: { A: "\0" } } },
    { why: "no argument", change: { argv: [] } },
    {
      why: "too many variables",
      change: { env: Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`V${i}`, ""])) },
    },
    { why: "more than a frame", change: { argv: ["x".repeat(1024 * 1024)] } },
  ])("with $why is refused before it is sent", ({ change }) => {
    expect(() => encodeRun({ ...request, ...change })).toThrow(expect.objectContaining({ name: "ProtocolError" }));
  });
});

describe("the disk watcher", () => {
  const quick: Clock = { ...systemClock, sleep: (_ms, signal) => systemClock.sleep(1, signal) };

  it("tells once when the limit is passed, through measurements that fail", async () => {
    const answers = [() => 5, () => Promise.reject(new Error("busy")), () => 10, () => 11];
    let full = 0;
    await watchDisk({
      clock: quick,
      limitBytes: 10,
      signal: new AbortController().signal,
      measure: async () => answers.shift()?.() ?? 0,
      onFull: () => {
        full += 1;
      },
    });
    expect(full).toBe(1);
    expect(answers).toHaveLength(0);
  });

  it("stops with its signal", async () => {
    const controller = new AbortController();
    const watching = watchDisk({
      clock: quick,
      limitBytes: 10,
      signal: controller.signal,
      measure: async () => {
        controller.abort();
        return 5;
      },
      onFull: () => expect.unreachable(),
    });
    await watching;
  });
});
