/* What a process under the shim is told (rules) and what it tells (trace). */
#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RULES 16
#define TRACE_DESCRIPTOR 900

struct rule {
    uint32_t armed;
    uint32_t kinds;
    uint32_t action;
    int32_t error;
    uint32_t skip;  /* so many matching calls are let through */
    uint32_t times; /* so many are hit; 0: all that follow */
    uint32_t seen;
    uint32_t fired;
    char role[32];
    char pattern[192];
};

struct header {
    char magic[8];
    uint32_t length; /* of all, the end included */
    uint16_t kind;
    uint8_t phase;
    uint8_t unused;
    uint32_t thread;
    uint32_t path_length;
    uint32_t new_path_length;
    uint32_t data_length;
    uint64_t inode;
    int64_t offset;
};

static const char MAGIC[8] = {'2', 'R', 'T', 'R', '\xf1', '\x9e', '\x04', '\n'};
static const char END[4] = {'\xe5', 'n', 'd', '\n'};

static char root[PATH_MAX];
static size_t root_length;
static char role[32];
static struct rule *rules;
static int trace = -1;
static ino_t trace_inode;

static int raw_open(const char *path, int flags)
{
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0600);
}

static void map_rules(const char *path)
{
    int file = raw_open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        _exit(121);
    void *mapped = mmap(NULL, RULES * sizeof(struct rule), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED)
        _exit(122);
    syscall(SYS_close, file);
    rules = mapped;
}

static void open_trace(const char *path)
{
    int file = raw_open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (file < 0)
        _exit(123);
    /* High up, so that a process that tidies its descriptors does not take it for one of its own. */
    trace = fcntl(file, F_DUPFD_CLOEXEC, TRACE_DESCRIPTOR);
    syscall(SYS_close, file);
    struct stat status;
    if (trace < 0 || fstat(trace, &status) != 0)
        _exit(124);
    trace_inode = status.st_ino;
}

__attribute__((constructor)) static void begin(void)
{
    const char *folder = getenv("TORTURE_ROOT"), *name = getenv("TORTURE_ROLE");
    const char *control = getenv("TORTURE_CONTROL"), *log = getenv("TORTURE_TRACE");
    if (folder == NULL || control == NULL)
        return;
    root_length = (size_t)snprintf(root, sizeof root, "%s", folder);
    snprintf(role, sizeof role, "%s", name == NULL ? "" : name);
    map_rules(control);
    if (log != NULL)
        open_trace(log);
}

int shim_is_active(void) { return rules != NULL; }

int shim_concerns(const char *path)
{
    return rules != NULL && strncmp(path, root, root_length) == 0 &&
           (path[root_length] == '/' || path[root_length] == '\0');
}

int shim_resolve(int folder, const char *path, char *out, size_t size)
{
    if (path[0] == '/') {
        snprintf(out, size, "%s", path);
        return 1;
    }
    char base[PATH_MAX];
    if (folder == AT_FDCWD) {
        if (getcwd(base, sizeof base) == NULL)
            return 0;
    } else if (!shim_path_of(folder, base, sizeof base)) {
        return 0;
    }
    return snprintf(out, size, "%s/%s", base, path) < (int)size;
}

int shim_path_of(int descriptor, char *out, size_t size)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, out, size - 1);
    out[length < 0 ? 0 : length] = '\0';
    return length > 0;
}

static int matches(const struct rule *rule, enum kind kind, const char *path, const char *new_path)
{
    return (rule->kinds & (uint32_t)kind) != 0 && (rule->role[0] == '\0' || strcmp(rule->role, role) == 0) &&
           (fnmatch(rule->pattern, path, 0) == 0 ||
            (new_path != NULL && fnmatch(rule->pattern, new_path, 0) == 0));
}

struct verdict shim_judge(enum kind kind, const char *path, const char *new_path)
{
    struct verdict verdict = {ACT_NONE, 0};
    for (int i = 0; i < RULES; i++) {
        struct rule *rule = &rules[i];
        if (!__atomic_load_n(&rule->armed, __ATOMIC_ACQUIRE) || !matches(rule, kind, path, new_path))
            continue;
        uint32_t number = __atomic_fetch_add(&rule->seen, 1, __ATOMIC_SEQ_CST);
        if (number < rule->skip || (rule->times != 0 && number >= rule->skip + rule->times))
            continue;
        __atomic_fetch_add(&rule->fired, 1, __ATOMIC_SEQ_CST);
        verdict.action = rule->action;
        verdict.error = rule->error;
        return verdict;
    }
    return verdict;
}

static int trace_is_ours(void)
{
    struct stat status;
    return trace >= 0 && fstat(trace, &status) == 0 && status.st_ino == trace_inode;
}

void shim_record(enum phase phase, const struct event *event)
{
    if (!trace_is_ours())
        return;
    int error = errno;
    const char *new_path = event->new_path == NULL ? "" : event->new_path;
    struct header header = {
        .kind = (uint16_t)event->kind,
        .phase = (uint8_t)phase,
        .thread = (uint32_t)syscall(SYS_gettid),
        .path_length = (uint32_t)strlen(event->path),
        .new_path_length = (uint32_t)strlen(new_path),
        .data_length = (uint32_t)event->length,
        .inode = event->inode,
        .offset = event->offset,
    };
    memcpy(header.magic, MAGIC, sizeof MAGIC);
    header.length = (uint32_t)(sizeof header + sizeof END) + header.path_length + header.new_path_length +
                    header.data_length;
    /* One call, so that the records of several processes do not mix. */
    struct iovec parts[] = {
        {&header, sizeof header},
        {(void *)event->path, header.path_length},
        {(void *)new_path, header.new_path_length},
        {(void *)event->data, header.data_length},
        {(void *)END, sizeof END},
    };
    if (syscall(SYS_writev, trace, parts, 5) != (ssize_t)header.length)
        _exit(125); /* a trace with holes proves nothing */
    errno = error;
}

void shim_die(void)
{
    for (;;)
        syscall(SYS_kill, (pid_t)syscall(SYS_getpid), SIGKILL);
}
