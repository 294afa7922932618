/* yes: print a line (y) again and again, until no process reads it. */

#include <stdio.h>

int main(int argc, char **argv) {
    const char *line = argc > 1 ? argv[1] : "y";
    while (puts(line) >= 0);
    return 1;
}
