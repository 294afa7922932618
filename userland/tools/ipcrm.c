/* ipcrm: remove segments of System V shared memory, by id (-m ID) or by key (-M KEY).
 *
 * A segment that is attached goes when it is attached no more. */

#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>

static int removed(const char *kind, const char *text) {
    char *end;
    long number = strtol(text, &end, 0);
    if (*end || !*text) errx(2, "'%s' is no number", text);
    int id = (int)number;
    if (strcmp(kind, "-M") == 0) {
        if (number == IPC_PRIVATE) errx(2, "0 is the key of no segment");
        id = shmget((key_t)number, 0, 0);
    }
    if (id >= 0 && shmctl(id, IPC_RMID, NULL) == 0) return 1;
    warn("%s %s", kind, text);
    return 0;
}

int main(int argc, char **argv) {
    int failed = 0;
    if (argc < 3 || argc % 2 == 0) errx(2, "usage: ipcrm (-m ID | -M KEY)..");
    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "-m") != 0 && strcmp(argv[i], "-M") != 0)
            errx(2, "%s: -m ID or -M KEY is needed", argv[i]);
        failed |= !removed(argv[i], argv[i + 1]);
    }
    return failed;
}
