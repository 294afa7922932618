/* Jobs: a job is the processes of one pipeline.
 *
 * With job control (set -m, which an interactive shell has) every job is a process group. The
 * terminal belongs to one group; other readers are stopped. (POSIX, 2.11; XBD 11.1) */

#include "sh.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_JOBS = 64 };

static struct job jobs[MOST_JOBS];
static struct job *current; /* %+ */

struct job *job_after(struct job *job) {
    for (job = job ? job + 1 : jobs; job < jobs + MOST_JOBS; job++)
        if (job->number) return job;
    return NULL;
}

struct job *new_job(const char *source) {
    for (int i = 0; i < MOST_JOBS; i++) {
        if (jobs[i].number) continue;
        jobs[i] = (struct job){.number = i + 1, .source = strdup(source)};
        return &jobs[i];
    }
    fail(2, "there are too many jobs");
}

void forget_job(struct job *job) {
    free(job->source);
    *job = (struct job){0};
    if (current != job) return;
    current = NULL;
    for (struct job *each = NULL; (each = job_after(each));) current = each;
}

enum state job_state(struct job *job) {
    enum state state = DONE;
    for (int i = 0; i < job->count; i++)
        if (job->processes[i].state < state) state = job->processes[i].state;
    return state;
}

/* The value of $?: the status of the last process. */
int job_status(struct job *job) {
    int ended = job->count ? job->processes[job->count - 1].status : 0;
    if (WIFSTOPPED(ended)) return 128 + WSTOPSIG(ended);
    return WIFSIGNALED(ended) ? 128 + WTERMSIG(ended) : WEXITSTATUS(ended);
}

/* ---- Starting ------------------------------------------------------------------------ */

static int controls(struct job *job) { return options.monitor && job && !in_subshell; }

static int terminal; /* a descriptor of our own */

void own_terminal(void) {
    terminal = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, FIRST_OWN_FD);
    setpgid(0, 0);
    take_terminal();
}

static void give_terminal(pid_t group) {
    if (interactive) tcsetpgrp(terminal, group);
}

void take_terminal(void) { give_terminal(getpgrp()); }

static void become_subshell(void) {
    if (interactive) default_signals();
    in_subshell = 1;
    interactive = options.monitor = 0;
    clear_traps();
    for (struct job *job = NULL; (job = job_after(job));) forget_job(job);
}

static void begin_child(struct job *job, int background) {
    int own_group = controls(job);
    if (own_group) {
        setpgid(0, job->group);
        if (!background) give_terminal(getpgrp());
    }
    become_subshell();
    if (!background || own_group) return;
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    int nothing = open("/dev/null", O_RDONLY);
    if (nothing > 0) dup2(nothing, STDIN_FILENO), close(nothing);
}

/* Parent and child both set the group, because either may run first. */
pid_t start(struct job *job, int background) {
    fflush(stdout);
    if (job && job->count == JOB_PROCESSES) fail(2, "the pipeline is too long");
    pid_t pid = fork();
    if (pid < 0) fail(2, "cannot fork: %s", strerror(errno));
    if (pid == 0) begin_child(job, background);
    if (pid == 0 || !job) return pid;
    if (controls(job)) {
        if (!job->group) job->group = pid;
        setpgid(pid, job->group);
        if (!background) give_terminal(job->group);
    }
    job->processes[job->count++].pid = pid;
    job->background = background;
    if (background) current = job;
    return pid;
}

/* ---- Waiting ------------------------------------------------------------------------- */

struct job *job_of(pid_t pid) {
    for (struct job *job = NULL; (job = job_after(job));)
        for (int i = 0; i < job->count; i++)
            if (job->processes[i].pid == pid) return job;
    return NULL;
}

