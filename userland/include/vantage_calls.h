/* System call numbers. Generated from the kernel's declarations; do not edit. */
#ifndef VANTAGE_CALLS_H
#define VANTAGE_CALLS_H

#define SYS_read 0
#define SYS_write 1
#define SYS_close 3
#define SYS_mmap 9
#define SYS_mprotect 10
#define SYS_munmap 11
#define SYS_brk 12
#define SYS_rt_sigaction 13
#define SYS_rt_sigprocmask 14
#define SYS_rt_sigreturn 15
#define SYS_sched_yield 24
#define SYS_dup 32
#define SYS_nanosleep 35
#define SYS_getpid 39
#define SYS_clone 56
#define SYS_fork 57
#define SYS_vfork 58
#define SYS_execve 59
#define SYS_exit 60
#define SYS_wait4 61
#define SYS_kill 62
#define SYS_uname 63
#define SYS_getuid 102
#define SYS_getgid 104
#define SYS_setuid 105
#define SYS_setgid 106
#define SYS_geteuid 107
#define SYS_getegid 108
#define SYS_getppid 110
#define SYS_getgroups 115
#define SYS_setgroups 116
#define SYS_sigaltstack 131
#define SYS_arch_prctl 158
#define SYS_gettid 186
#define SYS_futex 202
#define SYS_set_tid_address 218
#define SYS_clock_gettime 228
#define SYS_exit_group 231
#define SYS_tgkill 234
#define SYS_getrandom 318
#define SYS_ipc_endpoint 1200
#define SYS_ipc_call 1201
#define SYS_ipc_recv 1202
#define SYS_ipc_reply 1203
#define SYS_ipc_reply_recv 1204
#define SYS_ipc_send 1205
#define SYS_ipc_publish 1206
#define SYS_ipc_lookup 1207
#define SYS_vantage_translate 1210
#define SYS_vantage_region 1211
#define SYS_null_call 1212

#endif
