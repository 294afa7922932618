/* Bytes to and from memory that is not all there: what moves, what stays, what is lost. */

#define _GNU_SOURCE
#include "say.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>

enum { PAGE = 4096 };

static char text[6 * PAGE], other[6 * PAGE];
/* Two pages that can be read and stored to, one that can only be read, one that is not there. */
static char *memory;

static char *before_hole(int bytes) { return memory + 3 * PAGE - bytes; }
static char *before_read_only(int bytes) { return memory + 2 * PAGE - bytes; }

static void setup(void) {
    memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 3 * PAGE; i++) memory[i] = (char)('a' + i % 26);
    mprotect(memory + 2 * PAGE, PAGE, PROT_READ);
    munmap(memory + 3 * PAGE, PAGE);
    for (int i = 0; i < (int)sizeof text; i++) text[i] = (char)('A' + i % 23);
}

static void clear(void) { memset(memory, '.', 2 * PAGE); }

/* How many bytes a descriptor still has. */
static void left(int fd) {
    int count = -1;
    ioctl(fd, FIONREAD, &count);
    printf("left: %d\n", count);
}

static void drain(int fd) {
    ssize_t length;
    long sum = 0, total = 0;
    while ((length = read(fd, other, sizeof other)) > 0) {
        total += length;
        for (ssize_t i = 0; i < length; i++) sum = sum * 31 + other[i];
    }
    printf("drained: %ld, %ld\n", total, sum);
}

static void files(void) {
    TITLE("files");
    int fd = (int)SAY(open("file", O_RDWR | O_CREAT | O_TRUNC, 0644));
    SAY(write(fd, text, 3 * PAGE));
    clear();
    SAY(lseek(fd, 0, SEEK_SET));
    SAY(read(fd, BAD, 10));
    SAY(lseek(fd, 0, SEEK_CUR));
    SAY(read(fd, before_read_only(10), 20));
    SAY(lseek(fd, 0, SEEK_CUR));
    SAY(memcmp(before_read_only(10), text, 10));
    SAY(read(fd, before_read_only(PAGE + 7), 3 * PAGE));
    SAY(lseek(fd, 0, SEEK_CUR));
    SAY(pread(fd, before_read_only(9), PAGE, 100));
    SAY(pread(fd, BAD, 4, 10 * PAGE));
    SAY(pread(fd, BAD, 0, 0));
    SAY(read(fd, (void *)-1L, 10));
    SAY(lseek(fd, 0, SEEK_SET));
    SAY(write(fd, before_hole(12), 50));
    SAY(lseek(fd, 0, SEEK_CUR));
    SAY(write(fd, BAD, 5));
    SAY(pwrite(fd, before_hole(6), 9, 100));
    SAY(pwrite(fd, BAD, 5, 0));
    SAY(write(fd, BAD, 0));
    SAY(write(fd, (void *)-1L, 1));
    struct iovec in[3] = {{other, 5}, {before_read_only(4), 9}, {other + 50, 7}};
    SAY(lseek(fd, 0, SEEK_SET));
    SAY(readv(fd, in, 3));
    SAY(syscall(SYS_preadv, fd, in, 3, 20L, 0L));
    struct iovec out[3] = {{text, 5}, {before_hole(4), 9}, {text + 50, 7}};
    SAY(writev(fd, out, 3));
    SAY(syscall(SYS_pwritev, fd, out, 3, 5000L, 0L));
    SAY(lseek(fd, 0, SEEK_CUR));
    struct iovec bad[2] = {{BAD, 5}, {text, 5}};
    SAY(readv(fd, bad, 2));
    SAY(writev(fd, bad, 2));
    SAY(readv(fd, BAD, 2));
    SAY(writev(fd, BAD, 2));
    struct iovec high[1] = {{(void *)0x7FFFFFFFF000, 8192}};
    SAY(readv(fd, high, 1));
    SAY(writev(fd, high, 1));
    int log = (int)SAY(open("file", O_WRONLY | O_APPEND));
    SAY(write(log, before_hole(3), 8));
    SAY(lseek(log, 0, SEEK_CUR) == 3 * PAGE + 3);
    close(log);
    close(fd);
}