int collect(int block) {
    int ended, flags = options.monitor ? WUNTRACED | WCONTINUED : 0;
    pid_t pid = waitpid(-1, &ended, flags | (block ? 0 : WNOHANG));
    if (pid <= 0) return pid < 0 && errno == EINTR ? -1 : 0;
    struct job *job = job_of(pid);
    for (int i = 0; job && i < job->count; i++) {
        if (job->processes[i].pid != pid) continue;
        int continued = WIFCONTINUED(ended);
        if (!continued) job->processes[i].status = ended;
        job->processes[i].state = continued ? RUNNING : WIFSTOPPED(ended) ? STOPPED : DONE;
        if (!continued) job->changed = 1;
    }
    return 1;
}

/* ^C and a broken pipe are intended; other signals get a message. */
static void tell_signal(struct job *job) {
    int ended = job->processes[job->count - 1].status, number = WTERMSIG(ended);
    if (!WIFSIGNALED(ended) || number == SIGPIPE) return;
    if (number == SIGINT) {
        if (interactive) fprintf(stderr, "\n");
        return;
    }
    const char *words = sigdescr_np(number);
    fprintf(stderr, "%s%s\n", words ? words : "Killed by a signal",
            WCOREDUMP(ended) ? " (core dumped)" : "");
}

int wait_for(struct job *job) {
    while (job_state(job) == RUNNING)
        if (collect(1) == 0) break;
    int result = job_status(job);
    if (controls(job)) take_terminal();
    if (job_state(job) == STOPPED) {
        job->background = 1;
        current = job;
        fprintf(stderr, "\n");
        print_job(job);
    } else {
        tell_signal(job);
        forget_job(job);
    }
    return result;
}

int wait_in_background(struct job *job) {
    while (job_state(job) == RUNNING) {
        int found = collect(1);
        if (found < 0 && pending_signal()) return 128 + pending_signal();
        if (found < 0 && interactive && interrupted()) abandon();
        if (found == 0) break;
    }
    int result = job_status(job);
    if (job_state(job) != STOPPED) forget_job(job);
    return result;
}

/* ---- Reporting ----------------------------------------------------------------------- */

static const char *state_in_words(struct job *job, char *buffer, size_t size) {
    int ended = job->count ? job->processes[job->count - 1].status : 0;
    switch (job_state(job)) {
    case RUNNING: return "Running";
    case STOPPED: return sigdescr_np(WSTOPSIG(ended));
    default:
        if (WIFSIGNALED(ended)) return sigdescr_np(WTERMSIG(ended));
        if (WEXITSTATUS(ended) == 0) return "Done";
        snprintf(buffer, size, "Done(%d)", WEXITSTATUS(ended));
        return buffer;
    }
}

void print_job(struct job *job) {
    char buffer[16];
    const char *words = state_in_words(job, buffer, sizeof buffer);
    dprintf(interactive ? STDERR_FILENO : STDOUT_FILENO, "[%d] %c %-24s%s\n", job->number,
            job == current ? '+' : ' ', words ? words : "Killed", job->source);
    job->changed = 0;
}

/* Before a prompt: report the background jobs that have changed. */
void tell_changes(void) {
    while (collect(0) > 0);
    for (struct job *job = NULL; (job = job_after(job));) {
        if (!job->background) continue;
        if (job->changed && interactive) print_job(job);
        if (interactive && job_state(job) == DONE) forget_job(job);
    }
}

void continue_job(struct job *job, int background) {
    for (int i = 0; i < job->count; i++)
        if (job->processes[i].state == STOPPED) job->processes[i].state = RUNNING;
    job->background = background;
    if (!background) give_terminal(job->group);
    kill(job->group ? -job->group : job->processes[0].pid, SIGCONT);
}

struct job *find_job(const char *name) {
    if (!name || strcmp(name, "%%") == 0 || strcmp(name, "%+") == 0) return current;
    if (*name != '%') return job_of(atoi(name));
    for (struct job *job = NULL; (job = job_after(job));)
        if (job->number == atoi(name + 1) ||
            (name[1] && strncmp(job->source, name + 1, strlen(name + 1)) == 0))
            return job;
    return NULL;
}
