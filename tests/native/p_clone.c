/* The flags of clone one by one: what parent and child share, and what each has for itself. */
#include "p_native.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

static char stacks[2][65536] __attribute__((aligned(16)));
static volatile int opened, ready, done;

static void quiet(int number) { (void)number; }

/* What the child does: each step changes something that a flag may share. */
static int change(void *unused) {
    (void)unused;
    opened = open("/", O_RDONLY | O_CLOEXEC);
    if (chdir("/tmp") != 0) opened = -1;
    umask(077);
    signal(SIGUSR2, quiet);
    syscall(SYS_exit, 0);
    return 0;
}

static void compare(const char *name, int flags) {
    struct sigaction action;
    char place[64] = "";
    signal(SIGUSR2, SIG_DFL);
    umask(022);
    if (chdir("/") != 0) return;
    opened = -2;
    int pid = clone(change, stacks[0] + sizeof stacks[0], flags | CLONE_VM | SIGCHLD, NULL);
    if (pid < 0) {
        say("%s: error %d\n", name, errno);
        return;
    }
    waitpid(pid, NULL, 0);
    sigaction(SIGUSR2, NULL, &action);
    if (getcwd(place, sizeof place) == NULL) place[0] = 0;
    int shared = opened >= 0 && fcntl(opened, F_GETFD) >= 0;
    say("%s: descriptor %d, cwd %s, umask %o, action %d\n", name, shared, place, umask(022),
        action.sa_handler == quiet);
    if (shared) close(opened);
}


static int waits(void *unused) {
    (void)unused;
    opened = open("/", O_RDONLY);
    if (chdir("/tmp") != 0) opened = -1;
    done = 1;
    syscall(SYS_exit, 0);
    return 0;
}

static void thread(const char *name, int flags) {
    char place[64] = "";
    done = 0;
    if (chdir("/") != 0) return;
    int made = clone(waits, stacks[1] + sizeof stacks[1],
                     CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | flags, NULL);
    say("%s: %d\n", name, made < 0 ? -errno : 0);
    if (made < 0) return;
    while (!done) sched_yield();
    sleep_ms(20);
    if (getcwd(place, sizeof place) == NULL) place[0] = 0;
    int shared = opened >= 0 && fcntl(opened, F_GETFD) >= 0;
    say("%s: descriptor %d, cwd %s\n", name, shared, place);
    if (shared) close(opened);
}

static int execs(void *unused) {
    (void)unused;
    char *words[] = {"self", "child", NULL};
    execv("/proc/self/exe", words);
    syscall(SYS_exit, 9);
    return 0;
}

/* exec closes what is to be closed for the child alone, though parent and child shared a table. */
static void exec_of_a_sharer(void) {
    int status, kept = open("/", O_RDONLY | O_CLOEXEC);
    int pid = clone(execs, stacks[0] + sizeof stacks[0], CLONE_VM | CLONE_FILES | SIGCHLD, NULL);
    waitpid(pid, &status, 0);
    say("exec of a sharer: exit %d, still open %d\n", WEXITSTATUS(status),
        fcntl(kept, F_GETFD) >= 0);
}

static void wrong(void) {
    TRY(syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0));
    TRY(syscall(SYS_clone, CLONE_THREAD | CLONE_VM | SIGCHLD, 0, 0, 0, 0));
    TRY(syscall(SYS_clone, CLONE_FS | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0));
}

static volatile int tid;
static void *sleeper(void *unused) {
    tid = syscall(SYS_gettid);
    ready = 1;
    while (!done) sleep_ms(1);
    return unused;
}

static void ids_of_threads(void) {
    pthread_t other;
    siginfo_t info = {.si_code = SI_QUEUE, .si_signo = SIGCONT};
    done = 0;
    pthread_create(&other, NULL, sleeper, NULL);
    while (!ready) sched_yield();
    TRY(kill(tid, 0));
    TRY(syscall(SYS_rt_sigqueueinfo, tid, SIGCONT, &info));
    TRY(getpgid(tid) == getpgrp());
    TRY(getsid(tid) == getsid(0));
    TRY(waitpid(tid, NULL, 0));
    TRY(getpriority(PRIO_PROCESS, tid));
    done = 1;
    pthread_join(other, NULL);
    TRY(kill(tid, 0));
}

static void groups(void) {
    on(SIGUSR1, quiet, 0);
    setpgid(0, 0);
    TRY(killpg(getpgrp(), SIGUSR1));
    int status, pid = fork();
    if (pid == 0) {
        if (fork() == 0) sleep_ms(30), _exit(7);
        _exit(3);
    }
    waitpid(pid, &status, 0);
    sleep_ms(60);
    TRY(waitpid(-1, &status, 0));
    TRY(getpid() > 1 && getppid() > 0);
}

int main(int count, char **words) {
    (void)words;
    if (count > 1) return 5;
    compare("nothing", 0);
    compare("files", CLONE_FILES);
    compare("fs", CLONE_FS);
    compare("actions", CLONE_SIGHAND);
    compare("all", CLONE_FS | CLONE_FILES | CLONE_SIGHAND);
    thread("a thread with all", CLONE_FS | CLONE_FILES);
    thread("a thread with files", CLONE_FILES);
    thread("a thread with fs", CLONE_FS);
    thread("a thread with neither", 0);
    exec_of_a_sharer();
    wrong();
    ids_of_threads();
    groups();
    return 0;
}
