/* hello: the smallest complete program. Shows: output, and the arguments of a program. */

#include <stdio.h>

int main(int argc, char **argv) {
    printf("Hello from ring 3.\n");
    for (int i = 0; i < argc; i++) printf("argv[%d] = %s\n", i, argv[i]);
    return 0;
}
