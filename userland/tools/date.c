/* date: the time now, in UTC; +FORMAT: in a format of strftime. */

#include <err.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int main(int argc, char **argv) {
    const char *format = "%a %b %e %H:%M:%S UTC %Y";
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '+')
            format = argv[i] + 1;
        else if (strcmp(argv[i], "-u") != 0)
            errx(2, "usage: date [-u] [+FORMAT]");
    }
    char text[512];
    struct tm date;
    time_t now = time(NULL);
    strftime(text, sizeof text, format, gmtime_r(&now, &date));
    puts(text);
    return 0;
}
