/* Descriptors: copies, flags, limits, and what exec does to them. */

#include "say.h"

#include <sys/resource.h>
#include <sys/wait.h>

static void copies(void) {
    TITLE("dup, dup2, dup3");
    int fd = (int)SAY(open("f", O_RDWR | O_CREAT, 0644));
    SAY(dup(fd));
    SAY(dup(99));
    SAY(dup(-1));
    SAY(dup2(fd, 7));
    SAY(dup2(fd, fd));
    SAY(dup2(99, 7));
    SAY(dup2(99, 99));
    SAY(dup2(fd, -1));
    SAY(dup2(fd, 1 << 20));
    SAY(dup3(fd, 8, O_CLOEXEC));
    SAY(fcntl(8, F_GETFD));
    SAY(fcntl(7, F_GETFD));
    SAY(dup3(fd, fd, 0));
    SAY(dup3(fd, 9, O_APPEND));
    SAY(dup3(99, 9, 0));
    SAY(write(7, "abc", 3));
    SAY(lseek(fd, 0, SEEK_CUR));
    SAY(close(7));
    SAY(write(4, "def", 3));
    SAY(close(4));
    SAY(dup(fd));
    close(4), close(8);
}

static void flags(void) {
    TITLE("fcntl");
    int fd = (int)SAY(open("f", O_RDWR | O_APPEND | O_CLOEXEC));
    SAY(fcntl(fd, F_GETFD));
    SAY(fcntl(fd, F_SETFD, 0));
    SAY(fcntl(fd, F_GETFD));
    SAY(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
    SAY(fcntl(fd, F_SETFL, O_NONBLOCK));
    SAY(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
    SAY(fcntl(fd, F_SETFL, O_WRONLY | O_CREAT | O_APPEND));
    SAY(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK | O_CREAT));
    int copy = (int)SAY(fcntl(fd, F_DUPFD, 20));
    SAY(fcntl(copy, F_SETFL, O_NONBLOCK));
    SAY(fcntl(fd, F_GETFL) & O_NONBLOCK);
    SAY(fcntl(fd, F_DUPFD, 20));
    SAY(fcntl(fd, F_DUPFD_CLOEXEC, 20));
    SAY(fcntl(22, F_GETFD));
    SAY(fcntl(fd, F_DUPFD, -1));
    SAY(fcntl(fd, F_DUPFD, 1 << 20));
    SAY(fcntl(99, F_GETFD));
    SAY(fcntl(99, F_DUPFD, 0));
    SAY(fcntl(fd, 12345));
    for (int i = 4; i < 30; i++) close(i);
}

static void limits(void) {
    struct rlimit limit = {12, 12}, old;
    TITLE("limits");
    SAY(getrlimit(RLIMIT_NOFILE, BAD));
    SAY(getrlimit(99, &old));
    SAY(setrlimit(RLIMIT_NOFILE, &(struct rlimit){5, 4}));
    SAY(setrlimit(RLIMIT_NOFILE, &limit));
    SAY(getrlimit(RLIMIT_NOFILE, &old));
    SAY(old.rlim_cur);
    int last = 0, fd, ends[2];
    while ((fd = open("f", O_RDONLY)) >= 0) last = fd;
    SAY(last);
    SAY(open("f", O_RDONLY));
    SAY(open("absent", O_RDONLY));
    SAY(dup(0));
    SAY(pipe(ends));
    SAY(dup2(0, 12));
    SAY(dup2(0, 11));
    SAY(fcntl(0, F_DUPFD, 11));
    SAY(fcntl(0, F_DUPFD, 12));
    SAY(close(11));
    SAY(pipe(ends));
    SAY(open("f", O_RDONLY));
    for (int i = 3; i < 12; i++) close(i);
}

static void over_exec(char *self) {
    TITLE("over exec");
    int kept = (int)SAY(open("f", O_RDONLY)), closed = (int)SAY(open("f", O_RDONLY | O_CLOEXEC));
    SAY(lseek(kept, 2, SEEK_SET));
    (void)closed;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        execv(self, (char *[]){self, "after", NULL});
        _exit(99);
    }
    int status;
    SAY(waitpid(pid, &status, 0) == pid);
    SAY(WEXITSTATUS(status));
    SAY(lseek(kept, 0, SEEK_CUR));
}

static int after_exec(void) {
    char byte;
    SAY(read(3, &byte, 1));
    SAY(lseek(3, 0, SEEK_CUR));
    SAY(read(4, &byte, 1));
    return 5;
}

int main(int argc, char **argv) {
    if (argc > 1) return after_exec();
    copies();
    flags();
    close(3);
    over_exec(argv[0]);
    close(3), close(4);
    limits();
    return 0;
}
