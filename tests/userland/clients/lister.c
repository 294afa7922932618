/* Walks /sys/kernel/vas and /sys/kernel/vas_segs, and prints what is there, in the order of ids. */

#include <dirent.h>
#include <mvas/segment.h>
#include <mvas/vas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *content(const char *folder, const char *id, const char *file, char text[64]) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s/%s", folder, id, file);
    FILE *stream = fopen(path, "r");
    text[0] = '\0';
    if (!stream) return text;
    if (!fgets(text, 64, stream)) text[0] = '\0';
    fclose(stream);
    text[strcspn(text, "\n")] = '\0';
    return text;
}

static void list(const char *folder, const char *more) {
    char name[64], mode[64], user[64], group[64], last[64] = "";
    DIR *directory = opendir(folder);
    if (!directory) {
        perror(folder);
        exit(1);
    }
    for (struct dirent *entry; (entry = readdir(directory));) {
        const char *id = entry->d_name;
        if (atoi(id) <= 0) continue;
        if (more) content(folder, id, more, last);
        printf("%s/%s: %s %s %s:%s %s\n", folder, id, content(folder, id, "name", name),
               content(folder, id, "mode", mode), content(folder, id, "user", user),
               content(folder, id, "group", group), last);
    }
    closedir(directory);
}

int main(void) {
    static const char *const names[] = {"one", "two", "three"};
    for (int i = 0; i < 3; i++)
        if (vas_create(names[i], 0600 | i) != i + 1) return 1;
    if (segment_create_sz("memory", 0xC0DE000, 0x2000, 0640) != 1) return 1;
    if (vas_delete(vas_find("two")) < 0) return 1;
    list("/sys/kernel/vas", NULL);
    list("/sys/kernel/vas_segs", "region");
    return 0;
}
