/* A terminal and the jobs at it.  After each line that ends in '?' the test types something. */
#include "../p_native.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

static volatile int caught;

static void note(int number) { caught = number; }

static char text[256];

/* One read, shown so that every byte can be seen. */
static void get(const char *question, int count) {
    say("%s?\n", question);
    errno = 0;
    long size = read(0, text, count);
    say("= %ld error %d [", size, size < 0 ? errno : 0);
    for (long i = 0; i < size; i++) say(text[i] >= 32 && text[i] < 127 ? "%c" : "<%d>", text[i]);
    say("]\n");
}

static void mode(int local_off, int minimum, int tenths) {
    struct termios t;
    tcgetattr(0, &t);
    t.c_lflag = (ICANON | ECHO | ECHOE | ECHOK | ISIG | IEXTEN | ECHOCTL | ECHOKE) & ~local_off;
    t.c_cc[VMIN] = minimum, t.c_cc[VTIME] = tenths;
    TRY(tcsetattr(0, TCSANOW, &t));
}

static void settings(void) {
    struct termios t;
    struct winsize w = {33, 99, 0, 0};
    int number;
    TRY(tcgetattr(0, &t));
    say("%x %x %x\n", t.c_iflag & ~IUTF8, t.c_oflag, t.c_lflag);
    for (int i = 0; i < 17; i++) say("%d ", t.c_cc[i]);
    say("\n");
    on(SIGWINCH, note, 0);
    TRY(ioctl(0, TIOCSWINSZ, &w));
    TRY(ioctl(0, TIOCGWINSZ, &w));
    say("%d %d, signal %d\n", w.ws_row, w.ws_col, caught);
    caught = 0;
    TRY(ioctl(0, TIOCSWINSZ, &w));
    say("signal %d\n", caught);
    TRY(ioctl(0, FIONREAD, &number));
    TRY(ioctl(0, TIOCOUTQ, &number));
    TRY(ioctl(0, TCFLSH, 0L));  // not what was written: somebody may not have read it yet
    TRY(ioctl(0, TCFLSH, 7L));
    TRY(ioctl(0, TCXONC, 9L));
    TRY(ioctl(0, TCSBRK, 1L));
    TRY(ioctl(0, 0x5499, 0L));
    TRY(isatty(0) + isatty(1) + isatty(2));
    int pipes[2];
    TRY(pipe(pipes));
    TRY(ioctl(pipes[0], TCGETS, &t));
    close(pipes[0]), close(pipes[1]);
}

