/* ipcs: list the segments of System V shared memory (-m, the default), or their limits (-l).
 *
 * It reads /proc/sysvipc/shm, which everybody may. There are no queues and no semaphores. */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>

/* The columns of a line of /proc/sysvipc/shm, all of them numbers. */
enum { KEY, ID, MODE, BYTES, CREATOR, LAST, ATTACHED, OWNER, COLUMNS };

static void list(void) {
    char line[512];
    FILE *file = fopen("/proc/sysvipc/shm", "r");
    if (!file || !fgets(line, sizeof line, file)) err(1, "/proc/sysvipc/shm");
    printf("KEY             SHMID  OWNER PERMS      BYTES NATTCH STATUS\n");
    while (fgets(line, sizeof line, file)) {
        long column[COLUMNS];
        char *at = line;
        for (int i = 0; i < COLUMNS; i++) column[i] = strtol(at, &at, i == MODE ? 8 : 10);
        printf("0x%08x %10ld %6ld %5lo %10ld %6ld%s%s\n", (unsigned)column[KEY], column[ID],
               column[OWNER], column[MODE] & 0777, column[BYTES], column[ATTACHED],
               column[MODE] & SHM_DEST ? " dest" : "", column[MODE] & SHM_LOCKED ? " locked" : "");
    }
    fclose(file);
}

static void limits(void) {
    struct shminfo most;
    struct shm_info now;
    if (shmctl(0, IPC_INFO, (struct shmid_ds *)&most) < 0) err(1, "cannot ask for the limits");
    if (shmctl(0, SHM_INFO, (struct shmid_ds *)&now) < 0) err(1, "cannot ask for the sums");
    printf("segments %d of %lu\n", now.used_ids, most.shmmni);
    printf("pages %lu of %lu, in memory %lu, on the disk %lu\n", now.shm_tot, most.shmall,
           now.shm_rss, now.shm_swp);
    printf("bytes of a segment: from %lu to %lu\n", most.shmmin, most.shmmax);
}

int main(int argc, char **argv) {
    if (argc == 1 || (argc == 2 && strcmp(argv[1], "-m") == 0))
        list();
    else if (argc == 2 && strcmp(argv[1], "-l") == 0)
        limits();
    else
        errx(2, "usage: ipcs [-m | -l]");
    return 0;
}
