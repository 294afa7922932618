/* upper: copies standard input to standard output in capitals, and prints the amount on standard
 * error. Shows: that a read waits until the console has input, and that the three standard
 * descriptors lead to three streams. */

#include <ctype.h>
#include <stdio.h>
#include <unistd.h>

static char buffer[4096];

int main(void) {
    long lines = 0, bytes = 0, got;
    char last = '\n';
    while ((got = read(0, buffer, sizeof buffer)) > 0) {
        for (long i = 0; i < got; i++) {
            lines += last == '\n'; /* a line counts when it begins, even without an end */
            last = buffer[i];
            buffer[i] = (char)toupper(last);
        }
        write(1, buffer, (size_t)got);
        bytes += got;
    }
    char text[64];
    int size = snprintf(text, sizeof text, "upper: %ld lines, %ld bytes\n", lines, bytes);
    write(2, text, (size_t)size);
    return got < 0;
}
