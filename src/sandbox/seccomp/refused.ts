/**
 * System calls that are refused on purpose. Those with ENOSYS have programs with a fall-back, which takes over when the
 * kernel "does not have" the call; the others get EPERM, like everything that nobody named.
 */
import { everywhere, named, paranoidOnly, type Refusal, type Rule } from "./rule.ts";

const refuse = (answer: Refusal, why: string, syscalls: string, profiles = everywhere): Rule => ({
  syscalls: named(syscalls),
  answer,
  profiles,
  why,
});

export const refused: readonly Rule[] = [
  refuse(
    "ENOSYS",
    "its flags lie in memory, which a filter can't read; the C library falls back to clone, whose flags are compared",
    "clone3",
  ),
  refuse(
    "ENOSYS",
    "asynchronous rings run system calls past the filter, and had a kernel escape a year; libuv and others fall back",
    "io_uring_setup io_uring_enter io_uring_register",
  ),
  refuse("ENOSYS", "stops the kernel in the middle of a copy: the usual tool to win races", "userfaultfd"),
  refuse("ENOSYS", "memory that nobody outside can inspect or reclaim", "memfd_secret"),
  refuse(
    "ENOSYS",
    "the new mount interface; needs no path that a rule could see",
    `open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick mount_setattr statmount listmount`,
  ),
  refuse(
    "ENOSYS",
    "keys outlive the process and are shared by uid; Kerberos falls back to files",
    "add_key request_key keyctl",
  ),
  refuse(
    "ENOSYS",
    "placing memory on nodes: one machine's affair; numeric libraries go on without",
    "get_mempolicy set_mempolicy mbind migrate_pages move_pages set_mempolicy_home_node",
  ),
  refuse(
    "ENOSYS",
    "new or rare, and programs probe for them: not offered until somebody needs them",
    `landlock_create_ruleset landlock_add_rule landlock_restrict_self vmsplice remap_file_pages process_madvise
     process_mrelease map_shadow_stack lsm_get_self_attr lsm_set_self_attr lsm_list_modules name_to_handle_at setxattrat
     getxattrat listxattrat removexattrat file_getattr file_setattr`,
  ),
  refuse(
    "EPERM",
    "looking into or steering another process: debuggers. What a test needs of it, an attack needs too",
    "ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd",
  ),
  refuse("EPERM", "namespaces", "unshare setns"),
  refuse("EPERM", "mounts and roots", "mount umount2 pivot_root"),
  refuse("EPERM", "programs in the kernel, and its counters", "bpf perf_event_open"),
  refuse("EPERM", "segments of the 16-bit past, with a history of holes", "modify_ldt"),
  refuse(
    "EPERM",
    "modules, another kernel, the machine's end",
    "init_module finit_module delete_module kexec_load kexec_file_load reboot",
  ),
  refuse("EPERM", "the machine's clock", "settimeofday clock_settime clock_adjtime adjtimex"),
  refuse("EPERM", "ports and terminals of the machine", "iopl ioperm vhangup"),
  refuse(
    "EPERM",
    "swap, quota, accounting, names and log of the machine",
    "swapon swapoff quotactl quotactl_fd acct sethostname setdomainname syslog",
  ),
  refuse("EPERM", "opening files past every path and mount", "open_by_handle_at"),
  refuse("EPERM", "watching every file of a mount", "fanotify_init fanotify_mark"),
  refuse(
    "EPERM",
    "dead interfaces",
    "uselib ustat sysfs _sysctl lookup_dcookie nfsservctl get_kernel_syms query_module create_module getpmsg putpmsg afs_syscall tuxcall security vserver epoll_ctl_old epoll_wait_old get_thread_area set_thread_area",
  ),
  refuse("EPERM", "another root", "chroot", ["strict", "paranoid"]),
  refuse(
    "ENOSYS",
    "System V and POSIX queues, semaphores, shared memory: code of the kernel that paranoid does without",
    `shmget shmat shmdt shmctl semget semop semtimedop semctl msgget msgsnd msgrcv msgctl mq_open mq_unlink mq_timedsend
     mq_timedreceive mq_notify mq_getsetattr`,
    paranoidOnly,
  ),
  refuse("ENOSYS", "pages shared between pipes and files: the way of Dirty Pipe", "splice tee", paranoidOnly),
  refuse(
    "ENOSYS",
    "asynchronous files",
    "io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents",
    paranoidOnly,
  ),
  refuse("ENOSYS", "no program without a file that could be kept as evidence", "memfd_create execveat", paranoidOnly),
  refuse("ENOSYS", "protection keys", "pkey_alloc pkey_free pkey_mprotect", paranoidOnly),
];
