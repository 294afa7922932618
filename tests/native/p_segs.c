/* A file of /segs is used as any file is: opened by its mode, read, written, mapped, unlinked.  On
 * Linux the same is done with a file of the same size in the current folder.  What only /segs does,
 * the place of a mapping, is not printed. */
#include "p_native.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PAGE 4096ul
#define PAGES 3
#define RW (PROT_READ | PROT_WRITE)
#define VAS_SEG_CREATE 1341

static char path[64];

/* A new file of 3 pages, mode 0640: a segment, where there are segments. */
static void make(void) {
    if (access("/segs", F_OK) == 0) {
        unsigned long start = 1ul << 44;
        strcpy(path, "/segs/native");
        syscall(VAS_SEG_CREATE, "native", start, start + PAGES * PAGE, 0640);
        return;
    }
    strcpy(path, "native");
    int fd = open(path, O_CREAT | O_RDWR, 0640);
    if (ftruncate(fd, PAGES * PAGE)) _exit(1);
    close(fd);
}

static void status(void) {
    struct stat now;
    TRY(stat(path, &now));
    say("mode %o, %ld bytes, %d links, mine %d\n", now.st_mode, (long)now.st_size,
        (int)now.st_nlink, now.st_uid == getuid());
}

static void opening(void) {
    char deeper[80];
    snprintf(deeper, sizeof deeper, "%s/x", path);
    TRY(access(path, R_OK | W_OK));
    TRY(access(path, X_OK));
    TRY(open(path, O_CREAT | O_EXCL | O_RDWR, 0600));
    TRY(open(path, O_DIRECTORY | O_RDONLY));
    TRY(open(deeper, O_RDONLY));
    TRY(chmod(path, 0400));
    CHECK(close(open(path, O_RDONLY)));
    TRY(open(path, O_RDWR));
    TRY(chmod(path, 0200));
    TRY(open(path, O_RDONLY));
    TRY(chmod(path, 0));
    TRY(open(path, O_WRONLY));
    TRY(access(path, R_OK));
    TRY(chmod(path, 0640));
    TRY(chown(path, 0, -1));
    TRY(rmdir(path));
    TRY(truncate(path, PAGES * PAGE));
    status();
}

static void content(void) {
    char bytes[32];
    int fd = open(path, O_RDWR), reader = open(path, O_RDONLY), writer = open(path, O_WRONLY);
    TRY(pwrite(fd, "hello", 5, PAGE - 2));
    TRY(pread(reader, bytes, 8, PAGE - 3));
    say("%d %.5s %d\n", bytes[0], bytes + 1, bytes[6]);
    TRY(lseek(fd, 0, SEEK_END));
    TRY(read(fd, bytes, 1));
    TRY(pread(fd, bytes, 10, PAGES * PAGE - 3));
    TRY(write(reader, "x", 1));
    TRY(read(writer, bytes, 1));
    TRY(pwrite(fd, NULL, 1, 0));
    TRY(ftruncate(reader, 0));
    TRY(lseek(fd, -1, SEEK_SET));
    TRY(fsync(fd));
    TRY(fdatasync(reader));
    TRY(fcntl(reader, F_GETFL) & O_ACCMODE);
    TRY(lseek(fd, PAGES * PAGE + 5, SEEK_SET));
    TRY(read(fd, bytes, 4));
    TRY(pread(fd, (void *)1, 4, 0));
    TRY(write(fd, NULL, 0));
    close(fd), close(reader), close(writer);
}

static int maps(int fd, int prot, int flags) {
    void *at = mmap(NULL, PAGE, prot, flags, fd, 0);
    return at == MAP_FAILED ? -1 : munmap(at, PAGE);
}

static void mapping(void) {
    int fd = open(path, O_RDWR), reader = open(path, O_RDONLY), writer = open(path, O_WRONLY);
    TRY(maps(reader, PROT_READ, MAP_SHARED));
    TRY(maps(reader, RW, MAP_SHARED));
    TRY(maps(reader, RW, MAP_PRIVATE));
    TRY(maps(writer, PROT_READ, MAP_SHARED));
    TRY(maps(writer, PROT_READ, MAP_PRIVATE));
    TRY(maps(fd, RW, 0));
    char *shown = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, reader, PAGE);
    TRY(mprotect(shown, PAGE, RW));
    munmap(shown, PAGE);
    char *shared = mmap(NULL, PAGES * PAGE, RW, MAP_SHARED, fd, 0), byte;
    close(fd);
    strcpy(shared + PAGE, "stored");
    TRY(pread(reader, &byte, 1, PAGE + 5));
    say("read: %c; through the first page: %s\n", byte, shared + PAGE - 2);
    if (fork() == 0) {
        shared[PAGE] = 'S';
        _exit(0);
    }
    wait(NULL);
    say("after a child: %s\n", shared + PAGE);
    TRY(msync(shared, PAGES * PAGE, MS_SYNC));
    TRY(munmap(shared, PAGES * PAGE));
    fd = open(path, O_RDWR);
    char *private = mmap(NULL, PAGES * PAGE, RW, MAP_PRIVATE, reader, 0);
    private[PAGE] = 'p';
    pwrite(fd, "T", 1, PAGE);
    pread(reader, &byte, 1, PAGE);
    say("private %.6s, file %c\n", private + PAGE, byte);
    munmap(private, PAGES * PAGE);
    close(fd), close(reader), close(writer);
}

static void ending(void) {
    int fd = open(path, O_RDWR);
    char *kept = mmap(NULL, PAGES * PAGE, RW, MAP_SHARED, fd, 0);
    close(fd);
    TRY(unlink(path));
    TRY(unlink(path));
    TRY(open(path, O_RDWR));
    kept[0] = 'k';
    say("kept: %c%s\n", kept[0], kept + PAGE + 1);
    TRY(munmap(kept, PAGES * PAGE));
}

int main(void) {
    make();
    status();
    opening();
    content();
    mapping();
    ending();
    return 0;
}
