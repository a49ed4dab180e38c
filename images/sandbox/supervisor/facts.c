/* What the kernel says of us, of a child, and of the container's limits: the host compares it with what it asked for. */
#define _GNU_SOURCE
#include "supervisor.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROBE_UID = 10001 };

static int oom_fd = -1;

static size_t read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    size_t length = got > 0 ? (size_t)got : 0;
    text[length] = '\0';
    return length;
}

/* cgroup v2 first, then v1; a kernel without either counts nothing. */
void facts_open(void)
{
    oom_fd = open("/sys/fs/cgroup/memory.events", O_RDONLY | O_CLOEXEC);
    if (oom_fd < 0)
        oom_fd = open("/sys/fs/cgroup/memory/memory.oom_control", O_RDONLY | O_CLOEXEC);
}

uint64_t facts_oom_kills(void)
{
    char text[512];
    ssize_t got = oom_fd < 0 ? 0 : pread(oom_fd, text, sizeof text - 1, 0);
    if (got <= 0)
        return 0;
    text[got] = '\0';
    const char *line = strstr(text, "oom_kill ");
    return line == NULL ? 0 : strtoull(line + strlen("oom_kill "), NULL, 10);
}

/* Copies the lines of /proc/self/status that name a privilege, each with a prefix. */
static size_t privileges(const char *prefix, char *text, size_t size)
{
    static const char *const names[] = {"Uid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"};
    char status[8192];
    size_t length = 0;
    read_file("/proc/self/status", status, sizeof status);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char key[32];
        snprintf(key, sizeof key, "\n%s:\t", names[i]);
        const char *at = strstr(status, key);
        if (at == NULL)
            continue;
        at += strlen(key);
        int value = (int)strcspn(at, "\n\t");
        int put = snprintf(text + length, size - length, "%s.%s=%.*s\n", prefix, names[i], value, at);
        if (put < 0 || (size_t)put >= size - length)
            gone(GONE_FAULT, "facts don't fit");
        length += (size_t)put;
    }
    return length;
}

/* A child that gives up its privileges as every command will, and tells what it is then. */
static size_t child_privileges(char *text, size_t size)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return 0;
    pid_t pid = fork();
    if (pid == 0) {
        char own[1024];
        size_t length = drop_privileges(PROBE_UID, PROBE_UID) ? privileges("child", own, sizeof own) : 0;
        _exit(write(ends[1], own, length) == (ssize_t)length ? 0 : 1);
    }
    close(ends[1]);
    size_t length = 0;
    while (pid > 0 && length < size) {
        ssize_t got = read(ends[0], text + length, size - length);
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    close(ends[0]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    return length;
}

static size_t first_line(const char *name, const char *v2, const char *v1, char *text, size_t size)
{
    char value[64];
    if (read_file(v2, value, sizeof value) == 0 && read_file(v1, value, sizeof value) == 0)
        return 0;
    int put = snprintf(text, size, "%s=%.*s\n", name, (int)strcspn(value, "\n"), value);
    return put < 0 || (size_t)put >= size ? 0 : (size_t)put;
}

size_t facts_hello(char *text, size_t size)
{
    size_t length = (size_t)snprintf(text, size, "version=%d\n", PROTOCOL_VERSION);
    length += privileges("own", text + length, size - length);
    length += child_privileges(text + length, size - length);
    length += first_line("memory.max", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                         text + length, size - length);
    length += first_line("pids.max", "/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max", text + length, size - length);
    return length;
}
