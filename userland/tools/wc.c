/* wc: count lines (-l), words (-w) and bytes (-c); without an option all three. */

#include <ctype.h>
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct counts {
    long lines, words, bytes;
};

static int wants_lines, wants_words, wants_bytes;

static int count(int fd, struct counts *counts) {
    static char buffer[16384];
    int in_word = 0;
    ssize_t got;
    while ((got = read(fd, buffer, sizeof buffer)) > 0) {
        counts->bytes += got;
        for (ssize_t i = 0; i < got; i++) {
            counts->lines += buffer[i] == '\n';
            int is_word = !isspace(buffer[i]);
            counts->words += is_word && !in_word;
            in_word = is_word;
        }
    }
    return got < 0;
}

/* A single figure is printed as it is; several are printed in columns. */
static void print(const struct counts *counts, const char *name) {
    int columns = wants_lines + wants_words + wants_bytes > 1 ? 7 : 0;
    const char *space = "";
    if (wants_lines) printf("%*ld", columns, counts->lines), space = " ";
    if (wants_words) printf("%s%*ld", space, columns, counts->words), space = " ";
    if (wants_bytes) printf("%s%*ld", space, columns, counts->bytes);
    printf("%s%s\n", name ? " " : "", name ? name : "");
}

int main(int argc, char **argv) {
    int failed = 0;
    for (int letter; (letter = getopt(argc, argv, "lwc")) != -1;) switch (letter) {
        case 'l': wants_lines = 1; break;
        case 'w': wants_words = 1; break;
        case 'c': wants_bytes = 1; break;
        default: return 2;
        }
    if (!wants_lines && !wants_words && !wants_bytes) wants_lines = wants_words = wants_bytes = 1;
    struct counts total = {0};
    if (optind == argc) {
        failed = count(STDIN_FILENO, &total);
        print(&total, NULL);
    }
    for (int i = optind; i < argc; i++) {
        struct counts counts = {0};
        int fd = open(argv[i], O_RDONLY);
        if (fd < 0 || count(fd, &counts)) {
            warn("%s", argv[i]);
            failed = 1;
        } else {
            print(&counts, argv[i]);
        }
        if (fd >= 0) close(fd);
        total.lines += counts.lines, total.words += counts.words, total.bytes += counts.bytes;
    }
    if (argc - optind > 1) print(&total, "total");
    return failed;
}
