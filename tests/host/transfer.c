/* Bytes in and out of files: offsets, holes, ends, vectors, sendfile. */

#include "say.h"

#include <sys/sendfile.h>
#include <sys/uio.h>

static char buffer[64];

static void offsets(void) {
    TITLE("offsets");
    int fd = (int)SAY(open("file", O_RDWR | O_CREAT | O_TRUNC, 0644));
    SAY(write(fd, "0123456789", 10));
    SAY(lseek(fd, 0, SEEK_CUR));
    SAY(read(fd, buffer, 5));
    SAY(lseek(fd, -4, SEEK_END));
    SAY(read(fd, buffer, 10));
    SAY(memcmp(buffer, "6789", 4));
    SAY(read(fd, buffer, 10));
    SAY(lseek(fd, 2, SEEK_SET));
    SAY(lseek(fd, -3, SEEK_CUR));
    SAY(lseek(fd, 0, SEEK_CUR));
    SAY(lseek(fd, 0, 99));
    SAY(lseek(fd, -1, SEEK_SET));
    SAY(lseek(99, 0, SEEK_SET));
    SAY(pread(fd, buffer, 3, 5));
    SAY(memcmp(buffer, "567", 3));
    SAY(pread(fd, buffer, 3, 50));
    SAY(pread(fd, buffer, 3, -1));
    SAY(pwrite(fd, "AB", 2, 4));
    SAY(pwrite(fd, "AB", 2, -1));
    SAY(lseek(fd, 0, SEEK_CUR));
    SAY(read(fd, buffer, 0));
    SAY(write(fd, buffer, 0));
    SAY(close(fd));
    show("file");
}

static void holes(void) {
    struct stat status;
    TITLE("holes");
    int fd = (int)SAY(open("holes", O_RDWR | O_CREAT | O_TRUNC, 0644));
    SAY(lseek(fd, 20, SEEK_SET));
    SAY(fstat(fd, &status) == 0 ? status.st_size : -2);
    SAY(write(fd, "end", 3));
    SAY(pread(fd, buffer, 30, 0));
    SAY(buffer[0] == 0 && buffer[19] == 0 && buffer[20] == 'e');
    SAY(pwrite(fd, "far", 3, 10000));
    SAY(fstat(fd, &status) == 0 ? status.st_size : -2);
    SAY(pread(fd, buffer, 8, 4092));
    SAY(buffer[0] == 0 && buffer[7] == 0);
    SAY(close(fd));
    show("holes");
}

static void appending(void) {
    TITLE("append");
    fill("log", "start,");
    int a = (int)SAY(open("log", O_WRONLY | O_APPEND));
    int b = (int)SAY(open("log", O_RDWR | O_APPEND));
    SAY(write(a, "a1,", 3));
    SAY(write(b, "b1,", 3));
    SAY(write(a, "a2,", 3));
    SAY(lseek(a, 0, SEEK_SET));
    SAY(write(a, "a3,", 3));
    SAY(lseek(a, 0, SEEK_CUR));
    SAY(lseek(b, 0, SEEK_SET));
    SAY(read(b, buffer, 6));
    SAY(pwrite(b, "XX", 2, 0));
    SAY(fcntl(a, F_SETFL, 0));
    SAY(lseek(a, 0, SEEK_SET));
    SAY(write(a, "S", 1));
    close(a);
    close(b);
    show("log");
}

static void lengths(void) {
    TITLE("truncate");
    fill("cut", "0123456789");
    int fd = (int)SAY(open("cut", O_RDWR));
    SAY(lseek(fd, 8, SEEK_SET));
    SAY(ftruncate(fd, 4));
    SAY(lseek(fd, 0, SEEK_CUR));
    SAY(read(fd, buffer, 4));
    SAY(write(fd, "z", 1));
    show("cut");
    SAY(ftruncate(fd, 12));
    show("cut");
    SAY(ftruncate(fd, -1));
    close(fd);
    fd = (int)SAY(open("cut", O_RDONLY));
    SAY(ftruncate(fd, 1));
    close(fd);
    SAY(ftruncate(99, 1));
    SAY(truncate("cut", 2));
    show("cut");
    SAY(truncate("cut", -5));
    SAY(truncate("absent", 0));
    SAY(truncate(".", 0));
    SAY(truncate("cut/x", 0));
    SAY(truncate(BAD, 0));
    SAY(truncate("", 0));
}

