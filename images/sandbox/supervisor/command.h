/* One running command, as the table (commands.c) and its pipes (pipes.c) see it. */
#ifndef COMMAND_H
#define COMMAND_H

#include "supervisor.h"

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

void command_shut(int *fd);
void command_feed(struct command *c);                                  /* stdin */
bool command_may_read(const struct command *c, int which);             /* reading now can't lose anything */
void command_read(struct command *c);                                  /* what its pipes hold, a block each */
bool command_drained(const struct command *c);                         /* its pipes gave what its end left in them */
bool command_tell(struct command *c);                                  /* tail and end; false: no room, later */

#endif
