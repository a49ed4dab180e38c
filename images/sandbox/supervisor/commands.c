/* The table of running commands: how they start and how they end. */
#define _GNU_SOURCE
#include "command.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct command table[COMMANDS_MAX];

unsigned commands_count(void)
{
    unsigned count = 0;
    for (int i = 0; i < COMMANDS_MAX; i++)
        count += table[i].state != FREE;
    return count;
}

static struct command *find(uint32_t id)
{
    for (int i = 0; i < COMMANDS_MAX; i++)
        if (table[i].state != FREE && table[i].id == id)
            return &table[i];
    return NULL;
}

/* ---- starting ---- */

/* The next NUL-ended text of a RUN payload. */
static char *next_text(uint8_t **at, const uint8_t *end)
{
    uint8_t *zero = *at < end ? memchr(*at, 0, (size_t)(end - *at)) : NULL;
    if (zero == NULL)
        gone(GONE_PROTOCOL, "RUN: text without end");
    char *text = (char *)*at;
    *at = zero + 1;
    return text;
}

static void parse(struct spec *spec, uint8_t *payload, size_t length)
{
    if (length < sizeof spec->head)
        gone(GONE_PROTOCOL, "RUN: too short");
    memcpy(&spec->head, payload, sizeof spec->head);
    const struct run_head *head = &spec->head;
    if (head->argc == 0 || (uint32_t)head->argc + head->envc > STRINGS_MAX || head->tail_max > TAIL_MAX ||
        (head->flags & ~(RUN_STDIN | RUN_DATA)) != 0 || head->nofile_max == 0)
        gone(GONE_PROTOCOL, "RUN: value out of range");
    if (strict && (head->uid < LEAST_UID || head->gid < LEAST_UID))
        gone(GONE_PROTOCOL, "RUN: that user does not exist in this profile");

    uint8_t *at = payload + sizeof spec->head;
    const uint8_t *end = payload + length;
    spec->cwd = next_text(&at, end);
    for (unsigned i = 0; i < head->argc; i++)
        spec->argv[i] = next_text(&at, end);
    spec->argv[head->argc] = NULL;
    for (unsigned i = 0; i < head->envc; i++)
        spec->envp[i] = next_text(&at, end);
    spec->envp[head->envc] = NULL;
    if (at != end || spec->cwd[0] != '/' || spec->argv[0][0] == '\0')
        gone(GONE_PROTOCOL, "RUN: malformed texts");
}

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        gone(GONE_FAULT, "no memory");
    return memory;
}

static void not_started(struct command *c, enum stage stage, int error)
{
    c->end.flags |= EXIT_NOT_STARTED;
    c->end.stage = (uint8_t)stage;
    c->end.code = error;
}

/* Four pipes: stdin, stdout, stderr, and one that only speaks when the child could not become what was asked. They are
 * made in the name of the command's user, or `> /dev/stderr` would be refused: that opens the pipe a second time. */
static bool make_pipes(int pipes[4][2], uid_t uid, gid_t gid)
{
    bool made = true;
    memset(pipes, -1, sizeof(int[4][2]));
    setfsgid(gid);
    setfsuid(uid);
    for (int i = 0; i < 4 && made; i++)
        made = pipe2(pipes[i], O_CLOEXEC) == 0;
    const int error = errno;
    setfsuid(0);
    setfsgid(0);
    errno = error;
    return made;
}

static int keep(int ours, int theirs)
{
    close(theirs);
    fcntl(ours, F_SETFL, O_NONBLOCK);
    return ours;
}

static void launch(struct command *c, const struct spec *spec)
{
    int pipes[4][2];
    c->in = c->streams[0].fd = c->streams[1].fd = c->report = -1;
    const bool piped = make_pipes(pipes, spec->head.uid, spec->head.gid);
    pid_t pid = piped ? fork() : -1;
    if (pid == 0) {
        /* 0 and 1 are our line to the host; the child's own ends are above them, and dup2 replaces both */
        become(spec, pipes[0][0], pipes[1][1], pipes[2][1], pipes[3][1]);
    }
    if (pid < 0) {
        not_started(c, piped ? STAGE_FORK : STAGE_PIPES, errno);
        for (int i = 0; i < 8; i++)
            command_shut(&pipes[i / 2][i % 2]);
        c->state = DRAINING;
        c->ended_us = now_us();
        return;
    }
    c->pid = pid;
    c->in = keep(pipes[0][1], pipes[0][0]);
    c->streams[0].fd = keep(pipes[1][0], pipes[1][1]);
    c->streams[1].fd = keep(pipes[2][0], pipes[2][1]);
    c->report = keep(pipes[3][0], pipes[3][1]);
    c->state = RUNNING;
}

void commands_run(uint32_t id, uint8_t *payload, size_t length)
{
    static struct spec spec;
    parse(&spec, payload, length);
    if (find(id) != NULL)
        gone(GONE_PROTOCOL, "RUN: id in use");
    struct command *c = NULL;
    for (int i = 0; i < COMMANDS_MAX && c == NULL; i++)
        if (table[i].state == FREE)
            c = &table[i];
    if (c == NULL)
        gone(GONE_PROTOCOL, "RUN: too many commands");

    const struct run_head *head = &spec.head;
    const bool data = (head->flags & RUN_DATA) != 0;
    memset(c, 0, sizeof *c);
    c->id = id;
    c->flags = head->flags;
    c->flood_max = head->flood_max;
    c->head_left = c->streams[0].head_left = head->head_max;
    c->streams[1].head_left = head->tail_max;
    c->tail_max = data ? 0 : (size_t)head->tail_max;
    c->tail = c->tail_max > 0 ? map(c->tail_max) : NULL;
    c->in_ended = (head->flags & RUN_STDIN) == 0;
    c->in_bytes = c->in_ended ? NULL : map(STDIN_WINDOW);
    c->oom_before = facts_oom_kills();
    c->started_us = now_us();
    launch(c, &spec);
    if (c->in_ended)
        command_shut(&c->in);
}

