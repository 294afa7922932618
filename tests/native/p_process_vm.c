/* process_vm_readv and process_vm_writev: what they move, where they stop, and whom they refuse. */
#include "p_native.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>

#define PAGE 4096ul
#define RW (PROT_READ | PROT_WRITE)
#define NOWHERE ((void *)8)
#define ABOVE ((void *)0xffff800000000000)

static char *ours, *theirs; /* four pages each; the third of `theirs` is missing */

static struct iovec part(void *base, size_t bytes) { return (struct iovec){base, bytes}; }

static void clear(void) { memset(ours, '.', 4 * PAGE); }

static void show(const char *what, const char *at, int bytes) {
    say("%s: %.*s\n", what, bytes, at);
}

static void arguments(void) {
    struct iovec one = part(ours, 5), other = part(theirs, 11);
    struct iovec negative = part(ours, -1ul), above = part(ABOVE, 4), none = part(ours, 0);
    struct iovec nothing_above = part(ABOVE, 0);
    pid_t me = getpid();
    TRY(process_vm_readv(me, &one, 1, &other, 1, 0));
    show("five bytes", ours, 6);
    TRY(process_vm_readv(me, &one, 1, &other, 1, 1));
    TRY(process_vm_readv(me, &one, 1025, &other, 1, 0));
    TRY(process_vm_readv(me, &one, 1, &other, 1025, 0));
    TRY(process_vm_readv(me, &one, 0, &other, 1025, 0));
    TRY(process_vm_readv(me, &none, 1, NOWHERE, 1, 0));
    TRY(process_vm_readv(me, &one, 1, &other, 0, 0));
    TRY(process_vm_readv(me, &one, 1, &none, 1, 0));
    TRY(process_vm_readv(me, &one, -1, &other, 1, 0));
    TRY(process_vm_readv(0, &one, 1, &other, 1, 0));
    TRY(process_vm_readv(-1, &one, 1, &other, 1, 0));
    TRY(process_vm_readv(9999999, &one, 1, &other, 1, 0));
    TRY(process_vm_readv(9999999, &one, 1, &none, 1, 0));
    TRY(process_vm_readv(9999999, &one, 1, NOWHERE, 1, 0));
    TRY(process_vm_readv(me, NOWHERE, 1, &other, 1, 0));
    TRY(process_vm_readv(me, &one, 1, NOWHERE, 1, 0));
    TRY(process_vm_readv(me, NULL, 0, NULL, 0, 0));
    TRY(process_vm_readv(me, &negative, 1, &other, 1, 0));
    TRY(process_vm_readv(me, &one, 1, &negative, 1, 0));
    TRY(process_vm_readv(me, &above, 1, &other, 1, 0));
    TRY(process_vm_readv(me, &one, 1, &above, 1, 0));
    TRY(process_vm_readv(me, &nothing_above, 1, &other, 1, 0));
    TRY(process_vm_writev(me, &one, 1, &other, 1, 2));
    TRY(process_vm_writev(9999999, &one, 1, &other, 1, 0));
}

/* Where a transfer ends: at the first bad page of either side. */
static void partial(pid_t pid) {
    struct iovec all = part(ours, 4 * PAGE), hole = part(theirs + 100, 3 * PAGE);
    TRY(process_vm_readv(pid, &all, 1, &hole, 1, 0));
    struct iovec two[] = {part(ours, 10), part(ours + 100, 4 * PAGE - 100)};
    struct iovec three[] = {part(theirs, 100), part(theirs + 2 * PAGE, 10), part(theirs, 100)};
    TRY(process_vm_readv(pid, two, 2, three, 3, 0));
    struct iovec bad = part(theirs + 2 * PAGE, 10), good = part(theirs, 100);
    TRY(process_vm_readv(pid, &all, 1, &bad, 1, 0));
    TRY(process_vm_writev(pid, &all, 1, &bad, 1, 0));
    struct iovec edge[] = {part(ours + 4 * PAGE - 50, 100), part(ours, 100)};
    TRY(process_vm_readv(pid, edge, 2, three, 1, 0));
    TRY(process_vm_writev(pid, edge, 2, &good, 1, 0));
    struct iovec end = part(theirs + 2 * PAGE - 50, 100);
    TRY(process_vm_writev(pid, &all, 1, &end, 1, 0));
    struct iovec gone = part(NOWHERE, 100);
    TRY(process_vm_readv(pid, &gone, 1, &good, 1, 0));
    TRY(process_vm_writev(pid, &gone, 1, &good, 1, 0));
    struct iovec skipped[] = {part(theirs, 0), part(theirs, 3), part(NOWHERE, 0), part(theirs, 4)};
    TRY(process_vm_readv(pid, &all, 1, skipped, 4, 0));
}

