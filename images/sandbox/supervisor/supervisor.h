/*
 * The supervisor: PID 1 of every sandbox.
 *
 * Theory of operation. The host talks to it in frames over its stdin and stdout, which the engine attaches before the
 * container starts. It runs commands as another uid, passes their output on, ends them, and reports how they ended; the
 * verdict of a task rests on its word, so no process inside may be able to rewrite or signal it: it keeps its own uid
 * (root without CAP_DAC_OVERRIDE, CAP_SYS_PTRACE or anything else that is not needed), is not dumpable, and as PID 1 takes
 * no signal from inside its namespace.
 *
 * One thread, one poll loop, nothing that blocks: writes to the host go through a bounded buffer, and when that is full the
 * children's pipes are left unread (back-pressure) while ends, kills and timers go on. Whatever the host sends that is not
 * exactly as written here ends the program, and with it the container: there is nothing to negotiate.
 *
 * A frame is: u32 payload length, u8 type, u32 command id, payload; all numbers little-endian.
 *
 *   from the host                       payload
 *   RUN        start a command          struct run_head, then NUL-ended texts: cwd, argv…, env…
 *   STDIN      bytes for its stdin      ≤ what was granted: STDIN_WINDOW at first, then by CREDIT
 *   STDIN_END  close its stdin          -
 *   KILL       end this command         -   (alone: every process; beside others: its session)
 *   END_ALL    end every process        -   (answered by ENDED when none is left)
 *   PING       a sign of life           -
 *   SHUTDOWN   exit                     -
 *
 *   to the host
 *   HELLO      once, first              "name=value\n"…: what the kernel says of us and of a child
 *   OUT        live output, head only   u8 stream (1 stdout, 2 stderr), bytes
 *   TAIL       the last bytes           bytes; 0..n frames just before EXIT
 *   EXIT       it ended                 struct exit_body
 *   CREDIT     room for stdin           u32 bytes
 *   ENDED      answer to END_ALL        -
 *   PONG       answer to PING           -
 */
#ifndef SUPERVISOR_H
#define SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

enum { PROTOCOL_VERSION = 1 };

enum frame_in { RUN = 1, STDIN = 2, STDIN_END = 3, KILL = 4, END_ALL = 5, PING = 6, SHUTDOWN = 7 };
enum frame_out { HELLO = 65, OUT = 66, TAIL = 67, EXIT = 68, CREDIT = 69, ENDED = 70, PONG = 71 };

enum {
    FRAME_HEAD_BYTES = 9,
    FRAME_IN_MAX = 1 << 20,      /* payload of a frame from the host */
    OUT_CHUNK = 32 << 10,        /* payload of a frame to the host */
    OUT_BUFFER = 512 << 10,      /* bytes waiting for the host */
    OUT_RESERVE = 8 << 10,       /* of those, kept free for everything but output */
    STDIN_WINDOW = 256 << 10,    /* bytes of stdin in flight for each command */
    COMMANDS_MAX = 16,
    STRINGS_MAX = 4096,          /* argv and env entries together */
    TAIL_MAX = 64 << 20,
    DRAIN_BYTES = 1 << 20,       /* what a pipe can still hold when its writer is dead */
    DRAIN_MS = 40,               /* how long heirs of an ended command's stdout are waited for */
    LEAST_UID = 1000,            /* strict: nothing below is ever run */
};

/* Why the supervisor itself ended; the host reads it as the container's exit code. */
enum { GONE_SHUTDOWN = 0, GONE_PROTOCOL = 64, GONE_DEAD_MAN = 65, GONE_LIFETIME = 66, GONE_HOST = 67, GONE_FAULT = 68 };

enum run_flags { RUN_STDIN = 1, RUN_DATA = 2 };

struct __attribute__((packed)) run_head {
    uint32_t uid;
    uint32_t gid;
    uint8_t flags;        /* RUN_DATA: stdout is passed up to head_max, stderr up to tail_max, no tail is kept */
    uint64_t head_max;    /* bytes passed on live */
    uint64_t tail_max;    /* last bytes kept, ≤ TAIL_MAX */
    uint64_t flood_max;   /* printed bytes after which it is ended */
    uint64_t fsize_max;   /* RLIMIT_FSIZE */
    uint32_t nofile_max;  /* RLIMIT_NOFILE */
    uint16_t argc;        /* ≥ 1 */
    uint16_t envc;
};

enum exit_flags { EXIT_FLOODED = 1, EXIT_KILLED = 2, EXIT_NOT_STARTED = 4 };

struct __attribute__((packed)) exit_body {
    uint8_t flags;
    uint8_t stage;        /* EXIT_NOT_STARTED: which step failed, enum stage */
    int32_t code;         /* exit code; with a signal -1; EXIT_NOT_STARTED: errno */
    uint32_t signal;      /* 0: it exited */
    uint64_t stdout_total;
    uint64_t stderr_total;
    uint64_t cpu_us;
    uint64_t max_rss_bytes;
    uint64_t wall_us;
    uint32_t oom_kills;   /* processes of the sandbox killed for memory meanwhile */
};

enum stage { STAGE_NONE, STAGE_PIPES, STAGE_FORK, STAGE_SETUP, STAGE_IDENTITY, STAGE_CHDIR, STAGE_EXEC };

struct spec {
    struct run_head head;
    const char *cwd;
    char *argv[STRINGS_MAX + 1];
    char *envp[STRINGS_MAX + 1];
};

struct failure {
    int32_t stage;
    int32_t error;
};

/* main.c */
extern bool strict;
_Noreturn void gone(int code, const char *why);
uint64_t now_us(void);

/* frames.c: the two buffers between us and the host */
void host_read(void (*on_frame)(uint8_t type, uint32_t id, uint8_t *payload, size_t length));
void host_write(void);
size_t host_pending(void);
size_t host_room(void); /* payload bytes that OUT or TAIL may add now */
bool host_refuse(void);   /* notes that something did not fit; false */
bool host_retry_due(void);
bool host_send(uint8_t type, uint32_t id, const void *a, size_t a_length, const void *b, size_t b_length);

/* child.c: what happens between fork and exec */
bool drop_privileges(uid_t uid, gid_t gid);
_Noreturn void become(const struct spec *spec, int in, int out, int err, int report);

/* facts.c: what the kernel says */
void facts_open(void);
uint64_t facts_oom_kills(void);
size_t facts_hello(char *text, size_t size);

/* commands.c: the table of running commands */
struct pollfd;
void commands_run(uint32_t id, uint8_t *payload, size_t length);
void commands_stdin(uint32_t id, const uint8_t *bytes, size_t length);
void commands_stdin_end(uint32_t id);
void commands_kill(uint32_t id);
void commands_mark_killed(void);
void commands_reaped(pid_t pid, int status, const struct rusage *usage);
size_t commands_poll(struct pollfd *fds);
void commands_work(void);
int commands_timeout_ms(void);
unsigned commands_count(void);

#endif
