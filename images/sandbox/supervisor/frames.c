/* The two buffers between us and the host; nothing here blocks. */
#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static uint8_t in[FRAME_HEAD_BYTES + FRAME_IN_MAX];
static size_t in_length;

static uint8_t out[OUT_BUFFER];
static size_t out_start, out_length;
static bool refused; /* something did not fit since the last look */

static uint32_t u32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

/* Hands over every whole frame that has arrived. A frame is at most as long as the buffer, so there is always room. */
void host_read(void (*on_frame)(uint8_t, uint32_t, uint8_t *, size_t))
{
    ssize_t got = read(STDIN_FILENO, in + in_length, sizeof in - in_length);
    if (got == 0)
        gone(GONE_HOST, "the host closed our stdin");
    if (got < 0) {
        if (errno == EAGAIN || errno == EINTR)
            return;
        gone(GONE_HOST, "stdin can't be read");
    }
    in_length += (size_t)got;

    size_t used = 0;
    while (in_length - used >= FRAME_HEAD_BYTES) {
        uint8_t *frame = in + used;
        uint32_t length = u32(frame);
        if (length > FRAME_IN_MAX)
            gone(GONE_PROTOCOL, "frame too long");
        if (in_length - used - FRAME_HEAD_BYTES < length)
            break;
        on_frame(frame[4], u32(frame + 5), frame + FRAME_HEAD_BYTES, length);
        used += FRAME_HEAD_BYTES + length;
    }
    memmove(in, in + used, in_length - used);
    in_length -= used;
}

void host_write(void)
{
    while (out_length > 0) {
        size_t run = sizeof out - out_start < out_length ? sizeof out - out_start : out_length;
        ssize_t put = write(STDOUT_FILENO, out + out_start, run);
        if (put < 0) {
            if (errno == EAGAIN || errno == EINTR)
                return;
            gone(GONE_HOST, "stdout can't be written");
        }
        out_start = (out_start + (size_t)put) % sizeof out;
        out_length -= (size_t)put;
    }
}

size_t host_pending(void)
{
    return out_length;
}

size_t host_room(void)
{
    size_t taken = out_length + OUT_RESERVE + FRAME_HEAD_BYTES + 1;
    return taken < sizeof out ? sizeof out - taken : 0;
}

bool host_refuse(void)
{
    refused = true;
    return false;
}

/* Something waits for room, and there is room by now, with no event left to come that would say so. */
bool host_retry_due(void)
{
    if (!refused || out_length > 0)
        return false;
    refused = false;
    return true;
}

static void append(const void *bytes, size_t length)
{
    size_t end = (out_start + out_length) % sizeof out;
    size_t first = sizeof out - end < length ? sizeof out - end : length;
    if (first > 0)
        memcpy(out + end, bytes, first);
    if (length > first)
        memcpy(out, (const uint8_t *)bytes + first, length - first);
    out_length += length;
}

/* Queues one frame of two parts, or nothing at all where it does not fit: then the caller tries again later. */
bool host_send(uint8_t type, uint32_t id, const void *a, size_t a_length, const void *b, size_t b_length)
{
    uint32_t length = (uint32_t)(a_length + b_length);
    if (FRAME_HEAD_BYTES + length > sizeof out - out_length)
        return host_refuse();
    uint8_t head[FRAME_HEAD_BYTES];
    memcpy(head, &length, sizeof length);
    head[4] = type;
    memcpy(head + 5, &id, sizeof id);
    append(head, sizeof head);
    if (a_length > 0)
        append(a, a_length);
    if (b_length > 0)
        append(b, b_length);
    return true;
}
