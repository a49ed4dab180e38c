/*
 * harvest BASE WORK MAX_FILES MAX_BYTES: what of WORK differs from BASE, as records on stdout.
 *
 * Runs as the uid that owns WORK, when no process of that uid is left: nothing moves while we look. Compares by content,
 * never by times. The `.git` at the top of either side is not looked at. A record is:
 *
 *   u8 kind, u32 path length, path (relative, bytes as they are), u64 content length, content     (numbers little-endian)
 *
 *   D  in BASE, no longer a file or link of that name in WORK      -
 *   F  regular file, new or changed                                its bytes
 *   X  the same, executable by its owner                           its bytes
 *   L  symbolic link, new or changed                               its target
 *   S  left out: device, fifo, socket, too big, too deep           why, in words
 *   E  the end, always last                                        u64 records, u64 content bytes, u64 left out, u8 truncated
 *
 * All D stand before the first of F, X and L, so that applying in order also works where a folder became a file.
 * MAX_FILES bounds D, F, X and L together, MAX_BYTES their contents; reaching one sets `truncated`, and the walk stops
 * (files) or leaves out what does not fit (bytes). Exit code 0: complete records, truncated or not; else no E was written.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH_MAX = 200, PATH_BYTES_MAX = 4096, SKIPPED_MAX = 1000, BLOCK = 1 << 16 };

static const char SPECIAL[] = "a device, fifo or socket", TOO_BIG[] = "larger than what may still cross",
                  TOO_MANY[] = "it and what follows are more files than may cross", TOO_DEEP[] = "too deep or too long a path",
                  UNREADABLE[] = "it can't be read";

/* One folder on the way down: `here` is walked, `there` is the same path on the other side, or -1. */
struct level {
    DIR *here;
    int there;
    size_t path_length;
};

static uint64_t files_max, bytes_max, files, bytes, skipped;
static bool truncated;
static char path[PATH_BYTES_MAX];

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "harvest: %s: %s: %s\n", what, path, strerror(errno));
    exit(1);
}

static void put(const void *data, size_t length)
{
    if (length > 0 && fwrite(data, 1, length, stdout) != length)
        fail("write");
}

static void record(char kind, size_t path_length, uint64_t content_length)
{
    uint32_t length = (uint32_t)path_length;
    put(&kind, 1);
    put(&length, sizeof length);
    put(path, path_length);
    put(&content_length, sizeof content_length);
}

static void skip(size_t path_length, const char *why)
{
    if (++skipped > SKIPPED_MAX)
        return; /* a hundred thousand fifos are counted, not listed */
    record('S', path_length, strlen(why));
    put(why, strlen(why));
}

/* Whether one more record may be written; once not, the walk is over. */
static bool count_file(size_t path_length)
{
    if (files >= files_max) {
        truncated = true;
        skip(path_length, TOO_MANY);
        return false;
    }
    files++;
    return true;
}

