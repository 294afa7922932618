/* memfd_create and seals: what a file without a name is, and what nobody may do with it any more. */
#include "p_native.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PAGE 4096ul
#define RW (PROT_READ | PROT_WRITE)
#define NOWHERE ((void *)(1ul << 46))
#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#define F_GET_SEALS 1034
#endif
#define SEAL 1
#define SHRINK 2
#define GROW 4
#define WRITE 8
#define FUTURE_WRITE 16
#define EXEC 32
#define ALLOW 2
#define NOEXEC 8
#define EXECUTABLE 16
#define KEEP_SIZE 1
#define PUNCH 2

static char bytes[20 * PAGE];

/* glibc has had it since 2.27, and musl since 1.1.20; an old one is no reason not to test. */
static int make(const char *name, unsigned flags) {
    return (int)syscall(SYS_memfd_create, name, flags);
}

static int seal(int fd, int seals) { return fcntl(fd, F_ADD_SEALS, seals); }
static int seals(int fd) { return fcntl(fd, F_GET_SEALS); }

static int again(int fd, int flags) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, flags);
}

static int maps(int fd, int prot, int flags) {
    char *at = mmap(NULL, PAGE, prot, flags, fd, 0);
    if (at == MAP_FAILED) return -1;
    return munmap(at, PAGE);
}

static void status(const char *what, int fd) {
    struct stat now;
    fstat(fd, &now);
    say("%s: mode %o, links %d, mine %d, %ld bytes\n", what, now.st_mode, (int)now.st_nlink,
        now.st_uid == getuid() && now.st_gid == getgid(), (long)now.st_size);
}

static void making(void) {
    char name[300];
    int fd = make("plain", 0);
    status("plain", fd);
    TRY(seals(fd));
    TRY(seal(fd, WRITE));
    TRY(seal(fd, 64));
    TRY(fcntl(fd, F_GETFD));
    say("flags %x\n", fcntl(fd, F_GETFL));
    close(fd);
    fd = make("closed on exec", 1);
    TRY(fcntl(fd, F_GETFD));
    close(fd);
    memset(name, 'n', sizeof name);
    name[249] = 0;
    TRY(make(name, 0));
    close(3);
    name[249] = 'n', name[250] = 0;
    TRY(make(name, 0));
    TRY(make("", 0));
    close(3);
    TRY(make("x", 0x20));
    TRY(make("x", EXECUTABLE | NOEXEC));
    TRY(make("x", 0x80000000));
    TRY(make(NOWHERE, 0));
    TRY(make(NULL, 0));
    TRY(make(NOWHERE, 0x20));
    int umask_before = umask(077);
    fd = make("x", EXECUTABLE);
    status("executable", fd);
    TRY(seals(fd));
    close(fd);
    fd = make("x", NOEXEC);
    status("not executable", fd);
    TRY(seals(fd));
    TRY(fchmod(fd, 0777));
    TRY(fchmod(fd, 0601));
    TRY(fchmod(fd, 0600));
    status("after chmod", fd);
    close(fd);
    umask(umask_before);
}

/* The same file through several names of it, and its name where a mapping is listed. */
static void names(void) {
    char path[64], target[300] = "", line[512];
    int fd = make("a name/with a slash", ALLOW);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    TRY(readlink(path, target, sizeof target - 1));
    say("%s\n", target);
    TRY(ftruncate(fd, 3 * PAGE));
    char *at = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, PAGE);
    FILE *file = fopen("/proc/self/maps", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strstr(line, "/memfd:") != NULL)
            say("%.14s %s", strchr(line, ' '), strchr(line, '/'));
    if (file != NULL) fclose(file);
    int other = again(fd, O_RDONLY);
    at[0] = 'm';
    TRY(pread(other, line, 1, PAGE));
    say("seen: %c\n", line[0]);
    TRY(write(other, "x", 1));
    TRY(ftruncate(other, 0));
    TRY(seal(other, WRITE));
    TRY(seals(other));
    TRY(linkat(AT_FDCWD, path, AT_FDCWD, "/tmp/p_memfd.tmp", AT_SYMLINK_FOLLOW) == -1);
    close(fd);
    close(other);
    say("closed: %c\n", at[0]);
    at[PAGE] = 'n';
    if (fork() == 0) _exit(at[PAGE] != 'n');
    int ended;
    wait(&ended);
    say("in a child: %d\n", ended);
    TRY(madvise(at, PAGE, MADV_REMOVE));
    say("a hole: %d\n", at[0]);
    munmap(at, 2 * PAGE);
}

