/* The calls of libc that change what is kept, or tell somebody that it is kept. */
#define _GNU_SOURCE
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NEXT(name, result, ...)                                                                    \
    static result (*real)(__VA_ARGS__);                                                            \
    if (real == NULL)                                                                              \
        real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* Do what a rule says before a call; nonzero if the call is not to be made. */
static int before(struct verdict verdict, int *result)
{
    switch (verdict.action) {
    case ACT_KILL_BEFORE:
        shim_die();
    case ACT_FAIL:
        errno = verdict.error;
        *result = -1;
        return 1;
    case ACT_LIE:
        *result = 0;
        return 1;
    default:
        return 0;
    }
}

static void after(struct verdict verdict)
{
    if (verdict.action == ACT_KILL_AFTER || verdict.action == ACT_KILL_HALF)
        shim_die();
}

/* --- descriptors --- */

static int file_of(int descriptor, char *path, struct stat *status)
{
    return shim_is_active() && fstat(descriptor, status) == 0 &&
           (S_ISREG(status->st_mode) || S_ISDIR(status->st_mode)) &&
           shim_path_of(descriptor, path, PATH_MAX) && shim_concerns(path);
}

static ssize_t written(struct verdict verdict, struct event *event, ssize_t done)
{
    event->length = done < 0 ? 0 : (size_t)done;
    if (done > 0)
        shim_record(PHASE_DONE, event);
    after(verdict);
    return done;
}

static ssize_t write_at(int descriptor, const void *data, size_t size, off64_t offset)
{
    return offset < 0 ? syscall(SYS_write, descriptor, data, size)
                      : syscall(SYS_pwrite64, descriptor, data, size, offset);
}

static ssize_t change(int descriptor, const void *data, size_t size, off64_t offset, const char *path, ino_t inode)
{
    struct verdict verdict = shim_judge(KIND_WRITE, path, NULL);
    int result = 0;
    if (before(verdict, &result))
        return result < 0 ? -1 : (ssize_t)size;
    if (verdict.action == ACT_KILL_HALF)
        size /= 2;
    ssize_t done = write_at(descriptor, data, size, offset);
    struct event event = {.kind = KIND_WRITE, .path = path, .inode = inode, .data = data};
    event.offset = offset < 0 && done > 0 ? lseek64(descriptor, 0, SEEK_CUR) - done : offset;
    return written(verdict, &event, done);
}

static int is_network(int descriptor)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    return getsockname(descriptor, (struct sockaddr *)&address, &length) == 0 &&
           (address.ss_family == AF_INET || address.ss_family == AF_INET6);
}

/* Command Field (0000,0100) of a C-STORE-RSP or -RQ, in implicit VR. Source: PS3.7 9.3.1. */
static enum kind kind_of(const void *data, size_t size)
{
    static const char response[] = "\0\0\0\1\2\0\0\0\1\200", request[] = "\0\0\0\1\2\0\0\0\1\0";
    if (memmem(data, size, response, 10) != NULL)
        return KIND_REPLY;
    return memmem(data, size, request, 10) != NULL ? KIND_REQUEST : 0;
}

/* Record and judge what is about to be said; nonzero if it is not to be said. */
static int before_saying(int descriptor, const void *data, size_t size, struct verdict *verdict, int *result)
{
    verdict->action = ACT_NONE;
    enum kind kind = shim_is_active() && data != NULL && size >= 10 ? kind_of(data, size) : 0;
    if (kind == 0 || !is_network(descriptor))
        return 0;
    *verdict = shim_judge(kind, "socket", NULL);
    if (before(*verdict, result))
        return 1;
    struct event event = {.kind = kind, .path = "socket", .data = data, .length = size > 512 ? 512 : size};
    shim_record(PHASE_BEGAN, &event);
    return 0;
}

