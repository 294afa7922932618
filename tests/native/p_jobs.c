/* Sessions, process groups, and groups that are orphaned while they are stopped. */
#include "p_native.h"

static volatile int hung_up, continued;

static void on_hangup(int number) {
    (void)number;
    hung_up = continued ? 2 : 1;
}

static void on_continue(int number) {
    (void)number;
    continued++;
}

static void groups(void) {
    pid_t me = getpid(), child, other;
    TRY(setpgid(0, -1));
    TRY(setpgid(99999, 0));
    TRY(getpgid(99999));
    TRY(getsid(99999));
    TRY(getpgid(-1));
    TRY(getpgrp() == getpgid(0));
    TRY(getpgid(0) == getpgid(me));
    TRY(getsid(0) == getsid(me));
    if ((child = fork()) == 0) {
        TRY(setpgid(0, 0));
        TRY(getpgrp() == getpid());
        TRY(setsid());
        sleep_ms(60);
        _exit(0);
    }
    sleep_ms(20);
    TRY(getpgid(child) == child);
    if ((other = fork()) == 0) {
        TRY(setpgid(0, child) == 0);
        TRY(setpgid(0, 99999));
        TRY(setpgid(child, 0));
        TRY(getpgrp() == child);
        _exit(0);
    }
    waitpid(other, NULL, 0);
    TRY(setpgid(child, getpgrp()));
    TRY(getpgid(child) == getpgrp());
    waitpid(child, NULL, 0);
}

static void sessions(void) {
    pid_t child = fork();
    if (child == 0) {
        TRY(setsid() == getpid());
        TRY(getsid(0) == getpid());
        TRY(getpgrp() == getpid());
        TRY(setsid());
        TRY(setpgid(0, 0));
        pid_t inner = fork();
        if (inner == 0) {
            sleep_ms(40);
            _exit(0);
        }
        TRY(setpgid(inner, inner));
        TRY(setpgid(inner, getppid()));
        waitpid(inner, NULL, 0);
        if ((inner = fork()) == 0) {
            setsid();
            sleep_ms(60);
            _exit(0);
        }
        sleep_ms(20);
        TRY(setpgid(inner, 0));
        waitpid(inner, NULL, 0);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

/* kill by group, and a stop signal that nobody could undo. */
static void orphan(int stop_signal, int leaves) {
    pid_t leader = fork();
    if (leader == 0) {
        setsid();
        pid_t worker = fork();
        if (worker == 0) {
            setpgid(0, 0);
            on(SIGHUP, on_hangup, 0);
            on(SIGCONT, on_continue, 0);
            if (leaves) {
                raise(stop_signal);
            } else {
                sleep_ms(60);
                raise(stop_signal);
            }
            sleep_ms(60);
            say("stop %d leaves %d: hung up %d, continued %d\n", stop_signal, leaves, hung_up,
                continued);
            _exit(0);
        }
        sleep_ms(30);
        _exit(0);
    }
    waitpid(leader, NULL, 0);
    sleep_ms(200);
}

static void to_groups(void) {
    pid_t leader = fork();
    if (leader == 0) {
        setpgid(0, 0);
        pid_t first = fork();
        if (first == 0)
            for (;;) pause();
        pid_t second = fork();
        if (second == 0)
            for (;;) pause();
        on(SIGTERM, SIG_IGN, 0);
        sleep_ms(20);
        TRY(kill(0, SIGTERM));
        int status;
        TRY(waitpid(0, &status, 0) > 0);
        TRY(waitpid(-getpid(), &status, 0) > 0);
        say("%x\n", status);
        TRY(kill(-99999, 0));
        TRY(kill(99999, 0));
        TRY(kill(0, 65));
        TRY(kill(0, -1));
        TRY(syscall(SYS_tgkill, getpid(), getpid(), 0));
        TRY(syscall(SYS_tgkill, getppid(), getpid(), 0));
        TRY(syscall(SYS_tgkill, 0, getpid(), 0));
        TRY(syscall(SYS_tgkill, getpid(), -1, 0));
        TRY(syscall(SYS_tkill, 0, 0));
        TRY(syscall(SYS_tkill, getpid(), 65));
        TRY(syscall(SYS_tkill, 99999, 65));
        _exit(0);
    }
    waitpid(leader, NULL, 0);
}

int main(void) {
    groups();
    sessions();
    to_groups();
    orphan(SIGSTOP, 1);
    orphan(SIGTSTP, 1);
    orphan(SIGTSTP, 0);
    orphan(SIGTTOU, 0);
}
