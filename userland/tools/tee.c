/* tee: copy standard input to standard output and into files; -a: append to the files. */

#include <err.h>
#include <fcntl.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int flags = O_WRONLY | O_CREAT | O_TRUNC, failed = 0, targets[32] = {STDOUT_FILENO}, count = 1;
    for (int letter; (letter = getopt(argc, argv, "a")) != -1;) {
        if (letter == '?') return 2;
        flags = O_WRONLY | O_CREAT | O_APPEND;
    }
    for (int i = optind; i < argc && count < 32; i++) {
        targets[count] = open(argv[i], flags, 0666);
        if (targets[count] >= 0)
            count++;
        else
            warn("%s", argv[i]), failed = 1;
    }
    static char buffer[4096];
    for (ssize_t got; (got = read(STDIN_FILENO, buffer, sizeof buffer)) > 0;)
        for (int i = 0; i < count; i++)
            for (ssize_t done = 0, now; done < got; done += now)
                if ((now = write(targets[i], buffer + done, (size_t)(got - done))) < 0)
                    err(1, "write");
    return failed;
}
