/* Directories: a buffer of entries as the kernel packs them, returned one by one. */

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "syscall.h"

struct directory {
    int fd;
    size_t at, end; /* buffer[at..end) has not been returned */
    _Alignas(8) char buffer[2048];
};

ssize_t getdents64(int fd, void *buffer, size_t bytes) {
    return CALL(getdents64, fd, buffer, bytes);
}

DIR *opendir(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return NULL;
    DIR *directory = malloc(sizeof *directory);
    if (!directory) {
        close(fd);
        return NULL;
    }
    directory->fd = fd;
    directory->at = directory->end = 0;
    return directory;
}

/* The entry is valid until the next call. NULL at the end, and if reading fails. */
struct dirent *readdir(DIR *directory) {
    if (directory->at == directory->end) {
        ssize_t got = getdents64(directory->fd, directory->buffer, sizeof directory->buffer);
        if (got <= 0) return NULL;
        directory->at = 0;
        directory->end = (size_t)got;
    }
    struct dirent *entry = (struct dirent *)(directory->buffer + directory->at);
    directory->at += entry->d_reclen;
    return entry;
}

int dirfd(DIR *directory) { return directory->fd; }

int closedir(DIR *directory) {
    int fd = directory->fd;
    free(directory);
    return close(fd);
}