ssize_t write(int descriptor, const void *data, size_t size)
{
    char path[PATH_MAX];
    struct stat status;
    if (file_of(descriptor, path, &status))
        return change(descriptor, data, size, -1, path, status.st_ino);
    struct verdict verdict;
    int result = 0;
    if (before_saying(descriptor, data, size, &verdict, &result))
        return result < 0 ? -1 : (ssize_t)size;
    NEXT("write", ssize_t, int, const void *, size_t);
    ssize_t done = real(descriptor, data, size);
    after(verdict);
    return done;
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t offset)
{
    char path[PATH_MAX];
    struct stat status;
    if (file_of(descriptor, path, &status))
        return change(descriptor, data, size, offset, path, status.st_ino);
    return syscall(SYS_pwrite64, descriptor, data, size, offset);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset)
{
    return pwrite64(descriptor, data, size, offset);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count)
{
    char path[PATH_MAX];
    struct stat status;
    if (!file_of(descriptor, path, &status)) {
        NEXT("writev", ssize_t, int, const struct iovec *, int);
        return real(descriptor, parts, count);
    }
    ssize_t total = 0;
    for (int i = 0; i < count; i++) { /* a short write is allowed */
        ssize_t done = change(descriptor, parts[i].iov_base, parts[i].iov_len, -1, path, status.st_ino);
        if (done < 0)
            return total > 0 ? total : -1;
        total += done;
        if ((size_t)done < parts[i].iov_len)
            break;
    }
    return total;
}

ssize_t send(int descriptor, const void *data, size_t size, int flags)
{
    struct verdict verdict;
    int result = 0;
    if (before_saying(descriptor, data, size, &verdict, &result))
        return result < 0 ? -1 : (ssize_t)size;
    NEXT("send", ssize_t, int, const void *, size_t, int);
    ssize_t done = real(descriptor, data, size, flags);
    after(verdict);
    return done;
}

ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags)
{
    struct verdict verdict = {ACT_NONE, 0};
    int result = 0;
    for (size_t i = 0; i < message->msg_iovlen && verdict.action == ACT_NONE; i++) {
        const struct iovec *part = &message->msg_iov[i];
        if (before_saying(descriptor, part->iov_base, part->iov_len, &verdict, &result))
            return result;
    }
    NEXT("sendmsg", ssize_t, int, const struct msghdr *, int);
    ssize_t done = real(descriptor, message, flags);
    after(verdict);
    return done;
}

static int truncated(int descriptor, off64_t size)
{
    char path[PATH_MAX];
    struct stat status;
    if (!file_of(descriptor, path, &status))
        return (int)syscall(SYS_ftruncate, descriptor, size);
    struct verdict verdict = shim_judge(KIND_TRUNCATE, path, NULL);
    int result = 0;
    if (before(verdict, &result))
        return result;
    result = (int)syscall(SYS_ftruncate, descriptor, size);
    struct event event = {.kind = KIND_TRUNCATE, .path = path, .inode = status.st_ino, .offset = size};
    if (result == 0)
        shim_record(PHASE_DONE, &event);
    after(verdict);
    return result;
}

int ftruncate64(int descriptor, off64_t size) { return truncated(descriptor, size); }
int ftruncate(int descriptor, off_t size) { return truncated(descriptor, size); }

static int synced(int descriptor, long number)
{
    char path[PATH_MAX];
    struct stat status;
    if (!file_of(descriptor, path, &status))
        return (int)syscall(number, descriptor);
    struct event event = {.kind = KIND_SYNC, .path = path, .inode = status.st_ino};
    event.offset = S_ISDIR(status.st_mode);
    struct verdict verdict = shim_judge(KIND_SYNC, path, NULL);
    int result = 0;
    if (verdict.action == ACT_FAIL)
        shim_record(PHASE_BEGAN, &event);
    if (before(verdict, &result)) {
        if (result != 0)
            shim_record(PHASE_FAILED, &event);
        return result; /* a lie leaves no trace */
    }
    shim_record(PHASE_BEGAN, &event);
    result = (int)syscall(number, descriptor);
    shim_record(result == 0 ? PHASE_DONE : PHASE_FAILED, &event);
    after(verdict);
    return result;
}

int fsync(int descriptor) { return synced(descriptor, SYS_fsync); }
int fdatasync(int descriptor) { return synced(descriptor, SYS_fdatasync); }

/* --- names --- */

static int exists(int folder, const char *path)
{
    return syscall(SYS_faccessat, folder, path, F_OK) == 0;
}