static void sizes(void) {
    int fd = make("sizes", ALLOW);
    TRY(write(fd, bytes, 5000));
    TRY(seal(fd, GROW));
    TRY(pwrite(fd, bytes, 5000, 0));
    TRY(pwrite(fd, bytes, 5001, 0));
    TRY(pwrite(fd, bytes, 5 * PAGE, 0));
    TRY(pwrite(fd, bytes, 5 * PAGE, 4000));
    TRY(pwrite(fd, bytes, 5 * PAGE, 4900));
    TRY(pwrite(fd, bytes, 1, 5000));
    TRY(pwrite(fd, bytes, 0, 6000));
    TRY(write(fd, bytes, 1));
    TRY(ftruncate(fd, 5001));
    TRY(fallocate(fd, 0, 0, 5000));
    TRY(fallocate(fd, 0, 0, 5001));
    TRY(fallocate(fd, KEEP_SIZE, 0, 5001));
    TRY(ftruncate(fd, 5000));
    TRY(ftruncate(fd, 10));
    TRY(ftruncate(fd, 5000));
    TRY(seal(fd, SHRINK));
    TRY(ftruncate(fd, 9));
    TRY(close(again(fd, O_RDWR | O_TRUNC)));
    TRY(ftruncate(fd, 10));
    TRY(seals(fd));
    close(fd);
    fd = make("shrink", ALLOW);
    TRY(ftruncate(fd, 2 * PAGE));
    TRY(seal(fd, SHRINK));
    TRY(ftruncate(fd, 3 * PAGE));
    TRY(ftruncate(fd, PAGE));
    TRY(again(fd, O_RDWR | O_TRUNC));
    TRY(pwrite(fd, bytes, 4 * PAGE, 0));
    TRY(fallocate(fd, 0, 0, 5 * PAGE));
    status("grown", fd);
    close(fd);
}

static void writing(void) {
    int fd = make("writing", ALLOW);
    TRY(ftruncate(fd, 2 * PAGE));
    char *at = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
    TRY(seal(fd, WRITE));
    TRY(mprotect(at, PAGE, PROT_READ));
    TRY(seal(fd, WRITE));
    munmap(at, PAGE);
    at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    TRY(seal(fd, WRITE));
    munmap(at, PAGE);
    int reads = again(fd, O_RDONLY);
    at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, reads, 0);
    char *own = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
    TRY(seal(fd, WRITE));
    own[0] = 'o';
    say("private: %c %d\n", own[0], at[0]);
    TRY(seal(fd, WRITE));
    TRY(maps(fd, RW, MAP_SHARED));
    TRY(maps(fd, PROT_WRITE, MAP_SHARED));
    TRY(maps(fd, RW, MAP_PRIVATE));
    TRY(maps(reads, RW, MAP_SHARED));
    TRY(pwrite(fd, "x", 1, 0));
    TRY(pwrite(fd, "x", 0, 0));
    TRY(pwrite(fd, NOWHERE, 1, 0));
    TRY(fallocate(fd, KEEP_SIZE | PUNCH, 0, PAGE));
    TRY(fallocate(fd, 0, 0, PAGE));
    TRY(ftruncate(fd, 3 * PAGE));
    TRY(ftruncate(fd, PAGE));
    int writes = again(fd, O_RDWR);
    TRY(write(writes, "x", 1));
    TRY(seal(fd, SEAL));
    TRY(seal(fd, GROW));
    TRY(seal(fd, 0));
    TRY(seal(fd, 64));
    TRY(seals(reads));
    close(fd), close(reads), close(writes);
    munmap(at, PAGE), munmap(own, PAGE);
}

static void future_writing(void) {
    int fd = make("future", ALLOW);
    TRY(ftruncate(fd, 2 * PAGE));
    char *at = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
    TRY(seal(fd, FUTURE_WRITE));
    at[0] = 'f';
    TRY(pwrite(fd, "x", 1, 0));
    TRY(maps(fd, RW, MAP_SHARED));
    char *late = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    say("seen: %d\n", late == MAP_FAILED ? -errno : late[0]);
    TRY(mprotect(late, PAGE, RW));
    TRY(mprotect(at, PAGE, PROT_READ));
    TRY(mprotect(at, PAGE, RW));
    at[0] = 'g';
    say("seen: %c\n", late[0]);
    TRY(madvise(at, PAGE, MADV_REMOVE));
    TRY(madvise(late, PAGE, MADV_REMOVE));
    TRY(fallocate(fd, KEEP_SIZE | PUNCH, 0, PAGE));
    TRY(seal(fd, WRITE));
    TRY(munmap(at, 2 * PAGE));
    TRY(seal(fd, WRITE));
    TRY(seals(fd));
    TRY(ftruncate(fd, 0));
    munmap(late, PAGE);
    close(fd);
}

