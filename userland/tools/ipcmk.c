/* ipcmk: make a segment of System V shared memory: ipcmk -M BYTES [-p MODE], MODE in octal (644). */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>

static unsigned long number_of(const char *text, int base) {
    char *end;
    unsigned long number = strtoul(text, &end, base);
    if (*end || !*text) errx(2, "'%s' is no number", text);
    return number;
}

int main(int argc, char **argv) {
    unsigned long bytes = 0, mode = 0644;
    for (int i = 1; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "-M") == 0)
            bytes = number_of(argv[i + 1], 0);
        else if (strcmp(argv[i], "-p") == 0)
            mode = number_of(argv[i + 1], 8);
        else
            errx(2, "%s: there is no such option", argv[i]);
    if (argc % 2 == 0 || !bytes) errx(2, "usage: ipcmk -M BYTES [-p MODE]");
    int id = shmget(IPC_PRIVATE, bytes, (int)(mode & 0777) | IPC_CREAT);
    if (id < 0) err(1, "cannot make a segment of %lu bytes", bytes);
    printf("Shared memory id: %d\n", id);
    return 0;
}