static void whose(void) {
    TRY(tcgetpgrp(0) == getpgrp());
    TRY(tcgetsid(0) == getsid(0));
    TRY(tcsetpgrp(0, -5));
    TRY(tcsetpgrp(0, 99999));
    TRY(tcsetpgrp(0, getpgrp()));
    TRY(ioctl(0, TIOCSCTTY, 0L));
    int tty = open("/dev/tty", O_RDWR);
    TRY(tty >= 0);
    close(tty);
    pid_t child = fork();
    if (child == 0) {
        TRY(setsid() == getpid());
        TRY(open("/dev/tty", O_RDWR));
        TRY(tcgetpgrp(0));
        TRY(tcgetsid(0));
        TRY(tcsetpgrp(0, getpgrp()));
        TRY(ioctl(0, TIOCSCTTY, 0L));
        TRY(ioctl(0, TIOCNOTTY, 0L));
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void lines(void) {
    get("a line", 100);
    get("half a line", 3);
    get("the rest", 100);
    get("no end", 100);
    get("an end", 100);
    get("erased", 100);
    struct pollfd ready = {0, POLLIN, 0};
    TRY(poll(&ready, 1, 0));
    say("something?\n");
    TRY(poll(&ready, 1, -1));
    int number;
    TRY(ioctl(0, FIONREAD, &number));
    say("%d\n", number);
    get("that was typed", 100);
}

static void raw(void) {
    mode(ICANON | ECHO, 1, 0);
    get("a key", 100);
    mode(ICANON | ECHO, 3, 0);
    get("three keys", 100);
    get("two", 2);
    mode(ICANON | ECHO, 0, 0);
    get("nothing", 100);
    mode(ICANON | ECHO, 0, 2);
    get("nothing in time", 100);
    mode(ICANON | ECHO, 5, 2);
    get("two and then silence", 100);
    mode(ICANON | ECHO | ISIG, 1, 0);
    get("an interrupt that is none", 100);
    mode(0, 1, 0);
}

static void keys_that_signal(void) {
    on(SIGINT, note, 0);
    caught = 0;
    get("an interrupt", 100);
    say("caught %d\n", caught);
    on(SIGQUIT, note, SA_RESTART);
    get("quit, then a line", 100);
    say("caught %d\n", caught);
    signal(SIGINT, SIG_DFL);
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        signal(SIGTTOU, SIG_IGN);
        tcsetpgrp(0, getpid());
        say("an interrupt for a busy job?\n");
        for (;;) continue;
    }
    int status;
    waitpid(child, &status, 0);
    say("%x\n", status);
    signal(SIGTTOU, SIG_IGN);
    TRY(tcsetpgrp(0, getpgrp()));
    signal(SIGTTOU, SIG_DFL);
}

static pid_t job(int what, int how) {
    pid_t child = fork();
    if (child) {
        setpgid(child, child);
        return child;
    }
    setpgid(0, 0);
    sleep_ms(20);
    if (how == 1) signal(SIGTTIN, SIG_IGN), signal(SIGTTOU, SIG_IGN);
    if (how == 2) on(SIGTTIN, note, 0), on(SIGTTOU, note, 0);
    if (how == 3) on(SIGTTIN, note, SA_RESTART), on(SIGTTOU, note, SA_RESTART);
    long result = 0;
    errno = 0;
    struct termios t;
    if (what == 0) result = read(0, text, 1);
    if (what == 1) result = write(1, "background\n", 11);
    if (what == 2) tcgetattr(0, &t), result = tcsetattr(0, TCSANOW, &t);
    if (what == 3) result = tcsetpgrp(0, getpgrp());
    _exit(result == -1 ? errno : result >= 0 ? 100 : 101);
}

static void in_the_background(void) {
    for (int what = 0; what < 4; what++)
        for (int how = 0; how < 3; how++) {
            pid_t child = job(what, how);
            int status;
            waitpid(child, &status, WUNTRACED);
            say("job %d/%d: %x\n", what, how, status);
            if (WIFSTOPPED(status)) {
                kill(child, SIGKILL);
                waitpid(child, &status, 0);
            }
            signal(SIGTTOU, SIG_IGN);
            tcsetpgrp(0, getpgrp());
            signal(SIGTTOU, SIG_DFL);
        }
    struct termios t;
    tcgetattr(0, &t);
    t.c_lflag |= TOSTOP;
    tcsetattr(0, TCSANOW, &t);
    for (int how = 0; how < 2; how++) {
        pid_t child = job(1, how);
        int status;
        waitpid(child, &status, WUNTRACED);
        say("job with TOSTOP %d: %x\n", how, status);
        if (WIFSTOPPED(status)) kill(child, SIGKILL), waitpid(child, &status, 0);
    }
    t.c_lflag &= ~TOSTOP;
    tcsetattr(0, TCSANOW, &t);
}

/* Stopped by a key, continued into the foreground, and it reads on. */
static void a_job_goes_on(void) {
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        signal(SIGTTOU, SIG_IGN);
        tcsetpgrp(0, getpid());
        signal(SIGTTOU, SIG_DFL);
        get("stop", 100);
        _exit(0);
    }
    int status;
    waitpid(child, &status, WUNTRACED);
    say("%x\n", status);
    signal(SIGTTOU, SIG_IGN);
    TRY(tcsetpgrp(0, child));
    kill(-child, SIGCONT);
    say("a line for it?\n");
    waitpid(child, &status, WUNTRACED);
    say("%x\n", status);
    TRY(tcsetpgrp(0, getpgrp()));
    signal(SIGTTOU, SIG_DFL);
}

int main(void) {
    settings();
    whose();
    lines();
    raw();
    keys_that_signal();
    in_the_background();
    a_job_goes_on();
    return 0;
}
