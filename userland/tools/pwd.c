/* pwd: where we are. */

#include <err.h>
#include <stdio.h>
#include <unistd.h>

int main(void) {
    char path[4096];
    if (!getcwd(path, sizeof path)) err(1, "the folder");
    puts(path);
    return 0;
}
