/* The calls on virtual address spaces and segments. */

#include <vas.h>

#include "syscall.h"

int vas_create(const char *name, unsigned mode) { return (int)CALL(vas_create, name, mode); }
int vas_delete(int vid) { return (int)CALL(vas_delete, vid); }
int vas_find(const char *name) { return (int)CALL(vas_find, name); }
int vas_attach(pid_t pid, int vid, int type) { return (int)CALL(vas_attach, pid, vid, type); }
int vas_detach(pid_t pid, int vid) { return (int)CALL(vas_detach, pid, vid); }
int vas_switch(int vid) { return (int)CALL(vas_switch, vid); }
int active_vas(void) { return (int)CALL(active_vas); }
int vas_getattr(int vid, struct vas_attr *attr) { return (int)CALL(vas_getattr, vid, attr); }
int vas_setattr(int vid, const struct vas_attr *attr) { return (int)CALL(vas_setattr, vid, attr); }

int vas_seg_create(const char *name, void *start, void *end, unsigned mode) {
    return (int)CALL(vas_seg_create, name, start, end, mode);
}
int vas_seg_delete(int sid) { return (int)CALL(vas_seg_delete, sid); }
int vas_seg_find(const char *name) { return (int)CALL(vas_seg_find, name); }
int vas_seg_attach(int vid, int sid, int type) { return (int)CALL(vas_seg_attach, vid, sid, type); }
int vas_seg_detach(int vid, int sid) { return (int)CALL(vas_seg_detach, vid, sid); }
int vas_seg_getattr(int sid, struct vas_seg_attr *attr) {
    return (int)CALL(vas_seg_getattr, sid, attr);
}
int vas_seg_setattr(int sid, const struct vas_seg_attr *attr) {
    return (int)CALL(vas_seg_setattr, sid, attr);
}

int vas_clone(int vid, const char *name, unsigned mode) {
    return (int)CALL(vas_clone, vid, name, mode);
}
int vas_seg_clone(int sid, const char *name, unsigned mode) {
    return (int)CALL(vas_seg_clone, sid, name, mode);
}
int vas_ctl(int vid, int command, int value) { return (int)CALL(vas_ctl, vid, command, value); }
int vas_seg_ctl(int sid, int command, int value) {
    return (int)CALL(vas_seg_ctl, sid, command, value);
}
int vas_local_attach(int vid, int sid, int type) {
    return (int)CALL(vas_local_attach, vid, sid, type);
}
int vas_local_detach(int vid, int sid) { return (int)CALL(vas_local_detach, vid, sid); }
int vas_entry(int vid, void (*entry)(void)) { return (int)CALL(vas_entry, vid, entry); }