static void pipes(void) {
    int ends[2];
    TITLE("pipes");
    SAY(pipe2(ends, O_NONBLOCK));
    clear();
    SAY(read(ends[0], BAD, 5));
    SAY(write(ends[1], text, 10));
    SAY(read(ends[0], BAD, 5));
    left(ends[0]);
    SAY(read(ends[0], before_read_only(3), 5));
    left(ends[0]);
    SAY(read(ends[0], before_read_only(10), 50));
    SAY(memcmp(before_read_only(10), text, 10));
    left(ends[0]);
    SAY(write(ends[1], text, 2 * PAGE + 5));
    SAY(read(ends[0], before_read_only(PAGE + 9), 2 * PAGE));
    left(ends[0]);
    SAY(read(ends[0], before_read_only(9), 2 * PAGE));
    left(ends[0]);
    struct iovec in[2] = {{other, 5}, {BAD, 15}};
    SAY(readv(ends[0], in, 2));
    left(ends[0]);
    drain(ends[0]);
    clear();
    SAY(write(ends[1], before_hole(12), 20));
    left(ends[0]);
    SAY(write(ends[1], before_hole(PAGE + 12), 2 * PAGE));
    left(ends[0]);
    SAY(write(ends[1], text, 100));
    SAY(write(ends[1], before_hole(12), 20));
    SAY(write(ends[1], before_hole(PAGE + 12), PAGE + 20));
    left(ends[0]);
    struct iovec out[2] = {{text, 5}, {BAD, 15}};
    SAY(writev(ends[1], out, 2));
    left(ends[0]);
    SAY(write(ends[1], BAD, 0));
    drain(ends[0]);
    close(ends[1]);
    SAY(read(ends[0], BAD, 5));
    close(ends[0]);
}

static void slots(void) {
    int ends[2];
    TITLE("a pipe has slots for pages");
    SAY(pipe2(ends, O_NONBLOCK));
    SAY(fcntl(ends[0], F_GETPIPE_SZ));
    struct pollfd ready = {ends[1], POLLOUT, 0};
    int count = 0;
    while (write(ends[1], text, 3000) == 3000) count++;
    printf("writes of 3000: %d\n", count);
    SAY(write(ends[1], text, 1));
    SAY(write(ends[1], text, 1096));
    SAY(write(ends[1], text, 1095));
    SAY(poll(&ready, 1, 0));
    SAY(read(ends[0], other, 2999));
    SAY(poll(&ready, 1, 0));
    SAY(write(ends[1], text, 3000));
    SAY(read(ends[0], other, 1));
    SAY(poll(&ready, 1, 0));
    SAY(write(ends[1], text, 3000));
    left(ends[0]);
    drain(ends[0]);
    SAY(write(ends[1], text, 5 * PAGE + 1));
    SAY(write(ends[1], text, PAGE));
    SAY(write(ends[1], text, 10));
    left(ends[0]);
    SAY(write(ends[1], text, PAGE - 10));
    left(ends[0]);
    SAY(fcntl(ends[1], F_SETPIPE_SZ, 4 * PAGE));
    SAY(fcntl(ends[1], F_SETPIPE_SZ, 9 * PAGE));
    SAY(fcntl(ends[1], F_SETPIPE_SZ, 0));
    SAY(fcntl(ends[1], F_SETPIPE_SZ, 1 << 30));
    drain(ends[0]);
    SAY(fcntl(ends[1], F_SETPIPE_SZ, 1));
    SAY(fcntl(ends[0], F_GETPIPE_SZ));
    SAY(write(ends[1], text, PAGE - 1));
    SAY(write(ends[1], text, 2));
    SAY(write(ends[1], text, 1));
    SAY(poll(&ready, 1, 0));
    SAY(fcntl(0, F_GETPIPE_SZ));
    close(ends[0]);
    close(ends[1]);
}

static void counters(void) {
    uint64_t value = 3;
    TITLE("counters");
    int fd = (int)SAY(eventfd(7, EFD_NONBLOCK));
    SAY(read(fd, &value, 4));
    SAY(read(fd, BAD, 8));
    SAY(read(fd, &value, 8));
    SAY(write(fd, BAD, 8));
    SAY(write(fd, BAD, 4));
    SAY(write(fd, before_hole(4), 8));
    value = 3;
    SAY(write(fd, &value, 8));
    SAY(read(fd, before_read_only(4), 8));
    SAY(read(fd, &value, 8));
    close(fd);
}

static void devices(void) {
    TITLE("devices");
    int zero = (int)SAY(open("/dev/zero", O_RDWR));
    int null = (int)SAY(open("/dev/null", O_RDWR));
    int full = (int)SAY(open("/dev/full", O_RDWR));
    int random = (int)SAY(open("/dev/urandom", O_RDWR));
    SAY(read(zero, before_read_only(10), 20));
    SAY(read(zero, BAD, 20));
    SAY(read(full, before_read_only(10), 20));
    SAY(read(null, BAD, 20));
    SAY(read(random, before_read_only(10), 20));
    SAY(read(random, BAD, 20));
    SAY(write(zero, BAD, 20));
    SAY(write(null, BAD, 20));
    SAY(write(null, before_hole(2), 20));
    SAY(write(full, BAD, 20));
    SAY(write(random, BAD, 20));
    struct iovec in[2] = {{other, 5}, {BAD, 15}};
    SAY(readv(zero, in, 2));
    SAY(readv(random, in, 2));
    SAY(writev(null, in, 2));
    SAY(syscall(SYS_getrandom, before_read_only(10), 20, 0));
    SAY(syscall(SYS_getrandom, BAD, 20, 0));
    SAY(syscall(SYS_getrandom, other, 1000, 0));
    SAY(pread(zero, other, 20, 5));
    close(zero);
    close(null);
    close(full);
    close(random);
}

