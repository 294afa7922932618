/* wait4, waitid, SIGCHLD: what a parent learns of its children, and when. */
#include "p_native.h"
#include <limits.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/times.h>

static volatile int told, code, status, is_child;
static pid_t child;

static void on_child(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    told++, code = info->si_code, status = info->si_status, is_child = info->si_pid == child;
}

static void listen_to_children(int flags) {
    struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO | flags};
    sigaction(SIGCHLD, &action, NULL);
    told = 0;
}

static void report(const char *what) {
    sleep_ms(30);
    say("%s: told %d, code %d, status %d, ours %d\n", what, told, code, status, is_child);
    told = 0;
}

static void stops_and_continues(int flags) {
    int word = 0;
    listen_to_children(flags | SA_RESTART);
    if ((child = fork()) == 0) {
        setpgid(0, 0);  /* a group that its parent looks after, wherever that one is */
        for (;;) pause();
    }
    sleep_ms(20);
    TRY(waitpid(child, &word, WNOHANG | WUNTRACED | WCONTINUED));
    kill(child, SIGSTOP);
    report("stopped");
    TRY(waitpid(child, &word, WNOHANG) > 0);
    TRY(waitpid(child, &word, WUNTRACED) == child);
    say("%x %d %d\n", word, WIFSTOPPED(word), WSTOPSIG(word));
    TRY(waitpid(child, &word, WUNTRACED | WNOHANG));
    kill(child, SIGCONT);
    report("continued");
    TRY(waitpid(child, &word, WCONTINUED) == child);
    say("%x %d\n", word, WIFCONTINUED(word));
    TRY(waitpid(child, &word, WCONTINUED | WNOHANG));
    kill(child, SIGTSTP);
    sleep_ms(20);
    kill(child, SIGCONT);
    sleep_ms(20);
    TRY(waitpid(child, &word, WUNTRACED | WNOHANG));
    kill(child, SIGTTIN);
    sleep_ms(20);
    kill(child, SIGKILL);
    TRY(waitpid(child, &word, WUNTRACED) == child);
    say("%x\n", word);
    report("killed");
}

