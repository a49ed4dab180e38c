/* Between fork and exec: a child gives up everything before it runs a byte that is not ours. */
#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

/* Order matters: the bounding set needs CAP_SETPCAP, groups and gid need CAP_SETGID, and setresuid takes both away. */
bool drop_privileges(uid_t uid, gid_t gid)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return false;
    if (uid == 0 && !strict)
        return true; /* build profile: root keeps what the container gave it, for package managers */
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0)
            return false;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
        return false;
    if (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
        return false;

    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2];
    memset(none, 0, sizeof none);
    if (syscall(SYS_capset, &head, none) != 0)
        return false;

    uid_t r, e, s;
    return getresuid(&r, &e, &s) == 0 && r == uid && e == uid && s == uid && setuid(0) != 0;
}

/* The supervisor is never the victim when memory ends: whoever it runs goes first. */
static void volunteer_for_oom(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, "1000", 4) != 4) { /* a runtime without it: nothing depends on it but who is killed first */
    }
    close(fd);
}

/* Only ever lowers a limit: raising would need a capability that nobody here has. */
static bool limit(int what, uint64_t value)
{
    struct rlimit now;
    if (getrlimit(what, &now) != 0)
        return false;
    if (now.rlim_max == RLIM_INFINITY || now.rlim_max > value)
        now.rlim_max = value;
    now.rlim_cur = now.rlim_max;
    return setrlimit(what, &now) == 0;
}

static bool set_up(const struct run_head *head, int in, int out, int err)
{
    if (setsid() < 0)
        return false;
    if (dup2(in, 0) != 0 || dup2(out, 1) != 1 || dup2(err, 2) != 2)
        return false;
    volunteer_for_oom();
    umask(022);
    return limit(RLIMIT_CORE, 0) && limit(RLIMIT_FSIZE, head->fsize_max) && limit(RLIMIT_NOFILE, head->nofile_max);
}

static _Noreturn void fail(int report, enum stage stage)
{
    struct failure failure = {.stage = stage, .error = errno};
    if (write(report, &failure, sizeof failure) != sizeof failure) {
    }
    _exit(127);
}

/* Signals are still blocked: nobody's handler runs here, and the dispositions of exec'd programs are the default ones. */
void become(const struct spec *spec, int in, int out, int err, int report)
{
    const struct run_head *head = &spec->head;
    if (!set_up(head, in, out, err))
        fail(report, STAGE_SETUP);
    if (!drop_privileges(head->uid, head->gid))
        fail(report, STAGE_IDENTITY);
    if (chdir(spec->cwd) != 0)
        fail(report, STAGE_CHDIR);

    /* every descriptor of ours is close-on-exec; this is for one that a library might have opened otherwise */
    syscall(SYS_close_range, 3, ~0u, 1u << 2 /* CLOSE_RANGE_CLOEXEC */);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    environ = (char **)spec->envp;
    execvp(spec->argv[0], spec->argv);
    fail(report, STAGE_EXEC);
}
