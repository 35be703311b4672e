/* Sits between one process and libc: records, breaks, or ends calls that change what is kept.
 *
 * Environment (set for one role's process; its children inherit it):
 *   TORTURE_ROOT     only files below this folder, and sockets, concern us
 *   TORTURE_ROLE     the name that rules know this process by
 *   TORTURE_CONTROL  a file of rules, mapped and shared by all processes (tests/torture/preload.py)
 *   TORTURE_TRACE    a file that every change is appended to (tests/torture/trace.py), if set
 */
#ifndef SECOND_READER_TORTURE_SHIM_H
#define SECOND_READER_TORTURE_SHIM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum kind {
    KIND_OPEN = 1 << 0,     /* that may make a file */
    KIND_WRITE = 1 << 1,
    KIND_TRUNCATE = 1 << 2,
    KIND_SYNC = 1 << 3,
    KIND_RENAME = 1 << 4,
    KIND_LINK = 1 << 5,
    KIND_UNLINK = 1 << 6,
    KIND_MKDIR = 1 << 7,
    KIND_REPLY = 1 << 8,    /* a C-STORE-RSP on a socket */
    KIND_REQUEST = 1 << 9,  /* a C-STORE-RQ on a socket */
};

enum action {
    ACT_NONE = 0,
    ACT_KILL_BEFORE = 1,
    ACT_KILL_AFTER = 2,
    ACT_KILL_HALF = 3,  /* of a write, when half of it is done */
    ACT_FAIL = 4,
    ACT_LIE = 5,        /* say that it was done */
};

/* Phases of a record: what began, what came of it. */
enum phase { PHASE_BEGAN = 0, PHASE_DONE = 1, PHASE_FAILED = 2 };

struct event {
    enum kind kind;
    const char *path;
    const char *new_path;
    uint64_t inode;
    int64_t offset;   /* of a write; size of a truncation; 1 if an open made a file, or a folder was synced */
    const void *data;
    size_t length;
};

struct verdict {
    enum action action;
    int error;
};

int shim_concerns(const char *path);
int shim_is_active(void);
int shim_resolve(int folder, const char *path, char *out, size_t size);
int shim_path_of(int descriptor, char *out, size_t size);
struct verdict shim_judge(enum kind kind, const char *path, const char *new_path);
void shim_record(enum phase phase, const struct event *event);
void shim_die(void) __attribute__((noreturn));

#endif
