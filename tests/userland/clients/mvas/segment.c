/* The calls on segments. */

#include <mvas/segment.h>
#include <unistd.h>

segid_t segment_create(const char *name, unsigned long start, unsigned long end, mode_t mode) {
    return (segid_t)syscall(__NR_vas_seg_create, name, start, end, mode);
}
segid_t segment_create_sz(const char *name, unsigned long start, size_t size, mode_t mode) {
    return segment_create(name, start, start + size, mode);
}
segid_t segment_find(const char *name) { return (segid_t)syscall(__NR_vas_seg_find, name); }
int segment_delete(segid_t sid) { return (int)syscall(__NR_vas_seg_delete, sid); }

int segment_attach(vasid_t vid, segid_t sid, int type) {
    return (int)syscall(__NR_vas_seg_attach, vid, sid, type);
}
int segment_detach(vasid_t vid, segid_t sid) {
    return (int)syscall(__NR_vas_seg_detach, vid, sid);
}

int segment_getattr(segid_t sid, struct vas_seg_attr *attr) {
    return (int)syscall(__NR_vas_seg_getattr, sid, attr);
}
int segment_setattr(segid_t sid, struct vas_seg_attr *attr) {
    return (int)syscall(__NR_vas_seg_setattr, sid, attr);
}
