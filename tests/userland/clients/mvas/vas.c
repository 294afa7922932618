/* The calls on address spaces. */

#include <mvas/vas.h>
#include <unistd.h>

vasid_t vas_create(const char *name, mode_t mode) {
    return (vasid_t)syscall(__NR_vas_create, name, mode);
}
vasid_t vas_find(const char *name) { return (vasid_t)syscall(__NR_vas_find, name); }
int vas_delete(vasid_t vid) { return (int)syscall(__NR_vas_delete, vid); }

int vas_attach(pid_t pid, vasid_t vid, int type) {
    return (int)syscall(__NR_vas_attach, pid, vid, type);
}
int vas_detach(pid_t pid, vasid_t vid) { return (int)syscall(__NR_vas_detach, pid, vid); }
int vas_switch(vasid_t vid) { return (int)syscall(__NR_vas_switch, vid); }
vasid_t active_vas(void) { return (vasid_t)syscall(__NR_active_vas); }

int vas_getattr(vasid_t vid, struct vas_attr *attr) {
    return (int)syscall(__NR_vas_getattr, vid, attr);
}
int vas_setattr(vasid_t vid, struct vas_attr *attr) {
    return (int)syscall(__NR_vas_setattr, vid, attr);
}
