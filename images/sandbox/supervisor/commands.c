/* The table of running commands: their pipes, their output, their end. */
#define _GNU_SOURCE
#include "supervisor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Who reaches a state: FREE→RUNNING by RUN; RUNNING→DRAINING when the main process was reaped, or never came to be;
 * DRAINING→TELLING when its pipes gave what they held; TELLING→FREE when the host was told. */
enum state { FREE, RUNNING, DRAINING, TELLING };

struct stream {
    int fd;              /* -1: ended */
    uint64_t total;
    uint64_t head_left;  /* RUN_DATA only; else the command's */
    size_t drained;      /* since the main process ended */
    bool dry;            /* the last read found nothing */
};

struct command {
    enum state state;
    uint32_t id;
    pid_t pid;
    uint8_t flags;       /* of run_head */
    struct stream streams[2];
    uint64_t head_left;
    uint64_t flood_max;
    uint8_t *tail;
    size_t tail_max;
    uint64_t tail_total; /* bytes ever put there */
    uint64_t tail_told;
    int in;
    uint8_t *in_bytes;   /* STDIN_WINDOW long, filled from in_start */
    size_t in_start, in_length, in_granted;
    bool in_ended;
    int report;          /* where the child says that it could not start */
    struct exit_body end;
    uint64_t started_us, ended_us, oom_before;
};

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

