/* Segments: memory with a name and a place, which address spaces show. -1 with errno set if it
 * fails. */
#ifndef MVAS_SEGMENT_H
#define MVAS_SEGMENT_H

#include <linux/vas.h>
#include <mvas/vas.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int segid_t;

segid_t segment_create(const char *name, unsigned long start, unsigned long end, mode_t mode);
segid_t segment_create_sz(const char *name, unsigned long start, size_t size, mode_t mode);
segid_t segment_find(const char *name);
int segment_delete(segid_t sid);
int segment_attach(vasid_t vid, segid_t sid, int type);
int segment_detach(vasid_t vid, segid_t sid);
int segment_getattr(segid_t sid, struct vas_seg_attr *attr);
int segment_setattr(segid_t sid, struct vas_seg_attr *attr);

#ifdef __cplusplus
}
#endif

#endif
