/* Reading directories. */
#ifndef DIRENT_H
#define DIRENT_H

#include <sys/types.h>

/* An entry as getdents64 packs it; d_reclen leads to the next one. */
struct dirent {
    ino_t d_ino;
    off_t d_off;
    unsigned short d_reclen;
    unsigned char d_type;
    char d_name[256];
};

enum { DT_UNKNOWN = 0, DT_FIFO = 1, DT_CHR = 2, DT_DIR = 4, DT_BLK = 6, DT_REG = 8, DT_LNK = 10 };

typedef struct directory DIR;

DIR *opendir(const char *path);
struct dirent *readdir(DIR *directory);
int closedir(DIR *directory);
int dirfd(DIR *directory);
ssize_t getdents64(int fd, void *buffer, size_t bytes);

#endif
