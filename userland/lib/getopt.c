/* Options, as POSIX has them: letters after a '-', several in one word, "--" ends them. */

#include <err.h>
#include <getopt.h>
#include <stddef.h>
#include <string.h>

char *optarg;
int optind = 1, optopt;

static int within = 1; /* where in the word we are */

static void next_word(void) { optind++, within = 1; }

int getopt(int argc, char *const argv[], const char *known) {
    if (optind >= argc || argv[optind][0] != '-' || !argv[optind][1]) return -1;
    if (strcmp(argv[optind], "--") == 0) return optind++, -1;
    const char *word = argv[optind];
    optopt = word[within++];
    const char *entry = optopt == ':' ? NULL : strchr(known, optopt);
    if (!word[within] && !(entry && entry[1] == ':')) next_word();
    if (!entry) {
        warnx("there is no option -%c", optopt);
        return '?';
    }
    if (entry[1] != ':') return optopt;

    optarg = (char *)word + within;
    next_word();
    if (*optarg) return optopt;
    if (optind < argc) {
        optarg = argv[optind++];
        return optopt;
    }
    warnx("option -%c needs an argument", optopt);
    return '?';
}