static void shut(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
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

/* Four pipes: stdin, stdout, stderr, and one that only speaks when the child could not become what was asked. */
static bool make_pipes(int pipes[4][2])
{
    memset(pipes, -1, sizeof(int[4][2]));
    for (int i = 0; i < 4; i++)
        if (pipe2(pipes[i], O_CLOEXEC) != 0)
            return false;
    return true;
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
    bool piped = make_pipes(pipes);
    pid_t pid = piped ? fork() : -1;
    if (pid == 0) {
        /* 0 and 1 are our line to the host; the child's own ends are above them, and dup2 replaces both */
        become(spec, pipes[0][0], pipes[1][1], pipes[2][1], pipes[3][1]);
    }
    if (pid < 0) {
        not_started(c, piped ? STAGE_FORK : STAGE_PIPES, errno);
        for (int i = 0; i < 8; i++)
            shut(&pipes[i / 2][i % 2]);
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
        shut(&c->in);
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

/* Writes what is there, grants what became free. A reader that is gone swallows the rest, so that the host can finish. */
static void feed(struct command *c)
{
    while (c->in_length > 0) {
        size_t run = STDIN_WINDOW - c->in_start < c->in_length ? STDIN_WINDOW - c->in_start : c->in_length;
        ssize_t put = c->in < 0 ? (ssize_t)run : write(c->in, c->in_bytes + c->in_start, run);
        if (put < 0) {
            if (errno == EAGAIN || errno == EINTR)
                break;
            shut(&c->in);
            continue;
        }
        c->in_start = (c->in_start + (size_t)put) % STDIN_WINDOW;
        c->in_length -= (size_t)put;
        c->in_granted += (size_t)put;
    }
    if (c->in_ended && c->in_length == 0)
        shut(&c->in);
    uint32_t grant = (uint32_t)c->in_granted;
    if (!c->in_ended && grant >= STDIN_WINDOW / 4 && host_send(CREDIT, c->id, &grant, sizeof grant, NULL, 0))
        c->in_granted = 0;
}

/* ---- output ---- */

static void keep_tail(struct command *c, const uint8_t *bytes, size_t length)
{
    if (c->tail_max == 0)
        return;
    if (length > c->tail_max) {
        c->tail_total += length - c->tail_max;
        bytes += length - c->tail_max;
        length = c->tail_max;
    }
    size_t end = (size_t)(c->tail_total % c->tail_max);
    size_t first = c->tail_max - end < length ? c->tail_max - end : length;
    memcpy(c->tail + end, bytes, first);
    memcpy(c->tail, bytes + first, length - first);
    c->tail_total += length;
}

static uint64_t *head_left(struct command *c, int which)
{
    return (c->flags & RUN_DATA) != 0 ? &c->streams[which].head_left : &c->head_left;
}

/* Whether reading this stream now can't lose anything: the head is full, or the host's buffer has room. */
static bool may_read(struct command *c, int which)
{
    return c->streams[which].fd >= 0 && (*head_left(c, which) == 0 || host_room() >= OUT_CHUNK);
}

static void take(struct command *c, int which)
{
    static uint8_t bytes[1 << 16];
    struct stream *s = &c->streams[which];
    uint64_t *left = head_left(c, which);
    ssize_t got = read(s->fd, bytes, *left > 0 ? OUT_CHUNK - 1 : sizeof bytes);
    s->dry = got < 0 && (errno == EAGAIN || errno == EINTR);
    if (s->dry)
        return;
    if (got <= 0) {
        shut(&s->fd);
        return;
    }
    size_t length = (size_t)got;
    size_t live = *left < length ? (size_t)*left : length;
    if (live > 0) {
        uint8_t name = (uint8_t)(which + 1);
        if (!host_send(OUT, c->id, &name, 1, bytes, live))
            gone(GONE_FAULT, "room was promised");
        *left -= live;
    }
    keep_tail(c, bytes + live, length - live);
    s->total += length;
    if (c->state == DRAINING)
        s->drained += length;
}

/* ---- ending ---- */

/* Without a cgroup of its own a command is told from others by its session; alone, everything inside is its. */
static void kill_session(pid_t session)
{
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc != NULL && (entry = readdir(proc)) != NULL;) {
        pid_t pid = (pid_t)atoi(entry->d_name);
        if (pid > 1 && getsid(pid) == session)
            kill(pid, SIGKILL);
    }
    if (proc != NULL)
        closedir(proc);
    kill(-session, SIGKILL);
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
        shut(&c->report);
        return;
    }
    if (only != NULL && commands_count() == 1)
        account(only, usage); /* an orphan: adopted by us, so nobody else can count what it used */
}

static bool drained(const struct command *c)
{
    const bool late = now_us() >= c->ended_us + DRAIN_MS * 1000u;
    for (int i = 0; i < 2; i++) {
        const struct stream *s = &c->streams[i];
        if (s->fd >= 0 && !(late && s->dry) && s->drained < DRAIN_BYTES)
            return false;
    }
    return true;
}

/* The tail in order, then the end. What does not fit now is told on a later turn. */
static void tell(struct command *c)
{
    uint64_t first = c->tail_total > c->tail_max ? c->tail_total - c->tail_max : 0;
    if (c->tail_told < first)
        c->tail_told = first;
    while (c->tail_told < c->tail_total) {
        size_t at = (size_t)(c->tail_told % c->tail_max);
        size_t run = c->tail_max - at;
        if (run > c->tail_total - c->tail_told)
            run = (size_t)(c->tail_total - c->tail_told);
        if (run > OUT_CHUNK)
            run = OUT_CHUNK;
        if (run > host_room() || !host_send(TAIL, c->id, c->tail + at, run, NULL, 0))
            return;
        c->tail_told += run;
    }
    c->end.stdout_total = c->streams[0].total;
    c->end.stderr_total = c->streams[1].total;
    c->end.wall_us = c->ended_us - c->started_us;
    c->end.oom_kills = (uint32_t)(facts_oom_kills() - c->oom_before);
    if (!host_send(EXIT, c->id, &c->end, sizeof c->end, NULL, 0))
        return;
    if (c->tail != NULL)
        munmap(c->tail, c->tail_max);
    if (c->in_bytes != NULL)
        munmap(c->in_bytes, STDIN_WINDOW);
    c->state = FREE;
}

static void work(struct command *c)
{
    feed(c);
    for (int i = 0; i < 2; i++)
        if (may_read(c, i))
            take(c, i);
    if (c->streams[0].total + c->streams[1].total > c->flood_max && (c->end.flags & EXIT_FLOODED) == 0 &&
        c->state == RUNNING) {
        c->end.flags |= EXIT_FLOODED;
        kill_command(c);
    }
    if (c->state == DRAINING && drained(c)) {
        shut(&c->in);
        shut(&c->streams[0].fd);
        shut(&c->streams[1].fd);
        c->state = TELLING;
    }
    if (c->state == TELLING)
        tell(c);
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
            if (may_read(c, which))
                fds[count++] = (struct pollfd){.fd = c->streams[which].fd, .events = POLLIN};
    }
    return count;
}
