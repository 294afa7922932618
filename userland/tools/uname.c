/* uname: which system is this? -a: all of it; -s -n -r -v -m: system, host, release, version,
 * machine. */

#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct utsname system;
    char wanted[8] = "";
    for (int letter; (letter = getopt(argc, argv, "asnrvm")) != -1;) {
        if (letter == '?') return 2;
        if (letter == 'a')
            strcpy(wanted, "snrvm");
        else if (!strchr(wanted, letter))
            strcat(wanted, (char[2]){(char)letter});
    }
    if (!*wanted) strcpy(wanted, "s");
    if (uname(&system) < 0) err(1, "uname");
    const char *parts[] = {system.sysname, system.nodename, system.release, system.version,
                           system.machine};
    const char *space = "";
    for (int i = 0; i < 5; i++)
        if (strchr(wanted, "snrvm"[i])) printf("%s%s", space, parts[i]), space = " ";
    printf("\n");
    return 0;
}
