/* vas_views: one program and three address spaces, each with its own segment at one address.
 * Shows: the same address has other contents in each view, and is not mapped at home. */

#include <err.h>
#include <stdio.h>
#include <string.h>
#include <vantage.h>
#include <vas.h>

enum { PAGE = 4096, VIEWS = 3 };
static const char *const names[VIEWS] = {"red", "green", "blue"};
static char *const place = (char *)0x100000000000;
static int vids[VIEWS];

static void set_up(int i) {
    int sid = vas_seg_create(names[i], place, place + PAGE, 0600);
    if (sid < 0 || (vids[i] = vas_create(names[i], 0600)) < 0) err(1, "cannot create %s", names[i]);
    if (vas_seg_attach(vids[i], sid, O_RDWR) < 0) err(1, "cannot attach the segment");
    if (vas_attach(0, vids[i], O_RDWR) < 0) err(1, "cannot attach %s", names[i]);
}

static void go(int vid) {
    if (vas_switch(vid) < 0) err(1, "cannot switch");
}

int main(void) {
    struct vantage_page page;
    vantage_required();
    for (int i = 0; i < VIEWS; i++) set_up(i);
    for (int i = 0; i < VIEWS; i++) go(vids[i]), strlcpy(place, names[i], PAGE);
    for (int i = 0; i < VIEWS; i++) {
        go(vids[i]);
        printf("vid %d: %p holds %s\n", active_vas(), (void *)place, place);
    }
    go(0);
    printf("vid %d: %p %s\n", active_vas(), (void *)place,
           vantage_translate(place, &page) < 0 ? "is not there" : "is there");
    return 0;
}
