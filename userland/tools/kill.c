/* kill: send a signal (TERM) to processes: kill -9 PID, kill -INT PID, kill -s INT PID, kill -l. */

#include <ctype.h>
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int number_of(const char *name) {
    if (isdigit(*name)) return atoi(name);
    if (strncmp(name, "SIG", 3) == 0) name += 3;
    for (int signal = 1; signal <= SIGSYS; signal++)
        if (strcmp(name, sigabbrev_np(signal)) == 0) return signal;
    errx(2, "%s: there is no such signal", name);
}

int main(int argc, char **argv) {
    int signal = SIGTERM, first = 1, failed = 0;
    if (argc > 1 && strcmp(argv[1], "-l") == 0) {
        for (int i = 1; i <= SIGSYS; i++) puts(sigabbrev_np(i));
        return 0;
    }
    if (argc > 2 && strcmp(argv[1], "-s") == 0)
        signal = number_of(argv[2]), first = 3;
    else if (argc > 2 && argv[1][0] == '-')
        signal = number_of(argv[1] + 1), first = 2;
    if (first >= argc) errx(2, "usage: kill [-SIGNAL] PID..");
    for (int i = first; i < argc; i++) {
        char *end;
        long pid = strtol(argv[i], &end, 10);
        if (*end || !*argv[i]) errx(2, "%s: is no process", argv[i]);
        if (kill((pid_t)pid, signal) == 0) continue;
        warn("%s", argv[i]);
        failed = 1;
    }
    return failed;
}
