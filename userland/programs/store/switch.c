/* The store as a place: the table lies in a segment, and a client switches there to use it.
 *
 *     VAS store-read     the segment, to read      any number of threads at a time
 *     VAS store-write    the segment, to write     one thread, and no other in either VAS
 *
 * The segment is lockable: vas_switch takes its lock on the way in, as a reader or as the writer,
 * and releases it on the way out (sharing policy `switch`). The kernel also releases it when a
 * thread dies inside. Every view shows the client's own code and stack. So a client walks the
 * table's chains by itself and copies a value to its stack. There is no server, no message, and no
 * pointer to translate. */

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <vas.h>

#include "store.h"

static struct table *const table = (struct table *)0x200000000000;
static int segment, to_read, to_write;

/* A VAS that shows the segment. */
static int make_vas(const char *name, int type) {
    int vid = vas_create(name, 0600);
    if (vid < 0) err(1, "cannot make the VAS %s", name);
    if (vas_seg_attach(vid, segment, type) < 0)
        err(1, "cannot show the store in %s%s", name,
            errno == EBUSY ? " beside a writer (boot with --vas-sharing switch)" : "");
    return vid;
}

static void go(int vid) {
    if (vas_switch(vid) < 0) err(1, "cannot switch to VAS %d", vid);
}

/* Attachments belong to a process, and fork does not copy them. */
static void join(void) {
    /* BEGIN SOLUTION lab9.attach */
    if (vas_attach(0, to_read, O_RDONLY) < 0) err(1, "cannot attach store-read");
    if (vas_attach(0, to_write, O_RDWR) < 0) err(1, "cannot attach store-write");
    /* END SOLUTION lab9.attach */
    /* PROMPT lab9.attach: attach both VASes, each with the access of its purpose. */
}

static void make(void) {
    segment = vas_seg_create("store", table, (char *)table + STORE_BYTES, 0600);
    if (segment < 0) err(1, "cannot make the segment");
    /* BEGIN SOLUTION lab9.lock */
    if (vas_seg_ctl(segment, SEG_CTL_LOCKABLE, 1) < 0) err(1, "cannot make the segment lockable");
    /* END SOLUTION lab9.lock */
    /* PROMPT lab9.lock: let every switch take the segment's lock. */
    to_read = make_vas("store-read", O_RDONLY);
    to_write = make_vas("store-write", O_RDWR);
    join();
    go(to_write);
    table_create(table, STORE_BYTES);
    go(0);
}

static bool get(const char *key, struct value *value) {
    /* BEGIN SOLUTION lab9.get */
    go(to_read);
    const struct value *found = table_get(table, key);
    if (found) *value = *found; /* at home the pointer leads nowhere */
    go(0);
    return found != NULL;
    /* END SOLUTION lab9.get */
    /* PROMPT lab9.get: switch in as a reader, copy the value to the caller, and switch back. */
}

static void set(const char *key, const struct value *value) {
    /* BEGIN SOLUTION lab9.set */
    go(to_write);
    bool done = table_set(table, key, value);
    go(0);
    if (!done) errx(1, "the store is full");
    /* END SOLUTION lab9.set */
    /* PROMPT lab9.set: switch in as the writer, set, and switch back in every case. */
}

static void add(const char *key, uint64_t amount) {
    /* BEGIN SOLUTION lab9.add */
    go(to_write);
    bool done = table_add(table, key, amount);
    go(0);
    if (!done) errx(1, "the store is full");
    /* END SOLUTION lab9.add */
    /* PROMPT lab9.add: read and write within one visit, or another client's addition is lost. */
}

static void end(void) {
    if (vas_detach(0, to_read) < 0 || vas_detach(0, to_write) < 0 || vas_delete(to_read) < 0 ||
        vas_delete(to_write) < 0 || vas_seg_delete(segment) < 0)
        err(1, "cannot delete the store");
}

const struct way by_switch = {"switch", make, join, get, set, add, end};
