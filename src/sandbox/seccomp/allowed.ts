/** System calls that programs need whole: no argument of theirs opens a door that another limit does not hold. */
import { everywhere, named, notParanoid, type Rule } from "./rule.ts";

const allow = (why: string, syscalls: string, profiles = everywhere): Rule => ({
  syscalls: named(syscalls),
  answer: "allow",
  profiles,
  why,
});

export const allowed: readonly Rule[] = [
  allow(
    "files are opened, read and written: the mounts and their modes decide which",
    `open openat openat2 creat close close_range read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2
     lseek sendfile copy_file_range truncate ftruncate fallocate fsync fdatasync sync syncfs sync_file_range fadvise64
     readahead cachestat`,
  ),
  allow(
    "folders and names",
    `getcwd chdir fchdir mkdir mkdirat rmdir link linkat symlink symlinkat unlink unlinkat rename renameat renameat2
     readlink readlinkat getdents getdents64`,
  ),
  allow(
    "what a file is, and who may use it: a process without capabilities changes only its own; tmpfs is nosuid",
    `stat fstat lstat newfstatat statx statfs fstatfs access faccessat faccessat2 chmod fchmod fchmodat fchmodat2 chown
     fchown lchown fchownat umask utime utimes utimensat futimesat getxattr lgetxattr fgetxattr setxattr lsetxattr
     fsetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr`,
  ),
  allow(
    "descriptors: duplicates, flags, locks; ioctl is bounded by the devices there are (null, zero, random, own terminals)",
    "dup dup2 dup3 fcntl flock ioctl pipe pipe2",
  ),
  allow(
    "waiting for descriptors, signals and timers",
    `poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2
     signalfd signalfd4 timerfd_create timerfd_settime timerfd_gettime inotify_init inotify_init1 inotify_add_watch
     inotify_rm_watch`,
  ),
  allow(
    "memory of the process itself; the memory limit counts it",
    `brk mmap munmap mremap mprotect madvise mincore msync mlock mlock2 munlock mlockall munlockall membarrier mseal`,
  ),
  allow(
    "own threads and processes: creation (clone has a rule of its own), end, waiting, priority; the pids limit counts them",
    `fork vfork execve exit exit_group wait4 waitid set_tid_address set_robust_list get_robust_list futex futex_waitv
     futex_wake futex_wait futex_requeue rseq sched_yield sched_getaffinity sched_setaffinity sched_getparam
     sched_setparam sched_getscheduler sched_setscheduler sched_getattr sched_setattr sched_get_priority_max
     sched_get_priority_min sched_rr_get_interval getpriority setpriority ioprio_get ioprio_set getcpu arch_prctl prctl
     pidfd_open restart_syscall`,
  ),
  allow(
    "who one is, groups and sessions; becoming another needs a capability that only the supervisor and build's root have",
    `getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups getpgid getpgrp getsid setpgid setsid
     setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid capget capset`,
  ),
  allow(
    "signals, inside one's own pid namespace and to one's own uid",
    `kill tkill tgkill pidfd_send_signal rt_sigaction rt_sigprocmask rt_sigpending rt_sigqueueinfo rt_tgsigqueueinfo
     rt_sigreturn rt_sigsuspend rt_sigtimedwait sigaltstack pause`,
  ),
  allow(
    "time is read and waited for; setting it is not here",
    `clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times alarm getitimer setitimer timer_create
     timer_settime timer_gettime timer_getoverrun timer_delete`,
  ),
  allow(
    "limits are read and lowered; facts of the kernel; randomness",
    "getrlimit setrlimit prlimit64 getrusage sysinfo uname getrandom",
  ),
  allow(
    "what is done with a socket once there is one; which there may be, `socket` decides",
    `bind listen accept accept4 connect shutdown getsockname getpeername getsockopt setsockopt sendto recvfrom sendmsg
     recvmsg sendmmsg recvmmsg`,
  ),
  allow("a filter on top of this one: it can only take away", "seccomp"),
  allow(
    "System V and POSIX queues, semaphores and shared memory: PostgreSQL and test suites use them; the IPC namespace is private",
    `shmget shmat shmdt shmctl semget semop semtimedop semctl msgget msgsnd msgrcv msgctl mq_open mq_unlink mq_timedsend
     mq_timedreceive mq_notify mq_getsetattr`,
    notParanoid,
  ),
  allow("copying between descriptors without a buffer", "splice tee", notParanoid),
  allow(
    "asynchronous files of the old kind: databases use them",
    "io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents",
    notParanoid,
  ),
  allow("files without a name, and running them", "memfd_create execveat", notParanoid),
  allow(
    "protection keys: JavaScript engines guard their code with them",
    "pkey_alloc pkey_free pkey_mprotect",
    notParanoid,
  ),
  allow("package scripts look at another root; the capability for it exists only in build", "chroot", ["build"]),
];