/* What may be read and stored to: what the region says, not what the processor could do. */
static void rights(void) {
    struct iovec here = part(ours, 10), there = part(theirs, 10);
    int kinds[] = {PROT_NONE, PROT_READ, PROT_WRITE, PROT_EXEC, RW};
    for (int i = 0; i < 5; i++) {
        mprotect(theirs, PAGE, kinds[i]);
        errno = 0;
        long read = process_vm_readv(getpid(), &here, 1, &there, 1, 0);
        say("rights %d: read %ld, errno %d\n", kinds[i], read, errno);
        errno = 0;
        long written = process_vm_writev(getpid(), &here, 1, &there, 1, 0);
        say("rights %d: write %ld, errno %d\n", kinds[i], written, errno);
    }
}

/* The pages of a private file mapping, its end, and pages that nobody has touched. */
static void kinds_of_memory(pid_t pid, char *file) {
    struct iovec here = part(ours, 3 * PAGE), there = part(file, 3 * PAGE);
    clear();
    TRY(process_vm_readv(pid, &here, 1, &there, 1, 0));
    show("the file", ours, 4);
    memcpy(ours, "copy", 4);
    here.iov_len = 4;
    TRY(process_vm_writev(pid, &here, 1, &there, 1, 0));
    show("the caller's own page stays", file, 4);
    clear();
    TRY(process_vm_readv(pid, &here, 1, &there, 1, 0));
    show("the other's is its own now", ours, 4);
    struct iovec fresh = part(theirs + 3 * PAGE + 8, 4);
    TRY(process_vm_readv(pid, &here, 1, &fresh, 1, 0));
    say("untouched: %d\n", ours[0]);
}

static void child(int in, int out, char *file) {
    char byte;
    memset(theirs, 'c', 2 * PAGE);
    if (write(out, "r", 1) != 1 || read(in, &byte, 1) != 1) _exit(98);
    show("the child sees", theirs + 2 * PAGE - 54, 8);
    show("the child's file", file, 4);
    prctl(PR_SET_DUMPABLE, 0);
    if (write(out, "r", 1) != 1 || read(in, &byte, 1) != 1) _exit(98);
    _exit(0);
}

static void between_processes(char *file) {
    int to[2], from[2];
    char byte;
    if (pipe(to) != 0 || pipe(from) != 0) _exit(97);
    pid_t pid = fork();
    if (pid == 0) child(to[0], from[1], file);
    if (read(from[0], &byte, 1) != 1) _exit(96);
    memset(ours, 'p', 4 * PAGE);
    partial(pid);
    kinds_of_memory(pid, file);
    struct iovec here = part(ours, 4), there = part(theirs, 4);
    if (write(to[1], "g", 1) != 1 || read(from[0], &byte, 1) != 1) _exit(95);
    TRY(process_vm_readv(pid, &here, 1, &there, 1, 0));
    TRY(process_vm_writev(pid, &here, 1, &there, 1, 0));
    if (write(to[1], "g", 1) != 1) _exit(94);
    siginfo_t ended;
    waitid(P_PID, pid, &ended, WEXITED | WNOWAIT);
    TRY(process_vm_readv(pid, &here, 1, &there, 1, 0));
    wait(NULL);
    TRY(process_vm_readv(pid, &here, 1, &there, 1, 0));
    CHECK(process_vm_readv(1, &here, 1, &there, 1, 0));
}

int main(void) {
    ours = mmap(NULL, 5 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    theirs = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(ours + 4 * PAGE, PAGE);
    munmap(theirs + 2 * PAGE, PAGE);
    memset(theirs, 't', 2 * PAGE);
    clear();
    arguments();
    partial(getpid());
    int fd = open("p_process_vm.tmp", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (write(fd, "file", 4) != 4) _exit(99);
    char *file = mmap(NULL, 3 * PAGE, RW, MAP_PRIVATE, fd, 0);
    between_processes(file);
    rights();
    unlink("p_process_vm.tmp");
    return 0;
}