static void executing(void) {
    int fd = make("program", ALLOW | EXECUTABLE);
    TRY(write(fd, bytes, 100));
    char *at = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
    TRY(seal(fd, EXEC));
    TRY(seals(fd));
    munmap(at, PAGE);
    TRY(seal(fd, EXEC));
    TRY(seals(fd));
    TRY(fchmod(fd, 0666));
    TRY(fchmod(fd, 0755));
    TRY(fchmod(fd, 0711));
    TRY(fchmod(fd, 0111));
    close(fd);
    fd = make("data", ALLOW);
    TRY(fchmod(fd, 0600));
    TRY(seal(fd, EXEC));
    TRY(seals(fd));
    TRY(fchmod(fd, 0700));
    TRY(fchmod(fd, 0644));
    close(fd);
}

/* A copy of this program that has no name. */
static void running(int flags) {
    char path[64];
    int fd = make("runs", flags), self = open("/proc/self/exe", O_RDONLY);
    for (long got; (got = read(self, bytes, sizeof bytes)) > 0;)
        if (write(fd, bytes, got) != got) _exit(97);
    close(self);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fork() == 0) {
        execl(path, "p_memfd", "child", NULL);
        _exit(errno);
    }
    int ended;
    wait(&ended);
    say("run with %x: %d\n", flags, WEXITSTATUS(ended));
    close(fd);
}

/* What is no memfd: a file with a name has one seal, others have none. */
static void others(void) {
    int ends[2], file = open("/dev/shm/p_memfd.tmp", O_RDWR | O_CREAT, 0600);
    int fd = make("path", ALLOW), path = again(fd, O_PATH), folder = open("/dev/shm", O_RDONLY);
    if (pipe(ends) != 0) _exit(98);
    TRY(seals(file));
    TRY(seal(file, WRITE));
    TRY(seal(file, 0));
    unlink("/dev/shm/p_memfd.tmp");
    TRY(seals(ends[0]));
    TRY(seal(ends[0], WRITE));
    TRY(seal(ends[1], WRITE));
    TRY(seals(folder));
    TRY(seal(folder, WRITE));
    TRY(seals(path));
    TRY(seal(path, WRITE));
    TRY(seals(999));
    TRY(fallocate(path, 0, 0, 1));
    TRY(fallocate(ends[1], 0, 0, 1));
    TRY(fallocate(ends[0], 0, 0, 1));
    close(file), close(fd), close(path), close(folder), close(ends[0]), close(ends[1]);
}

static void show(const char *what, int fd) {
    long got = pread(fd, bytes, 3 * PAGE, 0);
    say("%s: %ld bytes, %d %d %d %d %d %d %d\n", what, got, bytes[0], bytes[PAGE - 1], bytes[PAGE],
        bytes[PAGE + 99], bytes[2 * PAGE - 1], bytes[2 * PAGE], bytes[2 * PAGE + 99]);
}

static void holes(void) {
    int fd = make("holes", 0);
    memset(bytes, 7, 3 * PAGE);
    TRY(write(fd, bytes, 2 * PAGE + 100));
    char *at = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, fd, 0);
    char *own = mmap(NULL, 3 * PAGE, RW, MAP_PRIVATE, fd, 0);
    own[PAGE] = 8;
    TRY(fallocate(fd, KEEP_SIZE | PUNCH, PAGE - 1, 100));
    show("across an edge", fd);
    TRY(fallocate(fd, KEEP_SIZE | PUNCH, 10, 20));
    say("within a page: %d %d %d %d\n", at[9], at[10], at[29], at[30]);
    TRY(fallocate(fd, KEEP_SIZE | PUNCH, PAGE, PAGE));
    show("a page", fd);
    say("mapped: %d %d, private %d %d\n", at[PAGE + 99], at[2 * PAGE], own[PAGE], own[PAGE + 99]);
    TRY(fallocate(fd, KEEP_SIZE | PUNCH, 2 * PAGE + 50, 100 * PAGE));
    show("past the end", fd);
    TRY(fallocate(fd, KEEP_SIZE | PUNCH, 50 * PAGE, PAGE));
    TRY(fallocate(fd, KEEP_SIZE, 0, 10 * PAGE));
    show("kept", fd);
    TRY(fallocate(fd, PUNCH, 0, PAGE));
    TRY(fallocate(fd, 0x10, 0, PAGE));
    TRY(fallocate(fd, KEEP_SIZE | 0x10, 0, PAGE));
    TRY(fallocate(fd, 0x200, 0, PAGE));
    TRY(fallocate(fd, 0, -1, PAGE));
    TRY(fallocate(fd, 0, 0, 0));
    TRY(fallocate(fd, 0, 0, 10 * PAGE));
    status("grown", fd);
    close(fd);
    munmap(at, 3 * PAGE), munmap(own, 3 * PAGE);
}

int main(int count, char **words) {
    if (count > 1) {
        say("%s, from memory, %d\n", words[1], (int)count);
        return 7;
    }
    making();
    names();
    sizes();
    writing();
    future_writing();
    executing();
    running(0);
    running(EXECUTABLE);
    running(NOEXEC);
    others();
    holes();
    return 0;
}
