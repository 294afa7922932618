/* A library in the style of 2017: functions for the calls on address spaces, made by syscall(2).
 * Each returns -1 with errno set when it fails. */
#ifndef MVAS_VAS_H
#define MVAS_VAS_H

#include <linux/vas.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int vasid_t;

vasid_t vas_create(const char *name, mode_t mode);
vasid_t vas_find(const char *name);
int vas_delete(vasid_t vid);
int vas_attach(pid_t pid, vasid_t vid, int type);
int vas_detach(pid_t pid, vasid_t vid);
int vas_switch(vasid_t vid);
vasid_t active_vas(void);
int vas_getattr(vasid_t vid, struct vas_attr *attr);
int vas_setattr(vasid_t vid, struct vas_attr *attr);

#ifdef __cplusplus
}
#endif

#endif
