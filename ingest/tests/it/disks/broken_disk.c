/* A broken disk, for a process that loads this before libc: the call that is named in the file $BROKEN_CALL (write,
 * fsync, fsync-directory, rename) fails with EIO on every file of a spool. As on Linux, bytes whose fsync failed are
 * lost: the file is empty afterwards, and the next fsync of it would succeed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_broken(const char *call) {
    char named[32] = "";
    const char *control = getenv("BROKEN_CALL");
    int file = control ? open(control, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    ssize_t length = read(file, named, sizeof named - 1);
    close(file);
    return length > 0 && strcmp(named, call) == 0;
}

static int is_of_a_spool(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, "/spool/") != NULL;
}

static int is_directory(int file) {
    struct stat status;
    return fstat(file, &status) == 0 && S_ISDIR(status.st_mode);
}

static int broken(void) {
    errno = EIO;
    return -1;
}

ssize_t write(int file, const void *bytes, size_t count) {
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    return is_of_a_spool(file) && is_broken("write") ? broken() : real(file, bytes, count);
}

int fsync(int file) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    if (!is_of_a_spool(file)) return real(file);
    if (is_directory(file)) return is_broken("fsync-directory") ? broken() : real(file);
    if (!is_broken("fsync")) return real(file);
    return ftruncate(file, 0) == 0 ? broken() : -1;
}

int rename(const char *from, const char *to) {
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    return strstr(from, "/spool/") && is_broken("rename") ? broken() : real(from, to);
}