static int opened(int folder, const char *path, int flags, mode_t mode)
{
    char whole[PATH_MAX];
    int changes = (flags & (O_CREAT | O_TRUNC)) != 0 && (flags & O_TMPFILE) != O_TMPFILE;
    if (!changes || !shim_is_active() || !shim_resolve(folder, path, whole, sizeof whole) || !shim_concerns(whole))
        return (int)syscall(SYS_openat, folder, path, flags, mode);
    int makes = (flags & O_CREAT) != 0 && ((flags & O_EXCL) != 0 || !exists(folder, path));
    struct verdict verdict = {ACT_NONE, 0};
    int result = 0;
    if (makes)
        verdict = shim_judge(KIND_OPEN, whole, NULL);
    if (before(verdict, &result))
        return -1;
    result = (int)syscall(SYS_openat, folder, path, flags, mode);
    struct stat status;
    if (result >= 0 && fstat(result, &status) == 0) {
        struct event event = {.kind = KIND_OPEN, .path = whole, .inode = status.st_ino, .offset = makes};
        struct event cut = {.kind = KIND_TRUNCATE, .path = whole, .inode = status.st_ino};
        if (makes)
            shim_record(PHASE_DONE, &event);
        else if ((flags & O_TRUNC) != 0)
            shim_record(PHASE_DONE, &cut);
    }
    after(verdict);
    return result;
}

#define MODE_OF(flags, last)                                                                       \
    mode_t mode = 0;                                                                               \
    if (((flags) & O_CREAT) != 0 || ((flags) & O_TMPFILE) == O_TMPFILE) {                          \
        va_list arguments;                                                                         \
        va_start(arguments, last);                                                                 \
        mode = va_arg(arguments, mode_t);                                                          \
        va_end(arguments);                                                                         \
    }

int open(const char *path, int flags, ...)
{
    MODE_OF(flags, flags)
    return opened(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE_OF(flags, flags)
    return opened(AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    MODE_OF(flags, flags)
    return opened(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    MODE_OF(flags, flags)
    return opened(folder, path, flags, mode);
}

struct naming {
    enum kind kind;
    long number;
    int folder;
    const char *path;
    int new_folder;
    const char *new_path;
    long extra;
};

static int call(const struct naming *what)
{
    if (what->new_path != NULL)
        return (int)syscall(what->number, what->folder, what->path, what->new_folder, what->new_path, what->extra);
    return (int)syscall(what->number, what->folder, what->path, what->extra);
}

static int named(const struct naming *what)
{
    char path[PATH_MAX], new_path[PATH_MAX] = "";
    if (!shim_is_active() || !shim_resolve(what->folder, what->path, path, sizeof path) ||
        (what->new_path != NULL && !shim_resolve(what->new_folder, what->new_path, new_path, sizeof new_path)) ||
        !(shim_concerns(path) || shim_concerns(new_path)))
        return call(what);
    struct verdict verdict = shim_judge(what->kind, path, what->new_path == NULL ? NULL : new_path);
    int result = 0;
    if (before(verdict, &result))
        return result;
    result = call(what);
    struct event event = {.kind = what->kind, .path = path, .new_path = new_path};
    if (result == 0)
        shim_record(PHASE_DONE, &event);
    after(verdict);
    return result;
}

int rename(const char *path, const char *new_path)
{
    return named(&(struct naming){KIND_RENAME, SYS_renameat2, AT_FDCWD, path, AT_FDCWD, new_path, 0});
}

int renameat(int folder, const char *path, int new_folder, const char *new_path)
{
    return named(&(struct naming){KIND_RENAME, SYS_renameat2, folder, path, new_folder, new_path, 0});
}

int link(const char *path, const char *new_path)
{
    return named(&(struct naming){KIND_LINK, SYS_linkat, AT_FDCWD, path, AT_FDCWD, new_path, 0});
}

int linkat(int folder, const char *path, int new_folder, const char *new_path, int flags)
{
    return named(&(struct naming){KIND_LINK, SYS_linkat, folder, path, new_folder, new_path, flags});
}

int unlink(const char *path)
{
    return named(&(struct naming){KIND_UNLINK, SYS_unlinkat, AT_FDCWD, path, 0, NULL, 0});
}

int unlinkat(int folder, const char *path, int flags)
{
    return named(&(struct naming){KIND_UNLINK, SYS_unlinkat, folder, path, 0, NULL, flags});
}

int rmdir(const char *path)
{
    return named(&(struct naming){KIND_UNLINK, SYS_unlinkat, AT_FDCWD, path, 0, NULL, AT_REMOVEDIR});
}

int mkdir(const char *path, mode_t mode)
{
    return named(&(struct naming){KIND_MKDIR, SYS_mkdirat, AT_FDCWD, path, 0, NULL, mode});
}

int mkdirat(int folder, const char *path, mode_t mode)
{
    return named(&(struct naming){KIND_MKDIR, SYS_mkdirat, folder, path, 0, NULL, mode});
}
