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

enum { BILLION = 1000000000, SETTLE = 2000000, SOON = 5000 };

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

/* Its status, if it has ended by now. */
static void look(pid_t pid) {
    int status;
    if (waitpid(pid, &status, WNOHANG) == pid) end_as(status);
}

/* Stop all of its threads, on whatever cores they are: what it has not done now, it will do later. */
static void stop(pid_t pid) {
    int status;
    kill(pid, SIGSTOP);
    if (waitpid(pid, &status, WUNTRACED) < 0) err(1, "cannot wait");
    if (!WIFSTOPPED(status)) end_as(status);
    sleep_for(SETTLE);
}

/* A checkpoint of it while it stands still. Another moment is tried if it has children now. A stop can be seen by a program (EINTR of a few calls),
 * so it is stopped only when a first checkpoint, which is thrown away, could be made. */
static int freeze(pid_t pid, long wait) {
    for (;; wait = (wait * 31 + 977) % SOON) {
        sleep_for(wait);
        look(pid);
        int vid = vas_fork(pid);
        if (vid < 0 && errno != EBUSY && errno != ESRCH) return -1;
        if (vid < 0) continue;
        vas_delete(vid);
        stop(pid);
        if ((vid = vas_fork(pid)) > 0) return vid;
        kill(pid, SIGCONT);
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
    if (vid < 0) warn("'%s' cannot be frozen", argv[2]);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    if (vid > 0) vas_exec(0, vid);
    err(125, "cannot go on as '%s'", argv[2]);
}
