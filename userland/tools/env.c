/* env: print the environment; or run a command in a changed one: env [-i] NAME=VALUE.. COMMAND.. */

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    static char *nothing[] = {NULL};
    for (int letter; (letter = getopt(argc, argv, "iu:")) != -1;) switch (letter) {
        case 'i': environ = nothing; break;
        case 'u': unsetenv(optarg); break;
        default: return 125;
        }
    for (char *equals; optind < argc && (equals = strchr(argv[optind], '=')); optind++) {
        *equals = '\0';
        if (setenv(argv[optind], equals + 1, 1) < 0) err(125, "%s", argv[optind]);
    }
    if (optind < argc) {
        execvp(argv[optind], argv + optind);
        err(errno == ENOENT ? 127 : 126, "%s", argv[optind]);
    }
    for (char **entry = environ; *entry; entry++) puts(*entry);
    return 0;
}
