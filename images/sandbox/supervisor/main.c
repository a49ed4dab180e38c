/* Start, poll loop, timers, ending everything. See supervisor.h for the protocol. */
#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

bool strict;

static uint64_t dead_man_us, lifetime_us, started_us, heard_us;
static bool ending, pong_due;
static uint32_t ending_id, pong_id;

uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* Ends PID 1, and by that the kernel ends every process of the container. */
void gone(int code, const char *why)
{
    dprintf(STDERR_FILENO, "supervisor: %s\n", why);
    _exit(code);
}

static void reap(void)
{
    for (;;) {
        int status;
        struct rusage usage;
        pid_t pid = wait4(-1, &status, WNOHANG, &usage);
        if (pid <= 0)
            return;
        commands_reaped(pid, status, &usage);
    }
}

/* Kills until the namespace holds nobody but us. kill(-1) is atomic against fork; zombies of ours are reaped between. */
static void end_all_step(void)
{
    commands_mark_killed();
    kill(-1, SIGKILL);
    reap();
    if (kill(-1, 0) == 0 || errno != ESRCH || commands_count() > 0)
        return;
    if (host_send(ENDED, ending_id, NULL, 0, NULL, 0))
        ending = false;
}

static void on_frame(uint8_t type, uint32_t id, uint8_t *payload, size_t length)
{
    heard_us = now_us();
    if (length > 0 && type != RUN && type != STDIN)
        gone(GONE_PROTOCOL, "payload where none belongs");
    switch (type) {
    case RUN:
        if (ending)
            gone(GONE_PROTOCOL, "RUN while everything is being ended");
        commands_run(id, payload, length);
        return;
    case STDIN:
        commands_stdin(id, payload, length);
        return;
    case STDIN_END:
        commands_stdin_end(id);
        return;
    case KILL:
        commands_kill(id);
        return;
    case END_ALL:
        if (ending)
            gone(GONE_PROTOCOL, "END_ALL twice");
        ending = true;
        ending_id = id;
        return;
    case PING:
        pong_due = true;
        pong_id = id;
        return;
    case SHUTDOWN:
        gone(GONE_SHUTDOWN, "told to");
    default:
        gone(GONE_PROTOCOL, "unknown frame");
    }
}

/* Milliseconds until something is due. */
static int wait_ms(void)
{
    uint64_t now = now_us();
    uint64_t due = heard_us + dead_man_us;
    if (started_us + lifetime_us < due)
        due = started_us + lifetime_us;
    int ms = due <= now ? 0 : (int)((due - now) / 1000u > 60000u ? 60000u : (due - now) / 1000u + 1);
    if (host_retry_due())
        return 0;
    int commands = commands_timeout_ms();
    if (commands >= 0 && commands < ms)
        ms = commands;
    return ending && ms > 1 ? 1 : ms;
}

static void check_timers(void)
{
    uint64_t now = now_us();
    if (now >= heard_us + dead_man_us)
        gone(GONE_DEAD_MAN, "no word from the host");
    if (now >= started_us + lifetime_us)
        gone(GONE_LIFETIME, "lifetime passed");
}

static uint64_t number(const char *text, uint64_t max)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' || value == 0 || value > max)
        gone(GONE_PROTOCOL, "malformed number in the arguments");
    return value;
}

static void parse_arguments(int argc, char **argv)
{
    const uint64_t week_ms = 7ull * 24 * 3600 * 1000;
    if (argc < 4 || (strcmp(argv[1], "strict") != 0 && strcmp(argv[1], "build") != 0))
        gone(GONE_PROTOCOL, "usage: supervisor strict|build DEAD_MAN_MS LIFETIME_MS [MODE:PATH…]");
    strict = strcmp(argv[1], "strict") == 0;
    dead_man_us = number(argv[2], week_ms) * 1000u;
    lifetime_us = number(argv[3], week_ms) * 1000u;
    started_us = heard_us = now_us();
}

/* MODE:PATH sets the mode of a mount of ours: runtimes let the mode of the image's folder win over the one asked for. */
static void set_modes(char **arguments)
{
    for (; *arguments != NULL; arguments++) {
        char *path;
        unsigned long mode = strtoul(*arguments, &path, 8);
        if (path == *arguments || mode > 07777 || path[0] != ':' || path[1] != '/')
            gone(GONE_PROTOCOL, "malformed MODE:PATH in the arguments");
        if (chmod(path + 1, (mode_t)mode) != 0)
            gone(GONE_FAULT, "a mount's mode can't be set");
    }
}

static int open_signals(void)
{
    sigset_t all;
    sigfillset(&all);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_SETMASK, &all, NULL) != 0)
        gone(GONE_FAULT, "sigprocmask");
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    int fd = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        gone(GONE_FAULT, "signalfd");
    return fd;
}

static void say_hello(void)
{
    static char text[4096];
    size_t length = facts_hello(text, sizeof text);
    if (!host_send(HELLO, 0, text, length, NULL, 0))
        gone(GONE_FAULT, "hello does not fit");
}

int main(int argc, char **argv)
{
    parse_arguments(argc, argv);
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        gone(GONE_FAULT, "PR_SET_DUMPABLE");
    umask(022);
    set_modes(argv + 4);
    int signals = open_signals();
    fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK);
    facts_open();
    say_hello();

    for (;;) {
        struct pollfd fds[3 + COMMANDS_MAX * 4];
        fds[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = STDOUT_FILENO, .events = host_pending() > 0 ? POLLOUT : 0};
        fds[2] = (struct pollfd){.fd = signals, .events = POLLIN};
        size_t count = 3 + commands_poll(fds + 3);
        if (poll(fds, count, wait_ms()) < 0 && errno != EINTR)
            gone(GONE_FAULT, "poll");

        if (fds[2].revents != 0) {
            struct signalfd_siginfo info[8];
            while (read(signals, info, sizeof info) > 0)
                ;
        }
        if (fds[0].revents != 0)
            host_read(on_frame);
        reap();
        commands_work();
        if (ending)
            end_all_step();
        if (pong_due && host_send(PONG, pong_id, NULL, 0, NULL, 0))
            pong_due = false;
        if (fds[1].revents & (POLLERR | POLLNVAL))
            gone(GONE_HOST, "the host closed our stdout");
        host_write();
        check_timers();
    }
}
