/* echo: its words with spaces between; -n leaves out the newline. Also built into sh. */

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    int first = argc > 1 && strcmp(argv[1], "-n") == 0 ? 2 : 1;
    for (int i = first; i < argc; i++) printf("%s%s", argv[i], i + 1 < argc ? " " : "");
    if (first == 1) printf("\n");
    return fflush(stdout) < 0;
}