static void with_waitid(void) {
    siginfo_t info;
    memset(&info, 0xaa, sizeof info);
    if ((child = fork()) == 0) _exit(77);
    TRY(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
    say("%d %d %d %d\n", info.si_signo, info.si_code, info.si_status, info.si_pid == child);
    TRY(waitid(P_PID, child, &info, WSTOPPED | WNOHANG));
    say("%d %d\n", info.si_signo, info.si_pid);
    TRY(waitid(P_ALL, 0, &info, WEXITED));
    say("%d %d %d\n", info.si_code, info.si_status, info.si_uid == getuid());
    TRY(waitid(P_ALL, 0, &info, WEXITED));
    TRY(waitid(P_ALL, 0, &info, 0));
    TRY(waitid(P_ALL, 0, &info, WNOHANG));
    TRY(waitid(9, 0, &info, WEXITED));
    TRY(waitid(P_PID, 0, &info, WEXITED));
    TRY(waitid(P_PID, (id_t)-5, &info, WEXITED));
    TRY(waitid(P_PGID, (id_t)-5, &info, WEXITED));
    TRY(waitid(P_ALL, 0, &info, WEXITED | 0x100));
    if ((child = fork()) == 0) raise(SIGTERM);
    TRY(waitid(P_PGID, 0, &info, WEXITED));
    say("%d %d\n", info.si_code, info.si_status);
    if ((child = fork()) == 0) _exit(3);
    TRY(syscall(SYS_waitid, P_ALL, 0, NULL, WEXITED, NULL));
}

static void with_wait4(void) {
    struct rusage usage;
    int word;
    TRY(wait4(-1, &word, 0x100, NULL));
    TRY(wait4(-1, &word, WEXITED, NULL));
    TRY(wait4(-1, &word, WNOWAIT, NULL));
    TRY(wait4(INT_MIN, &word, WNOHANG, NULL));
    TRY(wait4(-1, &word, WNOHANG, NULL));
    if ((child = fork()) == 0) {
        for (volatile int i = 0; i < 3000000; i++) continue;
        _exit(0);
    }
    TRY(wait4(child, &word, 0, &usage) == child);
    TRY(usage.ru_utime.tv_sec * 1000000L + usage.ru_utime.tv_usec > 0);
    TRY(getrusage(RUSAGE_CHILDREN, &usage));
    TRY(usage.ru_utime.tv_sec * 1000000L + usage.ru_utime.tv_usec > 0);
    if ((child = fork()) == 0) _exit(0);
    TRY(syscall(SYS_wait4, child, 8L, 0, NULL));
    TRY(wait4(child, &word, 0, NULL));
}

static void not_told(void) {
    int word;
    listen_to_children(SA_NOCLDWAIT);
    if ((child = fork()) == 0) _exit(1);
    sleep_ms(30);
    TRY(wait(&word));
    say("SA_NOCLDWAIT: told %d\n", told);
    signal(SIGCHLD, SIG_IGN);
    if ((child = fork()) == 0) {
        sleep_ms(30);
        _exit(1);
    }
    TRY(wait(&word));
    signal(SIGCHLD, SIG_DFL);
}

/* A child whose end is told by another signal is waited for with __WALL or __WCLONE only. */
static void clone_children(void) {
    int word;
    on(SIGUSR1, SIG_IGN, 0);
    if ((child = syscall(SYS_clone, SIGUSR1, 0, 0, 0, 0)) == 0) _exit(4);
    sleep_ms(20);
    TRY(wait4(-1, &word, 0, NULL));
    TRY(wait4(-1, &word, __WCLONE, NULL) == child);
    if ((child = syscall(SYS_clone, 0, 0, 0, 0, 0)) == 0) _exit(5);
    TRY(wait4(-1, &word, __WALL, NULL) == child);
    say("%x\n", word);
    if ((child = fork()) == 0) _exit(6);
    TRY(wait4(-1, &word, __WCLONE, NULL));
    TRY(wait4(-1, &word, __WALL, NULL) == child);
}

/* A process leaves a zombie: its heir, which waits for any child, learns of it at once. */
static void an_inherited_zombie(void) {
    int word;
    siginfo_t info;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    listen_to_children(SA_RESTART);
    if ((child = fork()) == 0) {
        pid_t between = fork();
        if (between == 0) {
            pid_t last = fork();
            if (last == 0) _exit(5);
            waitid(P_PID, (id_t)last, &info, WEXITED | WNOWAIT);
            sleep_ms(30);
            _exit(6);
        }
        waitpid(between, &word, 0);
        for (;;) pause();
    }
    pid_t found = wait(&word);
    say("inherited %d, exit %d\n", found != child, WEXITSTATUS(word));
    say("told %d, code %d, status %d\n", told, code, status);
    signal(SIGCHLD, SIG_DFL);
    kill(child, SIGKILL);
    TRY(wait(&word) == child);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

/* The parent goes on while the child's new program still runs. */
static void vfork_until_exec(void) {
    int word;
    if ((child = vfork()) == 0) {
        execl("/proc/self/exe", "p_wait", "sleeps", NULL);
        _exit(127);
    }
    say("the parent goes on\n");
    kill(child, SIGKILL);
    TRY(waitpid(child, &word, 0) == child);
    say("%x\n", word);
}

static long microseconds(const struct rusage *usage) {
    return (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000L + usage->ru_utime.tv_usec
           + usage->ru_stime.tv_usec;
}

/* What a child has waited for counts as its own, and so on upwards. */
static void time_of_grandchildren(void) {
    enum { LONG = 10000 };
    struct rusage usage, before, after;
    struct tms first, second;
    times(&first), getrusage(RUSAGE_CHILDREN, &before);
    if ((child = fork()) == 0) {
        if (fork() == 0) {
            do {
                for (volatile int i = 0; i < 100000; i++) continue;
                getrusage(RUSAGE_SELF, &usage);
            } while (microseconds(&usage) < LONG);
            _exit(0);
        }
        wait(NULL);
        _exit(0);
    }
    TRY(wait4(child, NULL, 0, &usage) == child);
    times(&second), getrusage(RUSAGE_CHILDREN, &after);
    TRY(microseconds(&usage) >= LONG);
    TRY(microseconds(&after) - microseconds(&before) >= LONG);
    TRY(second.tms_cutime + second.tms_cstime > first.tms_cutime + first.tms_cstime);
}

int main(int count, char **words) {
    (void)words;
    while (count > 1) pause();
    stops_and_continues(0);
    stops_and_continues(SA_NOCLDSTOP);
    signal(SIGCHLD, SIG_DFL);
    with_waitid();
    with_wait4();
    not_told();
    clone_children();
    an_inherited_zombie();
    vfork_until_exec();
    time_of_grandchildren();
}
