/* id: who we are. -u: only the user; -g: only the group. */

#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv) {
    gid_t groups[64];
    int letter = getopt(argc, argv, "ug");
    if (letter == '?') return 2;
    if (letter == 'u') return printf("%u\n", geteuid()) < 0;
    if (letter == 'g') return printf("%u\n", getegid()) < 0;
    printf("uid=%u gid=%u", getuid(), getgid());
    if (geteuid() != getuid()) printf(" euid=%u", geteuid());
    if (getegid() != getgid()) printf(" egid=%u", getegid());
    int count = getgroups(64, groups);
    for (int i = 0; i < count; i++) printf("%s%u", i ? "," : " groups=", groups[i]);
    printf("\n");
    return 0;
}
