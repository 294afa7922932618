/* The memory calls on anonymous memory: memcalls, which Vantage ships, with other C libraries. */
#define _GNU_SOURCE
#include "../../userland/programs/memcalls.c"
