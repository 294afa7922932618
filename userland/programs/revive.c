/* revive: run a program, freeze it after some time, kill it, and go on as it.
 * Shows: what vas_fork keeps of a process that knows nothing of it, and that vas_exec brings it back
 * in another process. The output is that of the program, as if nothing had happened.
 *
 *     revive NANOSECONDS PROGRAM [ARGUMENT..]
 *
 * A program that has children is not frozen now, but a little later. */

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <vantage.h>
#include <vas.h>

enum { BILLION = 1000000000, SETTLE = 2000000 };

static void sleep_for(long nanoseconds) {
    struct timespec duration = {nanoseconds / BILLION, nanoseconds % BILLION};
    while (nanosleep(&duration, &duration) < 0 && errno == EINTR) {}
}

/* Become what the program has become by itself. */
static _Noreturn void end_as(int status) {
    if (WIFEXITED(status)) exit(WEXITSTATUS(status));
    kill(getpid(), WTERMSIG(status));
    exit(128 + WTERMSIG(status));
}

/* Stop all of its threads, on whatever cores they are: what it has not done now, it will do later. */
static void stop(pid_t pid) {
    int status;
    kill(pid, SIGSTOP);
    if (waitpid(pid, &status, WUNTRACED) < 0) err(1, "cannot wait");
    if (!WIFSTOPPED(status)) end_as(status);
    sleep_for(SETTLE);
}

static int freeze(pid_t pid, long wait) {
    for (;;) {
        sleep_for(wait);
        stop(pid);
        int vid = vas_fork(pid);
        if (vid > 0) return vid;
        if (errno != EBUSY) return -1;
        kill(pid, SIGCONT);
        wait = wait / 10 + 10000;
    }
}

int main(int argc, char **argv) {
    vantage_required();
    if (argc < 3) errx(2, "usage: revive NANOSECONDS PROGRAM [ARGUMENT..]");
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[2], argv + 2);
        err(127, "cannot run '%s'", argv[2]);
    }
    int vid = freeze(pid, atol(argv[1]));
    if (vid < 0) {
        warn("'%s' cannot be frozen", argv[2]);
        kill(pid, SIGKILL);
    } else {
        kill(pid, SIGKILL);
    }
    waitpid(pid, NULL, 0);
    if (vid > 0) vas_exec(0, vid);
    err(125, "cannot go on as '%s'", argv[2]);
}
