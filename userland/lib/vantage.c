/* The calls that only Vantage has. */

#include <vantage.h>

#include <err.h>

#include "syscall.h"

int ipc_endpoint(void) { return (int)CALL(ipc_endpoint); }
int ipc_call(int ep, struct ipc_msg *msg) { return (int)CALL(ipc_call, ep, msg); }
int ipc_send(int ep, const struct ipc_msg *msg) { return (int)CALL(ipc_send, ep, msg); }
long ipc_recv(int ep, struct ipc_msg *msg) { return CALL(ipc_recv, ep, msg); }
int ipc_reply(long token, const struct ipc_msg *msg) { return (int)CALL(ipc_reply, token, msg); }
long ipc_reply_recv(long token, int ep, struct ipc_msg *msg) {
    return CALL(ipc_reply_recv, token, ep, msg);
}
int ipc_publish(const char *name, int ep) { return (int)CALL(ipc_publish, name, ep); }
int ipc_lookup(const char *name) { return (int)CALL(ipc_lookup, name); }

int vantage_translate(const void *va, struct vantage_page *out) {
    return (int)CALL(vantage_translate, va, out);
}
int vantage_region(uint64_t index, struct vantage_region *out) {
    return (int)CALL(vantage_region, index, out);
}
int null_call(void) { return (int)CALL(null_call); }

void vantage_required(void) {
    if (null_call() < 0) errx(1, "this program needs calls that only the Vantage kernel has");
}
