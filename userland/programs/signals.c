/* signals: handlers, masks, nesting, and signals between processes, one scene after another.
 * Shows: when a signal is delivered, in which order, and what a handler gets. */

#include <err.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *name(int signal) { return sigabbrev_np(signal); }

static void say(int signal) { printf("  handler: %s\n", name(signal)); }

static void raise_another(int signal) {
    printf("  handler: %s begins\n", name(signal));
    raise(SIGUSR2);
    printf("  handler: %s ends\n", name(signal));
}

static void install(int signal, sighandler_t handler, unsigned long flags, sigset_t mask) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags, .sa_mask = mask};
    if (sigaction(signal, &action, NULL) < 0) err(1, "sigaction");
}

static sigset_t set_of(int signal) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    return set;
}

/* ---- The scenes ---------------------------------------------------------------------- */

static void scene_handler(void) {
    install(SIGUSR1, say, 0, 0);
    raise(SIGUSR1);
}

static void scene_blocked(void) {
    sigset_t usr1 = set_of(SIGUSR1), old;
    sigprocmask(SIG_BLOCK, &usr1, &old);
    raise(SIGUSR1);
    raise(SIGUSR1);
    printf("  blocked, sent twice, not delivered\n");
    sigprocmask(SIG_SETMASK, &old, NULL);
    printf("  unblocked: delivered once, before sigprocmask returned\n");
}

static void scene_nested(void) {
    install(SIGUSR1, raise_another, 0, 0);
    install(SIGUSR2, say, 0, 0);
    raise(SIGUSR1);
}

static void scene_masked(void) {
    install(SIGUSR1, raise_another, 0, set_of(SIGUSR2));
    raise(SIGUSR1);
}

static void scene_once(void) {
    install(SIGUSR1, say, SA_RESETHAND, 0);
    raise(SIGUSR1);
    struct sigaction now;
    sigaction(SIGUSR1, NULL, &now);
    printf("  afterwards the default action is %s\n",
           now.sa_handler == SIG_DFL ? "back" : "NOT back");
}

static void scene_ignored(void) {
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    printf("  ignored\n");
}

/* The child can be killed at any moment of its loop. */
static void scene_kill_child(void) {
    pid_t pid = fork();
    if (pid < 0) err(1, "fork");
    if (pid == 0)
        for (;;) sched_yield();
    kill(pid, SIGTERM);
    int status;
    waitpid(pid, &status, 0);
    printf("  child ended by %s\n", WIFSIGNALED(status) ? name(WTERMSIG(status)) : "itself");
}

static volatile pid_t child_heard_of;
static volatile int child_status;

static void child_ended(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    child_heard_of = info->si_pid;
    child_status = info->si_code == CLD_EXITED ? info->si_status : -1;
}

static void scene_sigchld(void) {
    struct sigaction action = {.sa_sigaction = child_ended, .sa_flags = SA_SIGINFO};
    sigaction(SIGCHLD, &action, NULL);
    pid_t pid = fork();
    if (pid < 0) err(1, "fork");
    if (pid == 0) _exit(42);
    while (!child_heard_of) sched_yield();
    printf("  SIGCHLD tells of %s, status %d\n",
           child_heard_of == pid ? "our child" : "another process", child_status);
    waitpid(pid, NULL, 0);
    signal(SIGCHLD, SIG_DFL);
}

static void scene_interrupted(void) {
    install(SIGUSR1, say, 0, 0);
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) err(1, "fork");
    if (pid == 0) {
        nanosleep(&(struct timespec){0, 50000000}, NULL);
        kill(parent, SIGUSR1);
        _exit(0);
    }
    int result = nanosleep(&(struct timespec){10, 0}, NULL);
    printf("  nanosleep %s\n",
           result < 0 && errno == EINTR ? "was interrupted" : "slept to the end");
    waitpid(pid, NULL, 0);
}

int main(void) {
    static const struct {
        const char *title;
        void (*play)(void);
    } scenes[] = {
        {"a handler", scene_handler},
        {"a blocked signal", scene_blocked},
        {"a handler interrupted by another", scene_nested},
        {"a handler that masks the other", scene_masked},
        {"a handler for one time", scene_once},
        {"an ignored signal", scene_ignored},
        {"killing a child", scene_kill_child},
        {"hearing of a child's end", scene_sigchld},
        {"a call interrupted", scene_interrupted},
    };
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
        printf("%zu. %s\n", i + 1, scenes[i].title);
        scenes[i].play();
    }
    return 0;
}