static int open_folder(int at, const char *name)
{
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int open_file(int at, const char *name)
{
    return openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* Its owner may have taken the right to read away; the owner is who we run as. */
static void make_readable(int at, const char *name, mode_t mode, mode_t wanted)
{
    if ((mode & wanted) != wanted && fchmodat(at, name, (mode & 07777) | wanted, 0) != 0)
        errno = 0; /* then opening it fails, and that is told */
}

static size_t read_block(int fd, uint8_t *block)
{
    size_t length = 0;
    while (length < BLOCK) {
        ssize_t got = read(fd, block + length, BLOCK - length);
        if (got < 0)
            fail("read");
        if (got == 0)
            break;
        length += (size_t)got;
    }
    return length;
}

static bool same_content(int a, int b)
{
    static uint8_t blocks[2][BLOCK];
    for (;;) {
        size_t length = read_block(a, blocks[0]);
        if (read_block(b, blocks[1]) != length || memcmp(blocks[0], blocks[1], length) != 0)
            return false;
        if (length < BLOCK)
            return true;
    }
}

static bool same_file(int fd, const struct stat *st, int there, const char *name)
{
    struct stat base;
    if (there < 0 || fstatat(there, name, &base, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(base.st_mode) ||
        base.st_size != st->st_size || ((base.st_mode ^ st->st_mode) & S_IXUSR) != 0)
        return false;
    int other = open_file(there, name);
    if (other < 0)
        return false;
    bool same = same_content(fd, other);
    close(other);
    return same;
}

/* @returns false when the walk is over */
static bool emit_file(int at, const char *name, const struct stat *st, int there, size_t path_length)
{
    make_readable(at, name, st->st_mode, S_IRUSR);
    int fd = open_file(at, name);
    struct stat opened;
    if (fd < 0 || fstat(fd, &opened) != 0 || !S_ISREG(opened.st_mode)) {
        if (fd >= 0)
            close(fd);
        skip(path_length, UNREADABLE);
        return true;
    }
    bool more = true;
    uint64_t size = (uint64_t)opened.st_size;
    if (same_file(fd, st, there, name)) {
        /* nothing to tell */
    } else if (size > bytes_max - bytes) {
        truncated = true;
        skip(path_length, TOO_BIG);
    } else if ((more = count_file(path_length))) {
        static uint8_t block[BLOCK];
        record((st->st_mode & S_IXUSR) != 0 ? 'X' : 'F', path_length, size);
        bytes += size;
        if (lseek(fd, 0, SEEK_SET) != 0)
            fail("lseek");
        while (size > 0) {
            size_t length = read_block(fd, block);
            if (length == 0 || length > size)
                fail("changed while it was read");
            put(block, length);
            size -= length;
        }
    }
    close(fd);
    return more;
}

static bool emit_link(int at, const char *name, int there, size_t path_length)
{
    char target[PATH_BYTES_MAX], base[PATH_BYTES_MAX];
    ssize_t length = readlinkat(at, name, target, sizeof target);
    if (length < 0 || length == (ssize_t)sizeof target) {
        skip(path_length, UNREADABLE);
        return true;
    }
    ssize_t other = there < 0 ? -1 : readlinkat(there, name, base, sizeof base);
    if (other == length && memcmp(target, base, (size_t)length) == 0)
        return true;
    if ((uint64_t)length > bytes_max - bytes) {
        truncated = true;
        skip(path_length, TOO_BIG);
        return true;
    }
    if (!count_file(path_length))
        return false;
    bytes += (uint64_t)length;
    record('L', path_length, (uint64_t)length);
    put(target, (size_t)length);
    return true;
}

/* Second walk, WORK against BASE: what is new or changed. */
static bool visit_work(int at, const char *name, const struct stat *st, int there, size_t path_length)
{
    if (S_ISREG(st->st_mode))
        return emit_file(at, name, st, there, path_length);
    if (S_ISLNK(st->st_mode))
        return emit_link(at, name, there, path_length);
    skip(path_length, SPECIAL);
    return true;
}

/* First walk, BASE against WORK: what is gone, or became something that is neither file nor link. */
static bool visit_base(int at, const char *name, const struct stat *st, int there, size_t path_length)
{
    (void)at;
    (void)st;
    struct stat now;
    if (there >= 0 && fstatat(there, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
        (S_ISREG(now.st_mode) || S_ISLNK(now.st_mode)))
        return true;
    if (!count_file(path_length))
        return false;
    record('D', path_length, 0);
    return true;
}

typedef bool visit(int at, const char *name, const struct stat *st, int there, size_t path_length);

static bool descend(struct level *level, int at, int there, const char *name, size_t path_length, bool ours)
{
    struct stat st;
    if (ours && fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        make_readable(at, name, st.st_mode, S_IRUSR | S_IXUSR);
    else if (!ours && there >= 0 && fstatat(there, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
        make_readable(there, name, st.st_mode, S_IRUSR | S_IXUSR);
    int fd = open_folder(at, name);
    DIR *here = fd < 0 ? NULL : fdopendir(fd);
    if (here == NULL) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    *level = (struct level){.here = here, .there = there < 0 ? -1 : open_folder(there, name), .path_length = path_length};
    return true;
}

static void walk(const char *here, const char *there, visit *on_leaf, bool ours)
{
    static struct level levels[DEPTH_MAX];
    int other = open_folder(AT_FDCWD, there);
    int root = open_folder(AT_FDCWD, here);
    if (root < 0 || other < 0)
        fail("open");
    levels[0] = (struct level){.here = fdopendir(root), .there = other, .path_length = 0};
    bool going = true;
    for (int depth = 0; depth >= 0;) {
        struct level *level = &levels[depth];
        struct dirent *entry = going ? readdir(level->here) : NULL;
        if (entry == NULL) {
            closedir(level->here);
            if (level->there >= 0)
                close(level->there);
            depth--;
            continue;
        }
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || (depth == 0 && strcmp(name, ".git") == 0))
            continue;
        size_t length = strlen(name), start = level->path_length;
        if (start + 1 + length >= sizeof path) {
            skip(start, TOO_DEEP);
            continue;
        }
        if (start > 0)
            path[start++] = '/';
        memcpy(path + start, name, length);
        path[start + length] = '\0';
        struct stat st;
        int at = dirfd(level->here);
        if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            fail("stat");
        if (!S_ISDIR(st.st_mode))
            going = on_leaf(at, name, &st, level->there, start + length);
        else if (depth + 1 == DEPTH_MAX)
            skip(start + length, TOO_DEEP);
        else if (descend(&levels[depth + 1], at, level->there, name, start + length, ours))
            depth++;
        else
            skip(start + length, UNREADABLE);
    }
}

static uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || *text < '0' || *text > '9' || *end != '\0') {
        fprintf(stderr, "harvest: %s is not a number\n", text);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: harvest BASE WORK MAX_FILES MAX_BYTES\n");
        return 2;
    }
    files_max = number(argv[3]);
    bytes_max = number(argv[4]);
    struct stat st;
    if (lstat(argv[2], &st) == 0 && st.st_uid == getuid())
        make_readable(AT_FDCWD, argv[2], st.st_mode, S_IRWXU);

    walk(argv[1], argv[2], visit_base, false);
    if (!truncated)
        walk(argv[2], argv[1], visit_work, true);

    uint64_t totals[3] = {files, bytes, skipped};
    uint8_t cut = truncated;
    record('E', 0, sizeof totals + sizeof cut);
    put(totals, sizeof totals);
    put(&cut, 1);
    return fflush(stdout) == 0 ? 0 : 1;
}
