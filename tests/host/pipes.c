/* Pipes and named pipes: ends, waiting and not waiting, and writing without a reader. */

#include "say.h"

#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/wait.h>

static char big[70000];
static volatile int broken;

static void note(int signal) { broken = signal; }

static void basics(void) {
    int ends[2], count;
    char text[16];
    TITLE("pipe");
    SAY(pipe(ends));
    SAY(ends[0] * 10 + ends[1]);
    SAY(pipe(BAD));
    SAY(pipe2(ends, 0x1));
    SAY(write(ends[1], "hello", 5));
    SAY(ioctl(ends[0], FIONREAD, &count));
    SAY(count);
    SAY(read(ends[0], text, 2));
    SAY(read(ends[0], text, 16));
    SAY(read(ends[1], text, 1));
    SAY(write(ends[0], text, 1));
    SAY(lseek(ends[0], 0, SEEK_SET));
    SAY(pread(ends[0], text, 1, 0));
    SAY(pwrite(ends[1], text, 1, 0));
    SAY(ftruncate(ends[1], 0));
    SAY(read(ends[0], text, 0));
    SAY(write(ends[1], "", 0));
    SAY(write(ends[1], "rest", 4));
    SAY(close(ends[1]));
    SAY(read(ends[0], text, 16));
    SAY(read(ends[0], text, 16));
    SAY(close(ends[0]));
}

static void without_waiting(void) {
    int ends[2];
    char text[16];
    TITLE("O_NONBLOCK");
    SAY(pipe2(ends, O_NONBLOCK | O_CLOEXEC));
    SAY(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
    SAY(fcntl(ends[1], F_GETFD));
    SAY(read(ends[0], text, 1));
    SAY(write(ends[1], big, sizeof big));
    SAY(write(ends[1], big, 1));
    SAY(read(ends[0], big, 4095));
    SAY(write(ends[1], big, 4096));
    SAY(read(ends[0], big, 1));
    SAY(write(ends[1], big, 4096));
    long rest = 0;
    for (ssize_t got; (got = read(ends[0], big, sizeof big)) > 0;) rest += got;
    SAY(rest);
    SAY(read(ends[0], text, 1));
    SAY(close(ends[0]));
    signal(SIGPIPE, note);
    SAY(write(ends[1], "x", 1));
    SAY(broken);
    broken = 0;
    SAY(write(ends[1], "", 0));
    SAY(broken);
    signal(SIGPIPE, SIG_IGN);
    SAY(write(ends[1], "x", 1));
    SAY(close(ends[1]));
    signal(SIGPIPE, SIG_DFL);
}

static void killed_by_it(void) {
    int ends[2], status;
    TITLE("SIGPIPE");
    pipe(ends);
    close(ends[0]);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        write(ends[1], "x", 1);
        _exit(1);
    }
    SAY(waitpid(pid, &status, 0) == pid);
    SAY(WIFSIGNALED(status) ? WTERMSIG(status) : -2);
    close(ends[1]);
}

/* More than the pipe holds: the writer waits until the reader has taken some. */
static void with_a_reader(void) {
    int ends[2], status;
    TITLE("a writer that must wait");
    pipe(ends);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        _exit(write(ends[1], big, sizeof big) == sizeof big ? 0 : 1);
    }
    close(ends[1]);
    long total = 0;
    for (ssize_t got; (got = read(ends[0], big, 1000)) > 0;) total += got;
    SAY(total);
    SAY(waitpid(pid, &status, 0) == pid);
    SAY(status);
    close(ends[0]);
}

static void named(void) {
    int status;
    char text[16];
    TITLE("a named pipe");
    SAY(mkfifo("p", 0644));
    SAY(mkfifo("p", 0644));
    SAY(open("p", O_WRONLY | O_NONBLOCK));
    int reader = (int)SAY(open("p", O_RDONLY | O_NONBLOCK));
    SAY(read(reader, text, 1));
    int writer = (int)SAY(open("p", O_WRONLY | O_NONBLOCK));
    SAY(read(reader, text, 1));
    SAY(write(writer, "named", 5));
    SAY(read(reader, text, 16));
    SAY(close(writer));
    SAY(read(reader, text, 1));
    SAY(lseek(reader, 0, SEEK_CUR));
    SAY(close(reader));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int end = open("p", O_WRONLY);
        _exit(end >= 0 && write(end, "from child", 10) == 10 ? 0 : 1);
    }
    reader = (int)SAY(open("p", O_RDONLY));
    SAY(read(reader, text, 16));
    SAY(waitpid(pid, &status, 0) == pid);
    SAY(status);
    SAY(read(reader, text, 16));
    close(reader);
    int both = (int)SAY(open("p", O_RDWR));
    SAY(write(both, "self", 4));
    SAY(read(both, text, 16));
    close(both);
    SAY(unlink("p"));
}

static void sending(void) {
    int ends[2];
    char text[16];
    TITLE("sendfile and pipes");
    fill("f", "0123456789");
    pipe(ends);
    int fd = (int)SAY(open("f", O_RDONLY));
    SAY(sendfile(ends[1], fd, NULL, 5));
    SAY(read(ends[0], text, 16));
    SAY(sendfile(fd, ends[0], NULL, 5));
    close(fd), close(ends[0]), close(ends[1]);
}

int main(void) {
    basics();
    without_waiting();
    killed_by_it();
    with_a_reader();
    named();
    sending();
    return 0;
}
