/* The pipes of a command: stdin in, stdout and stderr out, and what is kept of them. */
#define _GNU_SOURCE
#include "command.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void command_shut(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Writes what is there, grants what became free. A reader that is gone swallows the rest, so that the host can finish. */
void command_feed(struct command *c)
{
    while (c->in_length > 0) {
        size_t run = STDIN_WINDOW - c->in_start < c->in_length ? STDIN_WINDOW - c->in_start : c->in_length;
        ssize_t put = c->in < 0 ? (ssize_t)run : write(c->in, c->in_bytes + c->in_start, run);
        if (put < 0) {
            if (errno == EAGAIN || errno == EINTR)
                break;
            command_shut(&c->in);
            continue;
        }
        c->in_start = (c->in_start + (size_t)put) % STDIN_WINDOW;
        c->in_length -= (size_t)put;
        c->in_granted += (size_t)put;
    }
    if (c->in_ended && c->in_length == 0)
        command_shut(&c->in);
    uint32_t grant = (uint32_t)c->in_granted;
    if (!c->in_ended && grant >= STDIN_WINDOW / 4 && host_send(CREDIT, c->id, &grant, sizeof grant, NULL, 0))
        c->in_granted = 0;
}

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

/* The head is full and the rest only counted, or the host's buffer has room. */
bool command_may_read(const struct command *c, int which)
{
    uint64_t left = (c->flags & RUN_DATA) != 0 ? c->streams[which].head_left : c->head_left;
    return c->streams[which].fd >= 0 && (left == 0 || host_room() >= OUT_CHUNK);
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
        command_shut(&s->fd);
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

void command_read(struct command *c)
{
    for (int which = 0; which < 2; which++) {
        c->streams[which].dry = false;
        if (command_may_read(c, which))
            take(c, which);
    }
}

bool command_drained(const struct command *c)
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
bool command_tell(struct command *c)
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
        if (run > host_room())
            return host_refuse();
        if (!host_send(TAIL, c->id, c->tail + at, run, NULL, 0))
            return false;
        c->tail_told += run;
    }
    c->end.stdout_total = c->streams[0].total;
    c->end.stderr_total = c->streams[1].total;
    c->end.wall_us = c->ended_us - c->started_us;
    c->end.oom_kills = (uint32_t)(facts_oom_kills() - c->oom_before);
    if (!host_send(EXIT, c->id, &c->end, sizeof c->end, NULL, 0))
        return false;
    if (c->tail != NULL)
        munmap(c->tail, c->tail_max);
    if (c->in_bytes != NULL)
        munmap(c->in_bytes, STDIN_WINDOW);
    c->state = FREE;
    return true;
}
