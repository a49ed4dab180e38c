/** Build sandboxes on the real engine: what root may do there, what is kept, and what can never be. */
import Docker from "dockerode";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SandboxSpec } from "../../../src/sandbox/port.ts";
import { bash, type ContractSubject, megabyte, specOf } from "../contract.ts";
import { makeSubject, whyNoEngine } from "../engine.ts";

const missing = await whyNoEngine();
if (missing !== undefined) it.skip(missing, () => {});

describe.runIf(missing === undefined)("a build sandbox", () => {
  let subject: ContractSubject;
  const resources = { memoryBytes: 512 * megabyte, cpus: 2, pidsMax: 128, diskBytes: 64 * megabyte };
  const open = (change: Partial<SandboxSpec> = {}) =>
    subject.host.open(specOf(subject.instance, subject.image, { profile: "build", resources, ...change }));
  const root = (script: string, change = {}) => bash(script, { user: "root", cwd: "/", ...change });

  beforeAll(async () => {
    subject = await makeSubject();
  });
  afterAll(async () => {
    await subject?.dispose();
  });

  it("keeps what root wrote, none of its labels, and can't replace our own programs", async () => {
    const reference = `proctor/build-${subject.instance}:kept`;
    const { host } = subject;
    try {
      {
        await using sandbox = await open({
          labels: { instance: subject.instance, batch: "secret-batch", task: "t", attempt: 1, phase: "install" },
        });
        const script =
          "echo kept > /root/kept; chown 10002 /root/kept; cp /bin/true /proctor/bin/supervisor; umount /proctor/bin; mount -o remount,rw /proctor/bin; (setsid sleep 600 &)";
        const made = await sandbox.run(root(script));
        expect(made.output.text.toLowerCase()).toContain("read-only file system");
        const kept = await host.commit(sandbox, reference, { "proctor.environment": "key" });
        const { Config } = await new Docker().getImage(kept.id).inspect();
        expect(Config.Labels).toMatchObject({ "proctor.environment": "key", "proctor.batch": "-" });
        expect(JSON.stringify(Config)).not.toContain("secret-batch");
        expect(JSON.stringify(Config)).not.toContain("supervisor");
      }
      await using strict = await open({ profile: "strict", image: reference });
      const seen = await strict.run(bash("cat /root/kept; stat -c %u /root/kept; echo x > /root/kept"));
      expect(seen.output.text).toMatch(/^kept\n10002\n.*Read-only file system/);
    } finally {
      await host.removeImage(reference);
    }
  });

  it("is stopped from outside when its writable layer outgrows the disk", async () => {
    await using sandbox = await open();
    const fill = "for i in 1 2 3 4; do head -c 40M /dev/zero > /var/fill$i; done; sleep 600";
    const result = await sandbox.run(root(fill, { timeoutMs: 60_000 }));
    expect(result.outcome).toEqual({ kind: "diskExhausted", limitBytes: 64 * megabyte });
  });

  it("is not a way to the host: no devices, no mounts, no raw sockets, no modules", async () => {
    await using sandbox = await open();
    const script = [
      "mknod /dev/sda b 8 0 2>/dev/null && echo device",
      "mount -t tmpfs none /mnt 2>/dev/null && echo mount",
      "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)' 2>/dev/null && echo raw",
      "unshare -m true 2>/dev/null && echo unshare",
      "echo 1 2>/dev/null > /proc/sys/kernel/sysrq && echo sysctl",
      "cat /proc/1/mem 2>/dev/null | head -c 1 | grep -q . && echo memory",
      "ls /var/run/docker.sock 2>/dev/null",
      "echo end",
    ];
    expect((await sandbox.run(root(script.join("\n")))).output.text.replace(/^bash: .*\n/gm, "")).toBe("end\n");
  });

  it("lets package managers do what they do: unpack, change owners, add users, run scripts in another root", async () => {
    await using sandbox = await open();
    const script = `set -e; export PATH=/usr/local/sbin:/usr/sbin:/sbin:$PATH
cd "$(mktemp -d)" && chmod 755 . && mkdir -p p/DEBIAN p/usr/share/probe
printf 'Package: probe\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@example>\\nDescription: a\\n' > p/DEBIAN/control
printf '#!/bin/sh\\nset -e\\nuseradd --system --no-create-home probe\\nchown probe: /usr/share/probe/f\\nchmod 4755 /usr/share/probe/f\\n' > p/DEBIAN/postinst
chmod 755 p/DEBIAN/postinst; echo x > p/usr/share/probe/f; mkfifo p/usr/share/probe/fifo
dpkg-deb --build p probe.deb > /dev/null && dpkg -i probe.deb > /dev/null
stat -c '%U %a %F' /usr/share/probe/f
chroot / id -un probe
mkdir wheel && printf 'from setuptools import setup\\nsetup(name="probe", version="1", py_modules=[])\\n' > wheel/setup.py
pip install -q --root-user-action=ignore --no-build-isolation --no-index ./wheel && pip show probe | grep ^Version
mkdir npm && cd npm && npm init -y > /dev/null && npm install --offline --no-audit --no-fund --silent && ls package-lock.json`;
    const { output, outcome } = await sandbox.run(root(script, { timeoutMs: 120_000 }));
    expect(output.text).toMatch(/^probe 4755 regular file\nprobe\nVersion: 1\npackage-lock.json\n$/);
    expect(outcome).toEqual({ kind: "exited", exitCode: 0 });
  });

  it("with an open network reaches no other sandbox on it", async () => {
    await using server = await open({ network: "open" });
    await using client = await open({ network: "open" });
    const serving = server.run(root("hostname -I; exec python3 -m http.server 8000", { timeoutMs: 20_000 }), {
      onOutput: (_, text) => addressed(text),
    });
    let addressed: (text: string) => void = () => {};
    const address = await new Promise<string>((resolve) => {
      addressed = (text) => resolve(text.trim().split(/\s/)[0] ?? "");
    });
    const probe = `for i in $(seq 50); do curl -s -o /dev/null http://127.0.0.1:8000 && break; sleep 0.1; done; echo $?`;
    expect((await server.run(root(probe))).output.text).toBe("0\n");
    const reach = await client.run(root(`curl -s -m 3 http://${address}:8000; echo $?`));
    expect(address).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
    expect(reach.output.text).toMatch(/^(7|28)\n$/);
    await server.endAll();
    await serving;
  });

  it("shares a volume with the sandboxes that mount it, and only reads where it is told to", async () => {
    const name = `${subject.instance}-agent`;
    await subject.host.ensureVolume(name, { "proctor.instance": subject.instance });
    const mount = { kind: "volume", source: name, target: "/agent" } as const;
    {
      await using sandbox = await open({ mounts: [{ ...mount, readOnly: false }] });
      expect((await sandbox.run(root("echo code > /agent/main.py"))).outcome).toEqual({ kind: "exited", exitCode: 0 });
    }
    await using strict = await open({ profile: "strict", mounts: [{ ...mount, readOnly: true }] });
    const seen = await strict.run(bash("cat /agent/main.py; touch /agent/x"));
    expect(seen.output.text).toBe("code\ntouch: cannot touch '/agent/x': Read-only file system\n");
  });
});
