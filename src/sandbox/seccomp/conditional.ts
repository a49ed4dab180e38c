/** System calls that are allowed for some arguments only. Numbers are those of the kernel's headers, named here. */
import { bits, everywhere, int, named, notParanoid, paranoidOnly, type Rule } from "./rule.ts";

/** NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET of linux/sched.h */
const CLONE_NAMESPACES = 0x7e02_0000;

const AF = { UNIX: 1, INET: 2, INET6: 10, NETLINK: 16 } as const;
const SOCK = { STREAM: 1, DGRAM: 2, RAW: 3, SEQPACKET: 5 } as const;
/** the kernel's SOCK_TYPE_MASK: what is above are flags, and unknown ones it refuses itself */
const SOCK_TYPE = 0xf;
const IPPROTO = { ANY: 0, TCP: 6, UDP: 17 } as const;
const NETLINK = { ROUTE: 0, AUDIT: 9 } as const;

const S_IFMT = 0xf000;
const kinds = { absent: 0, file: 0x8000, fifo: 0x1000, socket: 0xc000 } as const;

const socketWhy = "sockets of IP, TCP and UDP only: localhost in tests, and where a phase has a network";
const netlinkWhy = "NETLINK_ROUTE: the C library asks it for interfaces; every other netlink family stays closed";

const tcp = (family: number): Rule[] =>
  [IPPROTO.ANY, IPPROTO.TCP].map((protocol) => ({
    syscalls: ["socket"],
    answer: "allow",
    when: [int(0, family), bits(1, SOCK_TYPE, SOCK.STREAM), int(2, protocol)],
    profiles: notParanoid,
    why: socketWhy,
  }));

const udp = (family: number): Rule[] =>
  [IPPROTO.ANY, IPPROTO.UDP].map((protocol) => ({
    syscalls: ["socket"],
    answer: "allow",
    when: [int(0, family), bits(1, SOCK_TYPE, SOCK.DGRAM), int(2, protocol)],
    profiles: notParanoid,
    why: socketWhy,
  }));

const local: Rule[] = [SOCK.STREAM, SOCK.DGRAM, SOCK.SEQPACKET].map((type) => ({
  syscalls: ["socket", "socketpair"],
  answer: "allow",
  when: [int(0, AF.UNIX), bits(1, SOCK_TYPE, type)],
  profiles: everywhere,
  why: "local sockets; abstract names belong to the network namespace, which is the sandbox's own",
}));

const netlink: Rule[] = [SOCK.RAW, SOCK.DGRAM].map((type) => ({
  syscalls: ["socket"],
  answer: "allow",
  when: [int(0, AF.NETLINK), bits(1, SOCK_TYPE, type), int(2, NETLINK.ROUTE)],
  profiles: notParanoid,
  why: netlinkWhy,
}));

const special = (syscall: string, modeIndex: number): Rule[] =>
  Object.values(kinds).map((kind) => ({
    syscalls: [syscall],
    answer: "allow",
    when: [bits(modeIndex, S_IFMT, kind)],
    profiles: everywhere,
    why: "files, pipes and local sockets with a name, never a device",
  }));

/** PER_LINUX, PER_LINUX32, and the question what it is; not one that turns address randomisation off */
const personalities = [
  { value: 0, profiles: everywhere },
  { value: 8, profiles: notParanoid },
  { value: 0xffff_ffff, profiles: everywhere },
] as const;

export const conditional: readonly Rule[] = [
  {
    syscalls: ["clone"],
    answer: "allow",
    when: [bits(0, CLONE_NAMESPACES, 0)],
    profiles: everywhere,
    why: "threads and processes, never a namespace: a user namespace brings every capability inside it",
  },
  ...local,
  ...[AF.INET, AF.INET6].flatMap((family) => [...tcp(family), ...udp(family)]),
  ...netlink,
  {
    syscalls: ["socket"],
    answer: "EPROTONOSUPPORT",
    when: [int(0, AF.NETLINK), int(2, NETLINK.AUDIT)],
    profiles: notParanoid,
    why: "audit is answered as a kernel without it does: useradd goes on, with EPERM it would stop",
  },
  ...[AF.INET, AF.INET6, AF.NETLINK].map(
    (family): Rule => ({
      syscalls: ["socket"],
      answer: "EAFNOSUPPORT",
      when: [int(0, family)],
      profiles: paranoidOnly,
      why: "no network at all, not even localhost; answered as a kernel without it does",
    }),
  ),
  ...special("mknod", 1),
  ...special("mknodat", 2),
  ...personalities.map(
    ({ value, profiles }): Rule => ({
      syscalls: named("personality"),
      answer: "allow",
      when: [int(0, value)],
      profiles,
      why: "the usual personalities; none turns address randomisation off or makes data executable",
    }),
  ),
];
