/* vasseg: segments, memory with a name and a fixed place.
 *
 *     vasseg create NAME START BYTES [MODE]     such as: vasseg create books 0x100000000000 1M
 *     vasseg list | orphans | chmod MODE SEGMENT | delete SEGMENT
 *
 * BYTES may end in K, M or G. An orphan is shown in no VAS and in no process. `vas` attaches them.
 * A MODE is 640, or p640: what has that outlives the power. */

#include "vas_tool.h"

static const char usage[] =
    "usage: vasseg create NAME START BYTES [MODE] | list | orphans | chmod MODE SEGMENT | "
    "delete SEGMENT";

static unsigned long size_of(const char *text) {
    char *end;
    unsigned long size = strtoul(text, &end, 0);
    const char *unit = *end ? strchr("KMG", *end) : NULL;
    if (unit) size <<= *end == 'K' ? 10 : *end == 'M' ? 20 : 30, end++;
    if (*end || !size) errx(2, "'%s' is no size; give bytes, or a number with K, M or G", text);
    return size;
}

static void create(const char *name, const char *place, const char *bytes, const char *mode) {
    char *end;
    unsigned long start = strtoul(place, &end, 0), size = size_of(bytes);
    if (*end || start % 4096 || size % 4096)
        errx(2, "START and BYTES must be multiples of 4096");
    int sid = vas_seg_create(name, (void *)start, (void *)(start + size), mode_of(mode));
    if (sid < 0 && errno == EEXIST) errx(1, "there is a segment '%s' already", name);
    if (sid < 0) explain_persistence(name);
    if (sid < 0) err(1, "cannot create the segment '%s'", name);
    printf("%d\n", sid);
}

static void set_mode(const char *mode, const char *name) {
    struct vas_seg_attr attr;
    int sid = segment_named(name);
    if (vas_seg_getattr(sid, &attr) < 0) err(1, "cannot look at '%s'", name);
    attr.mode = mode_of(mode);
    if (vas_seg_setattr(sid, &attr) == 0) return;
    explain_persistence(name);
    err(1, "cannot change the mode of '%s'", name);
}

static void delete(const char *name) {
    if (vas_seg_delete(segment_named(name)) == 0) return;
    if (errno == EBUSY) errx(1, "'%s' is attached; detach it everywhere first", name);
    err(1, "cannot delete '%s'", name);
}

int main(int argc, char **argv) {
    vantage_required();
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "create") == 0 && (argc == 5 || argc == 6))
        create(argv[2], argv[3], argv[4], argc == 6 ? argv[5] : "600");
    else if (strcmp(command, "list") == 0 && argc == 2)
        list("vas_segs", 0, "REGION", "region");
    else if (strcmp(command, "orphans") == 0 && argc == 2)
        list("vas_segs", 1, "REGION", "region");
    else if (strcmp(command, "chmod") == 0 && argc == 4)
        set_mode(argv[2], argv[3]);
    else if (strcmp(command, "delete") == 0 && argc == 3)
        delete(argv[2]);
    else
        errx(2, "%s", usage);
    return 0;
}
