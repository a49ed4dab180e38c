/*
 * The relay: the way out of a sandbox that has an allow-list.
 *
 * Theory of operation. Such a sandbox has no network at all, only a loopback. This program listens on 127.0.0.1 and passes
 * each connection, as it is, over its stdin and stdout to the host, whose proxy judges it (src/sandbox/egress). So the
 * host's own services, the metadata address and other sandboxes are out of reach by construction: there is no route, no
 * bridge and no firewall rule that could be missing. The host trusts nothing of what is said here: whoever rewrites this
 * program gets what the proxy gives, no more.
 *
 * A frame is: u32 payload length, u8 type, u32 stream, payload; all numbers little-endian. Streams are numbered upwards from 1.
 *
 *   READY    to the host, once, first    -
 *   OPEN     to the host                 -
 *   DATA     both                        1..CHUNK bytes, within what the other side granted: WINDOW at first, then by CREDIT
 *   END      both                        -    nothing more comes from this side
 *   RESET    both                        -    the stream is gone; frames of it that are still on their way are ignored
 *   CREDIT   both                        u32 bytes
 *
 * One thread, one poll loop, nothing that blocks. What a stream has to say and doesn't fit is due, and said when there is room.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READY = 1, OPEN = 2, DATA = 3, END = 4, RESET = 5, CREDIT = 6 };
enum {
    HEAD = 9,
    CHUNK = 16 << 10,
    WINDOW = 128 << 10,
    STREAMS_MAX = 128,
    OUT_MAX = 256 << 10,
    IN_MAX = 64 << 10,
    PORT_MIN = 1024,
};

struct stream {
    uint32_t id; /* 0: free */
    int fd;      /* -1: gone */
    uint8_t *ring;
    size_t start, length; /* from the host, not yet written */
    size_t credit;        /* bytes that we may send */
    size_t granted;       /* bytes written, not yet granted again */
    bool open_told, client_ended, end_told, host_ended, shut, reset_due;
};

static struct stream streams[STREAMS_MAX];
static uint32_t last_id;
static uint8_t out[OUT_MAX], in[IN_MAX];
static size_t out_start, out_length, in_length;

static _Noreturn void quit(const char *why)
{
    dprintf(STDERR_FILENO, "relay: %s\n", why);
    _exit(1);
}

static void put32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* ---- to the host ---- */

static size_t room(void)
{
    return OUT_MAX - out_length;
}

static bool send_frame(uint8_t type, uint32_t id, const uint8_t *payload, size_t length)
{
    if (room() < HEAD + length)
        return false;
    if (OUT_MAX - out_start - out_length < HEAD + length) {
        memmove(out, out + out_start, out_length);
        out_start = 0;
    }
    uint8_t *at = out + out_start + out_length;
    put32(at, (uint32_t)length);
    at[4] = type;
    put32(at + 5, id);
    if (length > 0)
        memcpy(at + HEAD, payload, length);
    out_length += HEAD + length;
    return true;
}

