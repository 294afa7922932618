/* ps: the processes, from /proc. */

#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct process {
    int pid, ppid, uid;
    long kib;
    char state, name[64];
};

/* "Name:\tvalue", one a line. (proc(5), /proc/pid/status) */
static int read_status(int pid, struct process *process) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "r");
    if (!file) return 0; /* it has just ended */
    *process = (struct process){.pid = pid, .state = '?'};
    while (fgets(line, sizeof line, file)) {
        char *value = strchr(line, ':');
        if (!value) continue;
        *value++ = '\0';
        value += strspn(value, " \t");
        value[strcspn(value, "\n")] = '\0';
        if (strcmp(line, "Name") == 0)
            strlcpy(process->name, value, sizeof process->name);
        else if (strcmp(line, "State") == 0)
            process->state = *value;
        else if (strcmp(line, "PPid") == 0)
            process->ppid = atoi(value);
        else if (strcmp(line, "Uid") == 0)
            process->uid = atoi(value);
        else if (strcmp(line, "VmRSS") == 0)
            process->kib = atol(value);
    }
    fclose(file);
    return 1;
}

static int by_number(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

int main(void) {
    DIR *directory = opendir("/proc");
    int *pids = NULL;
    size_t count = 0, room = 0;
    if (!directory) err(1, "/proc");
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (!isdigit(entry->d_name[0])) continue;
        if (count == room) pids = realloc(pids, (room = room ? 2 * room : 32) * sizeof *pids);
        if (!pids) err(1, "memory");
        pids[count++] = atoi(entry->d_name);
    }
    closedir(directory);
    if (count) qsort(pids, count, sizeof *pids, by_number);
    printf("  PID  PPID   UID S    RSS NAME\n");
    for (size_t i = 0; i < count; i++) {
        struct process process;
        if (!read_status(pids[i], &process)) continue;
        printf("%5d %5d %5d %c %6ld %s\n", process.pid, process.ppid, process.uid, process.state,
               process.kib, process.name);
    }
    return 0;
}
