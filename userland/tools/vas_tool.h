/* The common parts of the tools `vas` and `vasseg`: names, modes, and the files in /sys/kernel. */
#ifndef VAS_TOOL_H
#define VAS_TOOL_H

#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <errno.h>
#include <vantage.h>
#include <vas.h>

/* Find a VAS or segment by its name, or by its number if none has that name. */
static int find(const char *what, const char *tool, const char *name, int (*by_name)(const char *),
                int (*exists)(int)) {
    int id = by_name(name);
    if (id > 0) return id;
    if (isdigit(*name) && exists(id = atoi(name))) return id;
    errx(1, "there is no %s '%s'; `%s list` shows what there is", what, name, tool);
}

static inline int vas_exists(int vid) {
    struct vas_attr attr;
    return vas_getattr(vid, &attr) == 0;
}
static inline int segment_exists(int sid) {
    struct vas_seg_attr attr;
    return vas_seg_getattr(sid, &attr) == 0;
}

static inline int vas_named(const char *name) {
    return find("VAS", "vas", name, vas_find, vas_exists);
}
static inline int segment_named(const char *name) {
    return find("segment", "vasseg", name, vas_seg_find, segment_exists);
}

/* 640, or p640: what has it outlives the power. */
static inline unsigned mode_of(const char *text) {
    char *end;
    const char *digits = text + (*text == 'p');
    unsigned long mode = strtoul(digits, &end, 8);
    if (*end || !*digits || mode & ~0666ul)
        errx(2, "'%s' is no mode; give three octal digits of r (4) and w (2), such as 640", text);
    return (unsigned)mode | (*text == 'p' ? VAS_PERSISTENT : 0);
}

/* Say why something cannot be persistent, if that is what failed. */
static inline void explain_persistence(const char *name) {
    if (errno == ENODEV) errx(1, "'%s' cannot be persistent: there is no NVM (--nvm FILE)", name);
    if (errno == ENOSPC) errx(1, "there is no room for '%s' in the NVM module", name);
    if (errno == EOPNOTSUPP) errx(1, "'%s' holds files or segments that are not persistent", name);
}

/* A file of /sys/kernel: empty if it no longer exists. */
static const char *value(const char *kind, int id, const char *file) {
    static char text[512];
    char path[64];
    snprintf(path, sizeof path, "/sys/kernel/%s/%d/%s", kind, id, file);
    int fd = open(path, O_RDONLY);
    ssize_t count = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    text[count > 0 ? count : 0] = '\0';
    return text;
}

static int number(const char *kind, int id, const char *file) {
    return atoi(value(kind, id, file));
}

/* Print a name that somebody chose, padded to `width` columns. What a terminal could obey, and the
 * backslash, is printed as \ooo. */
static void print_name(const char *name, int width) {
    for (; *name; name++) {
        unsigned char byte = (unsigned char)*name;
        if (byte >= ' ' && byte < 127 && byte != '\\')
            width -= printf("%c", byte);
        else
            width -= printf("\\%03o", byte);
    }
    printf("%*s", width > 0 ? width : 0, "");
}

/* List all, or only the orphans; the last column comes from one file. */
static void list(const char *kind, int orphans, const char *title, const char *file) {
    char path[32];
    snprintf(path, sizeof path, "/sys/kernel/%s", kind);
    DIR *directory = opendir(path);
    if (!directory) err(1, "cannot read %s", path);
    printf("   ID MODE   USER  GROUP ATTACHED    KIB NAME             %s\n", title);
    for (struct dirent *entry; (entry = readdir(directory));) {
        int id = atoi(entry->d_name);
        if (!id || (orphans && number(kind, id, "attached"))) continue;
        const char *shown = value(kind, id, "mode");
        unsigned long mode = strtoul(shown, NULL, 8);
        if (mode & VAS_PERSISTENT)
            printf("%5d p%03lo ", id, mode & 0666);
        else
            printf("%5d %4s ", id, shown);
        printf("%6d %6d %8d ", number(kind, id, "user"), number(kind, id, "group"),
               number(kind, id, "attached"));
        printf("%6d ", 4 * number(kind, id, "resident"));
        print_name(value(kind, id, "name"), 16);
        printf(" %s", value(kind, id, file));
        printf("%s\n", strcmp(value(kind, id, "kind"), "checkpoint") ? "" : "checkpoint");
    }
    closedir(directory);
}

#endif