static void flush_out(void)
{
    while (out_length > 0) {
        ssize_t put = write(STDOUT_FILENO, out + out_start, out_length);
        if (put < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (put <= 0)
            quit("the host closed our stdout");
        out_start += (size_t)put;
        out_length -= (size_t)put;
    }
    out_start = 0;
}

/* ---- streams ---- */

static struct stream *find(uint32_t id)
{
    for (int i = 0; id != 0 && i < STREAMS_MAX; i++)
        if (streams[i].id == id)
            return &streams[i];
    return NULL;
}

static void shut_socket(struct stream *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

static void release(struct stream *s)
{
    shut_socket(s);
    munmap(s->ring, WINDOW);
    memset(s, 0, sizeof *s);
}

static void break_stream(struct stream *s)
{
    shut_socket(s);
    s->reset_due = true;
}

static void accept_one(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    /* an answer goes out in several writes: waiting for acknowledgements between them costs 40 ms each */
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    for (int i = 0; i < STREAMS_MAX; i++) {
        struct stream *s = &streams[i];
        if (s->id != 0)
            continue;
        s->ring = mmap(NULL, WINDOW, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (s->ring == MAP_FAILED || last_id == UINT32_MAX)
            quit("no room for a connection");
        s->id = ++last_id;
        s->fd = fd;
        s->credit = WINDOW;
        return;
    }
    close(fd);
}

/* What came from the host goes to the client. */
static void write_client(struct stream *s)
{
    while (s->fd >= 0 && s->length > 0) {
        size_t run = WINDOW - s->start < s->length ? WINDOW - s->start : s->length;
        ssize_t put = write(s->fd, s->ring + s->start, run);
        if (put < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (put <= 0) {
            break_stream(s);
            return;
        }
        s->start = (s->start + (size_t)put) % WINDOW;
        s->length -= (size_t)put;
        s->granted += (size_t)put;
    }
    if (s->fd >= 0 && s->host_ended && !s->shut) {
        shutdown(s->fd, SHUT_WR);
        s->shut = true;
    }
}

static bool may_read(const struct stream *s)
{
    return s->fd >= 0 && !s->client_ended && s->open_told && s->credit > 0 && room() >= CHUNK + OUT_MAX / 4;
}

static void read_client(struct stream *s)
{
    static uint8_t bytes[CHUNK];
    ssize_t got = read(s->fd, bytes, s->credit < CHUNK ? s->credit : CHUNK);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got < 0) {
        break_stream(s);
    } else if (got == 0) {
        s->client_ended = true;
    } else {
        s->credit -= (size_t)got;
        if (!send_frame(DATA, s->id, bytes, (size_t)got))
            quit("room was promised");
    }
}

/* Tells the host what is due. */
static void speak(struct stream *s)
{
    if (!s->open_told && !(s->open_told = send_frame(OPEN, s->id, NULL, 0)))
        return;
    if (s->reset_due) {
        if (send_frame(RESET, s->id, NULL, 0))
            release(s);
        return;
    }
    if (s->client_ended && !s->end_told && !(s->end_told = send_frame(END, s->id, NULL, 0)))
        return;
    uint8_t grant[4];
    put32(grant, (uint32_t)s->granted);
    if (!s->host_ended && s->granted >= WINDOW / 4 && send_frame(CREDIT, s->id, grant, sizeof grant))
        s->granted = 0;
    if (s->end_told && s->shut)
        release(s);
}

/* ---- from the host ---- */

static void on_data(struct stream *s, const uint8_t *bytes, size_t length)
{
    if (s->host_ended || length > WINDOW - s->length)
        quit("DATA beyond what was granted");
    size_t end = (s->start + s->length) % WINDOW;
    size_t first = WINDOW - end < length ? WINDOW - end : length;
    memcpy(s->ring + end, bytes, first);
    memcpy(s->ring, bytes + first, length - first);
    s->length += length;
}

static void on_frame(uint8_t type, uint32_t id, const uint8_t *payload, size_t length)
{
    struct stream *s = find(id);
    if (s == NULL || s->reset_due)
        return; /* it ended while this was on its way */
    switch (type) {
    case DATA:
        on_data(s, payload, length);
        return;
    case END:
        s->host_ended = true;
        return;
    case RESET:
        if (s->fd >= 0) { /* the client shall see that it was cut, not that it ended */
            struct linger now = {.l_onoff = 1, .l_linger = 0};
            setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        }
        release(s);
        return;
    case CREDIT:
        if (length != 4 || s->credit + get32(payload) > WINDOW)
            quit("malformed CREDIT");
        s->credit += get32(payload);
        return;
    default:
        quit("unknown frame");
    }
}

static void read_host(void)
{
    ssize_t got = read(STDIN_FILENO, in + in_length, IN_MAX - in_length);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        _exit(0);
    in_length += (size_t)got;
    size_t at = 0;
    while (in_length - at >= HEAD) {
        size_t length = get32(in + at);
        if (length > CHUNK)
            quit("frame too long");
        if (in_length - at < HEAD + length)
            break;
        on_frame(in[at + 4], get32(in + at + 5), in + at + HEAD, length);
        at += HEAD + length;
    }
    memmove(in, in + at, in_length - at);
    in_length -= at;
}

/* ---- start ---- */

static int open_listener(const char *text)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || port < PORT_MIN || port > UINT16_MAX)
        quit("malformed port");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 128) != 0)
        quit("the port of the proxy can't be listened on");
    return fd;
}

static bool has_free_stream(void)
{
    for (int i = 0; i < STREAMS_MAX; i++)
        if (streams[i].id == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        quit("usage: relay PORT");
    signal(SIGPIPE, SIG_IGN);
    int listener = open_listener(argv[1]);
    fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK);
    send_frame(READY, 0, NULL, 0);
    for (;;) {
        struct pollfd fds[3 + STREAMS_MAX];
        fds[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = out_length > 0 ? STDOUT_FILENO : -1, .events = POLLOUT};
        fds[2] = (struct pollfd){.fd = has_free_stream() ? listener : -1, .events = POLLIN};
        for (int i = 0; i < STREAMS_MAX; i++) {
            const struct stream *s = &streams[i];
            const int wanted = (may_read(s) ? POLLIN : 0) | (s->length > 0 ? POLLOUT : 0);
            fds[3 + i] = (struct pollfd){.fd = s->id != 0 && wanted != 0 ? s->fd : -1, .events = (short)wanted};
        }
        if (poll(fds, 3 + STREAMS_MAX, -1) < 0 && errno != EINTR)
            quit("poll");
        if (fds[0].revents != 0)
            read_host();
        for (int i = 0; i < STREAMS_MAX; i++) {
            struct stream *s = &streams[i];
            if (s->id == 0)
                continue;
            /* a slot that was given anew meanwhile has no event of its own yet: reading it finds nothing */
            if (fds[3 + i].revents != 0 && may_read(s))
                read_client(s);
            write_client(s);
            speak(s);
        }
        if (fds[2].revents != 0)
            accept_one(listener);
        for (int i = 0; i < STREAMS_MAX; i++)
            if (streams[i].id != 0 && !streams[i].open_told)
                speak(&streams[i]);
        flush_out();
    }
}
