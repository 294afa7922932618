/* Commands about jobs. */

#include "sh.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int complain(const char *command, const char *what, const char *why) {
    fprintf(stderr, "%s: %s: %s%s%s\n", shell_name, command, what ? what : "", what ? ": " : "",
            why);
    return 1;
}

static int run_jobs(int argc, char **argv) {
    (void)argc, (void)argv;
    fflush(stdout);
    while (collect(0) > 0);
    for (struct job *job = NULL; (job = job_after(job));) {
        if (!job->background) continue;
        print_job(job);
        if (job_state(job) == DONE) forget_job(job);
    }
    return 0;
}

static int run_fg(int argc, char **argv) {
    struct job *job = find_job(argc > 1 ? argv[1] : NULL);
    if (!options.monitor) return complain("fg", NULL, "no job control");
    if (!job) return complain("fg", argc > 1 ? argv[1] : NULL, "no such job");
    printf("%s\n", job->source);
    fflush(stdout);
    continue_job(job, 0);
    return wait_for(job);
}

static int run_bg(int argc, char **argv) {
    struct job *job = find_job(argc > 1 ? argv[1] : NULL);
    if (!options.monitor) return complain("bg", NULL, "no job control");
    if (!job) return complain("bg", argc > 1 ? argv[1] : NULL, "no such job");
    continue_job(job, 1);
    printf("[%d] %s\n", job->number, job->source);
    return 0;
}

/* All jobs, or those named by number or process. */
static int run_wait(int argc, char **argv) {
    int result = 0;
    for (int i = 1; i < argc; i++) {
        struct job *job = find_job(argv[i]);
        result = job ? wait_in_background(job) : 127;
    }
    if (argc > 1) return result;
    for (struct job *job = NULL; (job = job_after(job));) {
        if (job_state(job) == STOPPED || !job->background) continue;
        int ended = wait_in_background(job);
        if (pending_signal()) return ended;
    }
    return 0;
}

static int list_signals(void) {
    for (int signal = 1; signal <= SIGSYS; signal++) printf("%s\n", sigabbrev_np(signal));
    return 0;
}

static int send(const char *to, int signal) {
    struct job *job = *to == '%' ? find_job(to) : NULL;
    if (*to == '%' && !job) return complain("kill", to, "no such job");
    char *end;
    long pid = job ? (job->group ? -job->group : job->processes[0].pid) : strtol(to, &end, 10);
    if (!job && (*end || !*to)) return complain("kill", to, "is no process");
    if (kill((pid_t)pid, signal) < 0) return complain("kill", to, strerror(errno));
    return 0;
}

static int run_kill(int argc, char **argv) {
    int signal = SIGTERM, first = 1, result = 0;
    if (argc > 1 && strcmp(argv[1], "-l") == 0) return list_signals();
    if (argc > 2 && strcmp(argv[1], "-s") == 0)
        signal = signal_number(argv[2]), first = 3;
    else if (argc > 1 && argv[1][0] == '-')
        signal = signal_number(argv[1] + 1), first = 2;
    if (signal < 0) return complain("kill", argv[first - 1], "there is no such signal");
    if (first == argc) return complain("kill", NULL, "name a process");
    for (int i = first; i < argc; i++) result |= send(argv[i], signal);
    return result;
}

const struct builtin job_builtins[] = {
    {"bg", run_bg, 0},     {"fg", run_fg, 0},     {"jobs", run_jobs, 0},
    {"kill", run_kill, 0}, {"wait", run_wait, 0}, {0},
};