static void vectors(void) {
    char one[3], two[5];
    struct iovec out[] = {{"ab", 2}, {"", 0}, {"cdef", 4}};
    struct iovec in[] = {{one, 3}, {two, 5}}, wrong[] = {{one, 1}, {BAD, 1}}, first[] = {{BAD, 1}};
    struct iovec huge[] = {{one, -1ul}}, both[] = {{one, 1ul << 62}, {two, 1ul << 62}};
    TITLE("readv, writev");
    int fd = (int)SAY(open("vectors", O_RDWR | O_CREAT | O_TRUNC, 0644));
    SAY(writev(fd, out, 3));
    SAY(lseek(fd, 0, SEEK_SET));
    SAY(readv(fd, in, 2));
    SAY(memcmp(one, "abc", 3) == 0 && memcmp(two, "def", 3) == 0);
    SAY(readv(fd, in, 2));
    SAY(writev(fd, out, 0));
    SAY(writev(fd, out, -1));
    SAY(writev(fd, out, 1025));
    SAY(writev(fd, BAD, 1));
    SAY(writev(fd, first, 1));
    SAY(writev(fd, wrong, 2));
    SAY(writev(fd, huge, 1));
    SAY(both[0].iov_len == both[1].iov_len);
    SAY(writev(99, out, 1));
    close(fd);
    show("vectors");
}

static void between_files(void) {
    off_t offset = 2;
    TITLE("sendfile");
    fill("from", "0123456789");
    int from = (int)SAY(open("from", O_RDONLY)),
        to = (int)SAY(open("to", O_WRONLY | O_CREAT, 0644));
    SAY(sendfile(to, from, NULL, 4));
    SAY(lseek(from, 0, SEEK_CUR));
    SAY(sendfile(to, from, &offset, 3));
    SAY(offset);
    SAY(lseek(from, 0, SEEK_CUR));
    SAY(sendfile(to, from, NULL, 100));
    SAY(sendfile(to, from, NULL, 100));
    SAY(sendfile(from, from, NULL, 1));
    SAY(sendfile(to, to, NULL, 1));
    SAY(sendfile(99, from, NULL, 1));
    SAY(sendfile(to, 99, NULL, 1));
    SAY(sendfile(to, from, BAD, 1));
    offset = -1;
    SAY(sendfile(to, from, &offset, 1));
    close(from);
    close(to);
    show("to");
}

static void bad_memory(void) {
    TITLE("bad memory");
    int fd = (int)SAY(open("file", O_RDWR));
    SAY(read(fd, BAD, 5));
    SAY(write(fd, BAD, 5));
    SAY(lseek(fd, 0, SEEK_CUR));
    SAY(pread(fd, BAD, 5, 0));
    SAY(read(fd, (void *)(1ul << 63), 5));
    SAY(read(fd, BAD, 0));
    SAY(read(99, buffer, 5));
    SAY(write(99, buffer, 5));
    SAY(pread(99, buffer, 5, 0));
    close(fd);
    fd = (int)SAY(open("/dev/null", O_RDWR));
    SAY(write(fd, "gone", 4));
    SAY(read(fd, buffer, 4));
    close(fd);
    fd = (int)SAY(open("/dev/zero", O_RDWR));
    SAY(read(fd, buffer, 4));
    SAY(buffer[0] | buffer[3]);
    close(fd);
    fd = (int)SAY(open("/dev/full", O_RDWR));
    SAY(write(fd, "full", 4));
    close(fd);
}

static void shared_offset(void) {
    TITLE("one offset for all that dup made");
    int fd = (int)SAY(open("file", O_RDONLY)), other = (int)SAY(dup(fd));
    SAY(read(fd, buffer, 3));
    SAY(lseek(other, 0, SEEK_CUR));
    SAY(lseek(other, 1, SEEK_SET));
    SAY(lseek(fd, 0, SEEK_CUR));
    int again = (int)SAY(open("file", O_RDONLY));
    SAY(lseek(again, 0, SEEK_CUR));
    SAY(unlink("file"));
    SAY(read(fd, buffer, 4));
    SAY(open("file", O_RDONLY));
}

int main(void) {
    offsets();
    holes();
    appending();
    lengths();
    vectors();
    between_files();
    bad_memory();
    shared_offset();
    return 0;
}
