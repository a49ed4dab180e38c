/*
 * wipe DIR…: empties folders of what the caller may delete, whatever its depth and mode bits.
 *
 * Runs as the uid that made the contents, when no other process of it is left. No recursion and two descriptors only: a
 * folder that still holds folders gives them up to the top first, so depth is never a limit. Exit code 0: every DIR is
 * empty now. 1: something is left, and the first name that resisted is on stderr.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned long serial;

static DIR *open_folder(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (folder == NULL && fd >= 0)
        close(fd);
    return folder;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Moves a folder to the top under a name that nobody has. */
static bool lift(int from, const char *name, int top)
{
    char free_name[32];
    for (int tries = 0; tries < 1000; tries++) {
        snprintf(free_name, sizeof free_name, ".wipe-%lu", serial++);
        if (renameat2(from, name, top, free_name, RENAME_NOREPLACE) == 0)
            return true;
        if (errno != EEXIST)
            return false;
    }
    return false;
}

/* Gives the owner back the right to look into a folder. @returns false where it is no folder of ours */
static bool unlock(int at, const char *name)
{
    struct stat st;
    return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) && fchmodat(at, name, 0700, 0) == 0;
}

/* Removes one entry of `at`. A folder that is not empty hands its own folders up to `top`.
 * @returns whether anything changed */
static bool drop(int at, const char *name, int top)
{
    if (unlinkat(at, name, 0) == 0)
        return true;
    if (!unlock(at, name))
        return false;
    if (unlinkat(at, name, AT_REMOVEDIR) == 0)
        return true;
    DIR *folder = open_folder(at, name);
    if (folder == NULL)
        return false;
    bool changed = false;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (is_dots(entry->d_name))
            continue;
        int inside = dirfd(folder);
        if (unlinkat(inside, entry->d_name, 0) == 0) {
            changed = true;
            continue;
        }
        if (unlock(inside, entry->d_name))
            changed |= unlinkat(inside, entry->d_name, AT_REMOVEDIR) == 0 || lift(inside, entry->d_name, top);
    }
    closedir(folder);
    return unlinkat(at, name, AT_REMOVEDIR) == 0 || changed;
}

static bool wipe(const char *path)
{
    struct stat st;
    if (lstat(path, &st) == 0 && st.st_uid == getuid() && chmod(path, (st.st_mode & 07777) | 0700) != 0)
        errno = 0; /* then opening it fails, and that is told */
    DIR *top = open_folder(AT_FDCWD, path);
    if (top == NULL) {
        fprintf(stderr, "wipe: %s: %s\n", path, strerror(errno));
        return false;
    }
    char left[256] = "";
    for (bool changed = true; changed;) {
        changed = false;
        left[0] = '\0';
        rewinddir(top);
        for (struct dirent *entry; (entry = readdir(top)) != NULL;) {
            if (is_dots(entry->d_name))
                continue;
            snprintf(left, sizeof left, "%s", entry->d_name);
            changed |= drop(dirfd(top), entry->d_name, dirfd(top));
        }
    }
    closedir(top);
    if (left[0] != '\0')
        fprintf(stderr, "wipe: %s is not empty: %s stays\n", path, left);
    return left[0] == '\0';
}

int main(int argc, char **argv)
{
    bool empty = argc > 1;
    for (int i = 1; i < argc; i++)
        empty &= wipe(argv[i]);
    return empty ? 0 : 1;
}
