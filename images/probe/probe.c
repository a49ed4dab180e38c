/*
 * What a system call filter lets through, asked from inside.
 *
 * Every line of the output is `name answer`: OK, the errno's name, or how the asking process ended. Each question is asked
 * by a child of its own, since an answer may be a signal. Arguments are such that a call which is let through does nothing:
 * -1 is no descriptor, no address, no process and no known flag. So a filter shows as a difference to the same program
 * without it; where both refuse, the kernel's own checks stand behind the filter.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct question {
    const char *name;
    long number;
    unsigned long args[6];
};

#define NO (-1ul)
#define ASK(name) {#name, SYS_##name, {NO, NO, NO, NO, NO, NO}}
#define NEW(name, number) {#name, number, {NO, NO, NO, NO, NO, NO}}
#define WITH(text, name, ...) {text, SYS_##name, {__VA_ARGS__}}

/* a 64-bit comparison sees this bit, the kernel does not */
#define HIGH (1ul << 32)

static const struct question questions[] = {
#include "questions.inc"
};

static const char *errno_name(int error)
{
    const char *name = strerrorname_np(error);
    return name == NULL ? "?" : name;
}

static int ask(const struct question *q)
{
    errno = 0;
    long got = syscall(q->number, q->args[0], q->args[1], q->args[2], q->args[3], q->args[4], q->args[5]);
    return got == -1 ? errno : 0;
}

/* Runs `asking` in a child; its answer comes back by a pipe, so that one that dies on the way has said nothing. */
static void report(const char *name, int (*asking)(const struct question *), const struct question *q)
{
    int ends[2];
    if (pipe(ends) != 0)
        exit(2);
    fflush(stdout);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        alarm(3);
        int answer = asking(q);
        if (getppid() == parent) { /* a child made by fork or clone says nothing */
            if (write(ends[1], &answer, sizeof answer) != sizeof answer)
                _exit(2);
        }
        _exit(0);
    }
    close(ends[1]);
    int answer, status;
    ssize_t got = read(ends[0], &answer, sizeof answer);
    close(ends[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        exit(2);
    if (got == sizeof answer)
        printf("%s %s\n", name, answer == 0 ? "OK" : errno_name(answer));
    else if (WIFSIGNALED(status))
        printf("%s SIG%s\n", name, sigabbrev_np(WTERMSIG(status)));
    else
        printf("%s silent\n", name);
}

#ifdef __x86_64__
/* getpid of the i386 ABI, by its own gate */
static int i386_getpid(const struct question *q)
{
    (void)q;
    long got;
    __asm__ volatile("int $0x80" : "=a"(got) : "a"(20) : "r8", "r9", "r10", "r11", "memory");
    return got < 0 ? (int)-got : 0;
}

/* the i386 way to a socket: socketcall(SOCKET, …), whose arguments no filter sees */
static int i386_socketcall(const struct question *q)
{
    (void)q;
    long got;
    __asm__ volatile("int $0x80" : "=a"(got) : "a"(102), "b"(1), "c"(0) : "r8", "r9", "r10", "r11", "memory");
    return got < 0 ? (int)-got : 0;
}
#endif

int main(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++)
        report(questions[i].name, ask, &questions[i]);
#ifdef __x86_64__
    report("abi:i386:getpid", i386_getpid, NULL);
    report("abi:i386:socketcall", i386_socketcall, NULL);
#endif
    return 0;
}
