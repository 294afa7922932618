/* Operations of the futex call: sleep on a word of memory, and wake threads that sleep there. */
#ifndef LINUX_FUTEX_H
#define LINUX_FUTEX_H

#define FUTEX_WAIT 0 /* sleep, if the word still holds the expected value */
#define FUTEX_WAKE 1 /* wake at most this many */
#define FUTEX_PRIVATE_FLAG 128
#define FUTEX_WAIT_PRIVATE (FUTEX_WAIT | FUTEX_PRIVATE_FLAG)
#define FUTEX_WAKE_PRIVATE (FUTEX_WAKE | FUTEX_PRIVATE_FLAG)

#endif
