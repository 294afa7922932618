/* cat: files, or standard input (-), one after another. */

#include <err.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int copy(int fd, const char *name) {
    static char buffer[16384];
    ssize_t got;
    while ((got = read(fd, buffer, sizeof buffer)) > 0)
        for (ssize_t done = 0, now; done < got; done += now)
            if ((now = write(STDOUT_FILENO, buffer + done, (size_t)(got - done))) < 0)
                err(1, "write");
    if (got < 0) warn("%s", name);
    return got < 0;
}

int main(int argc, char **argv) {
    int failed = argc < 2 ? copy(STDIN_FILENO, "standard input") : 0;
    for (int i = 1; i < argc; i++) {
        int is_input = strcmp(argv[i], "-") == 0;
        int fd = is_input ? STDIN_FILENO : open(argv[i], O_RDONLY);
        if (fd < 0) {
            warn("%s", argv[i]);
            failed = 1;
            continue;
        }
        failed |= copy(fd, argv[i]);
        if (!is_input) close(fd);
    }
    return failed;
}