/* ---- stdin ---- */

void commands_stdin(uint32_t id, const uint8_t *bytes, size_t length)
{
    struct command *c = find(id);
    if (c == NULL)
        return; /* it ended while this was on its way */
    if (c->in_ended || length > STDIN_WINDOW - c->in_length)
        gone(GONE_PROTOCOL, "STDIN beyond what was granted");
    size_t end = (c->in_start + c->in_length) % STDIN_WINDOW;
    size_t first = STDIN_WINDOW - end < length ? STDIN_WINDOW - end : length;
    memcpy(c->in_bytes + end, bytes, first);
    memcpy(c->in_bytes, bytes + first, length - first);
    c->in_length += length;
}

void commands_stdin_end(uint32_t id)
{
    struct command *c = find(id);
    if (c == NULL)
        return;
    if (c->in_ended)
        gone(GONE_PROTOCOL, "STDIN_END twice");
    c->in_ended = true;
}

/* ---- ending ---- */

/* @returns how many living processes of the session were found and killed */
static unsigned kill_session_once(pid_t session)
{
    unsigned found = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc != NULL && (entry = readdir(proc)) != NULL;) {
        pid_t pid = (pid_t)atoi(entry->d_name);
        if (pid > 1 && getsid(pid) == session && kill(pid, SIGKILL) == 0)
            found++;
    }
    if (proc != NULL)
        closedir(proc);
    return found;
}

/* Without a cgroup of its own a command is told from others by its session; alone, everything inside is its. What forks
 * while we look is found on the next pass; the dead still count until they are reaped, so passes are bounded. */
static void kill_session(pid_t session)
{
    for (int pass = 0; pass < 20 && kill_session_once(session) > 0; pass++)
        ;
}

static void kill_command(struct command *c)
{
    if (commands_count() == 1)
        kill(-1, SIGKILL);
    else if (c->state == RUNNING)
        kill_session(c->pid);
}

void commands_kill(uint32_t id)
{
    struct command *c = find(id);
    if (c == NULL)
        return; /* it ended while this was on its way */
    if (c->state == RUNNING)
        c->end.flags |= EXIT_KILLED;
    kill_command(c);
}

void commands_mark_killed(void)
{
    for (int i = 0; i < COMMANDS_MAX; i++)
        if (table[i].state == RUNNING)
            table[i].end.flags |= EXIT_KILLED;
}

static void account(struct command *c, const struct rusage *usage)
{
    c->end.cpu_us += (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000u;
    c->end.cpu_us += (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
    uint64_t rss = (uint64_t)usage->ru_maxrss * 1024u;
    if (rss > c->end.max_rss_bytes)
        c->end.max_rss_bytes = rss;
}

void commands_reaped(pid_t pid, int status, const struct rusage *usage)
{
    struct command *only = NULL;
    for (int i = 0; i < COMMANDS_MAX; i++) {
        struct command *c = &table[i];
        if (c->state == FREE)
            continue;
        only = c;
        if (c->state != RUNNING || c->pid != pid)
            continue;
        account(c, usage);
        c->end.signal = WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0;
        c->end.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        c->ended_us = now_us();
        c->state = DRAINING;
        struct failure failure;
        if (read(c->report, &failure, sizeof failure) == sizeof failure)
            not_started(c, (enum stage)failure.stage, failure.error);
        command_shut(&c->report);
        return;
    }
    if (only != NULL && commands_count() == 1)
        account(only, usage); /* an orphan: adopted by us, so nobody else can count what it used */
}

static void work(struct command *c)
{
    command_feed(c);
    command_read(c);
    if (c->streams[0].total + c->streams[1].total > c->flood_max && (c->end.flags & EXIT_FLOODED) == 0) {
        c->end.flags |= EXIT_FLOODED; /* also when it was faster than we count */
        if (c->state == RUNNING)
            kill_command(c);
    }
    if (c->state == DRAINING && command_drained(c)) {
        command_shut(&c->in);
        command_shut(&c->streams[0].fd);
        command_shut(&c->streams[1].fd);
        c->state = TELLING;
    }
    if (c->state == TELLING)
        command_tell(c);
}

void commands_work(void)
{
    for (int i = 0; i < COMMANDS_MAX; i++)
        if (table[i].state != FREE)
            work(&table[i]);
}

/* ---- waiting ---- */

int commands_timeout_ms(void)
{
    for (int i = 0; i < COMMANDS_MAX; i++)
        if (table[i].state == DRAINING)
            return 5;
    return -1;
}

size_t commands_poll(struct pollfd *fds)
{
    size_t count = 0;
    for (int i = 0; i < COMMANDS_MAX; i++) {
        struct command *c = &table[i];
        if (c->state == FREE)
            continue;
        if (c->in >= 0 && c->in_length > 0)
            fds[count++] = (struct pollfd){.fd = c->in, .events = POLLOUT};
        for (int which = 0; which < 2; which++)
            if (command_may_read(c, which))
                fds[count++] = (struct pollfd){.fd = c->streams[which].fd, .events = POLLIN};
    }
    return count;
}
