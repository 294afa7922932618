/* Where a path ends: below what is no directory, at files without a name, at a program in use. */

#define _GNU_SOURCE
#include "say.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>

static struct stat status;
static char text[65536];

static void below(const char *name, int fd) {
    printf("below %s\n", name);
    SAY(openat(fd, "a", O_RDONLY));
    SAY(openat(fd, "a/../b", O_RDONLY));
    SAY(openat(fd, ".", O_RDONLY));
    SAY(openat(fd, "..", O_RDONLY));
    SAY(openat(fd, "a", O_RDWR | O_CREAT, 0600));
    SAY(fstatat(fd, "a", &status, 0));
    SAY(mkdirat(fd, "a", 0700));
    SAY(unlinkat(fd, "a", 0));
    SAY(faccessat(fd, "a", F_OK, 0));
    SAY(readlinkat(fd, "a", text, 9));
    SAY(symlinkat("x", fd, "a"));
    SAY(fchdir(fd));
}

static void no_directories(void) {
    int ends[2];
    TITLE("no directories");
    pipe(ends);
    below("a pipe", ends[0]);
    below("its other end", ends[1]);
    below("/dev/null", open("/dev/null", O_RDWR));
    below("a counter", eventfd(0, 0));
    below("a file of /proc", open("/proc/meminfo", O_RDONLY));
    SAY(open("/dev/null/", O_RDONLY));
    SAY(open("/dev/null/x", O_RDONLY));
    SAY(stat("/dev/zero/", &status));
    SAY(stat("/proc/", &status));
    SAY(stat("/proc/meminfo/", &status));
    SAY(open("/proc/self/comm/x", O_RDONLY));
}

static void without_a_name(void) {
    char link[64];
    TITLE("files without a name");
    int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600), exclusive = open("/tmp", O_TMPFILE | O_EXCL | O_RDWR, 0600);
    SAY(write(fd, "text", 4));
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    SAY(stat(link, &status));
    SAY(unlink("/tmp/ends.given"));
    SAY(linkat(AT_FDCWD, link, AT_FDCWD, "/tmp/ends.given", AT_SYMLINK_FOLLOW));
    SAY(linkat(AT_FDCWD, link, AT_FDCWD, "/tmp/ends.given", AT_SYMLINK_FOLLOW));
    show("/tmp/ends.given");
    SAY(unlink("/tmp/ends.given"));
    snprintf(link, sizeof link, "/proc/self/fd/%d", exclusive);
    SAY(linkat(AT_FDCWD, link, AT_FDCWD, "/tmp/ends.given", AT_SYMLINK_FOLLOW));
}

static void zeroes(void) {
    TITLE("/dev/zero as memory");
    int fd = open("/dev/zero", O_RDWR), only = open("/dev/zero", O_RDONLY);
    void *seen = mmap(NULL, 4096, PROT_READ, MAP_SHARED, only, 0);
    SAY(mprotect(seen, 4096, PROT_READ | PROT_WRITE));
    SAY(munmap(seen, 4096));
    char *shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *other = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *own = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, only, 4096);
    SAY(shared[5000] == 0 && own[5000] == 0);
    if (!fork()) {
        shared[5000] = own[5000] = 1;
        _exit(0);
    }
    wait(NULL);
    SAY(shared[5000] == 1 && other[5000] == 0 && own[5000] == 0);
    SAY(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, only, 0) == MAP_FAILED);
    SAY(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, open("/dev/null", O_RDONLY), 0) == MAP_FAILED);
}

static void in_use(const char *self) {
    char *arguments[] = {"./copy", "busy", NULL};
    ssize_t length;
    TITLE("a program in use");
    int in = open(self, O_RDONLY), out = open("copy", O_RDWR | O_CREAT | O_TRUNC, 0700);
    while ((length = read(in, text, sizeof text)) > 0) write(out, text, (size_t)length);
    SAY(execv("./copy", arguments));
    close(out);
    fflush(stdout);
    if (!fork()) {
        execv("./copy", arguments);
        _exit(1);
    }
    int end;
    wait(&end);
    SAY(end);
    SAY(open("copy", O_RDWR) > 0);
}

int main(int count, char **words) {
    if (count > 1) {
        SAY(open(words[0], O_WRONLY));
        SAY(open(words[0], O_RDONLY | O_TRUNC));
        SAY(truncate(words[0], 5));
        SAY(open(words[0], O_RDONLY) > 0);
        return 0;
    }
    no_directories();
    without_a_name();
    zeroes();
    in_use("/proc/self/exe");
    return 0;
}