static void generated(void) {
    TITLE("files of /proc");
    int fd = (int)SAY(open("/proc/self/comm", O_RDONLY));
    SAY(read(fd, BAD, 4));
    SAY(read(fd, before_read_only(3), 8));
    SAY(lseek(fd, 0, SEEK_CUR));
    SAY(read(fd, other, 50) > 0);
    SAY(read(fd, BAD, 4));
    close(fd);
}

static void entries(void) {
    TITLE("directories");
    mkdir("folder", 0755);
    fill("folder/one", "1");
    fill("folder/two", "2");
    int fd = (int)SAY(open("folder", O_RDONLY | O_DIRECTORY));
    SAY(syscall(SYS_getdents64, fd, BAD, 4096));
    SAY(syscall(SYS_getdents64, fd, before_read_only(50), 4096));
    SAY(syscall(SYS_getdents64, fd, other, 4096) > 24);
    SAY(syscall(SYS_getdents64, fd, BAD, 4096));
    SAY(lseek(fd, 0, SEEK_SET));
    SAY(syscall(SYS_getdents64, fd, other, 10));
    SAY(syscall(SYS_getdents64, fd, other, 24));
    SAY(syscall(SYS_getdents64, fd, other, 24));
    SAY(read(fd, other, 10));
    SAY(read(fd, BAD, 10));
    close(fd);
}

static void sending(void) {
    int ends[2];
    off_t at = 5;
    TITLE("sendfile");
    int fd = (int)SAY(open("source", O_RDWR | O_CREAT | O_TRUNC, 0644));
    int to = (int)SAY(open("target", O_RDWR | O_CREAT | O_TRUNC, 0644));
    SAY(write(fd, text, 5 * PAGE));
    SAY(sendfile(to, fd, BAD, 10));
    static const off_t fixed = 0;
    SAY(sendfile(to, fd, (off_t *)&fixed, 10));
    SAY(sendfile(to, fd, &at, 10));
    SAY(at);
    SAY(lseek(fd, 0, SEEK_SET));
    SAY(sendfile(to, fd, NULL, 3 * PAGE));
    SAY(lseek(fd, 0, SEEK_CUR));
    SAY(sendfile(to, fd, NULL, 9 * PAGE));
    SAY(sendfile(to, fd, NULL, 9 * PAGE));
    SAY(pipe2(ends, O_NONBLOCK));
    while (write(ends[1], text, PAGE) == PAGE) {}
    read(ends[0], other, 2 * PAGE);
    at = PAGE;
    SAY(sendfile(ends[1], fd, &at, 4 * PAGE) > 0);
    SAY(sendfile(ends[1], fd, &at, 4 * PAGE));
    drain(ends[0]);
    close(fd);
    close(to);
}

static void large(void) {
    enum { LARGE = 3 << 20 };
    int ends[2];
    off_t at = 0;
    TITLE("more than a chunk");
    char *much = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < LARGE; i += 512) much[i] = (char)(i >> 9);
    int fd = (int)SAY(open("large", O_RDWR | O_CREAT | O_TRUNC, 0644));
    SAY(write(fd, much, LARGE));
    SAY(lseek(fd, 0, SEEK_SET));
    memset(much, 0, LARGE);
    SAY(read(fd, much, LARGE));
    SAY(much[2 << 20] == 0 && much[LARGE - 512] == (char)((LARGE - 512) >> 9));
    SAY(pread(fd, much, LARGE, 1 << 20));
    SAY(pwrite(fd, much, LARGE, 5));
    struct iovec parts[3] = {{much, 1 << 20}, {much + (1 << 20), 1000}, {much + (2 << 20), 1 << 20}};
    SAY(syscall(SYS_preadv, fd, parts, 3, 0L, 0L));
    SAY(syscall(SYS_pwritev, fd, parts, 3, 0L, 0L));
    int to = (int)SAY(open("copy", O_RDWR | O_CREAT | O_TRUNC | O_NONBLOCK, 0644));
    SAY(sendfile(to, fd, &at, LARGE));
    SAY(at);
    SAY(write(to, much, LARGE));
    munmap(much + (2 << 20), PAGE);
    SAY(pread(fd, much, LARGE, 0));
    SAY(pwrite(fd, much, LARGE, 0));
    int zero = open("/dev/zero", O_RDWR);
    SAY(read(zero, much, 2 << 20));
    SAY(write(zero, much, LARGE));
    SAY(pipe2(ends, O_NONBLOCK));
    SAY(write(ends[1], much, 2 << 20));
    close(fd);
    close(to);
    unlink("large");
    unlink("copy");
}

int main(void) {
    setup();
    files();
    pipes();
    slots();
    counters();
    devices();
    generated();
    entries();
    sending();
    large();
    return 0;
}
