/* What C++ needs at run time, for `run.py cc`: new and delete, constructors of static objects, and
 * a lock for those inside functions. No exceptions, so new ends the program where memory is short.
 * (Itanium C++ ABI, 3.2.6 and 3.3) */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

extern "C" {
#include "lock.h"
}

/* ---- Static objects ------------------------------------------------------------------ */

using constructor = void (*)(int, char **, char **);

/* The linker's: where the list of constructors begins and ends. */
extern "C" constructor __init_array_start[], __init_array_end[];

extern "C" int __real_main(int argc, char **argv, char **envp);

/* The linker leads the start's call of main here. Destructors are registered by atexit(). */
extern "C" int __wrap_main(int argc, char **argv, char **envp) {
    for (constructor *each = __init_array_start; each < __init_array_end; each++)
        (*each)(argc, argv, envp);
    return __real_main(argc, argv, envp);
}

/* A static object of a function has a guard. Its first byte is 1 once the object is made, which
 * compiled code looks at by itself; the upper half is ours. */
struct guard {
    char made;
    int state;
};

enum { NOT_YET, RUNNING, READY };

/* 1: the caller is to make the object. */
extern "C" int __cxa_guard_acquire(guard *each) {
    for (;;) {
        int state = NOT_YET;
        if (__atomic_compare_exchange_n(&each->state, &state, RUNNING, 0, __ATOMIC_ACQUIRE,
                                        __ATOMIC_ACQUIRE))
            return 1;
        if (state == READY) return 0;
        futex_wait(&each->state, RUNNING, nullptr);
    }
}

extern "C" void __cxa_guard_release(guard *each) {
    __atomic_store_n(&each->made, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&each->state, READY, __ATOMIC_RELEASE);
    futex_wake(&each->state, INT32_MAX);
}

extern "C" void __cxa_pure_virtual() {
    fputs("a pure virtual function was called\n", stderr);
    abort();
}

/* ---- new and delete ------------------------------------------------------------------ */

static void *memory(void *found) {
    if (found) return found;
    fputs("new: no memory\n", stderr);
    abort();
}

void *operator new(size_t bytes) { return memory(malloc(bytes ? bytes : 1)); }
void *operator new[](size_t bytes) { return operator new(bytes); }
void operator delete(void *object) noexcept { free(object); }
void operator delete[](void *object) noexcept { free(object); }
void operator delete(void *object, size_t) noexcept { free(object); }
void operator delete[](void *object, size_t) noexcept { free(object); }

/* Objects that want a greater alignment than malloc's. */
namespace std {
enum class align_val_t : size_t {};
}

static size_t whole(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

void *operator new(size_t bytes, std::align_val_t unit) {
    return memory(aligned_alloc((size_t)unit, whole(bytes ? bytes : 1, (size_t)unit)));
}
void *operator new[](size_t bytes, std::align_val_t unit) { return operator new(bytes, unit); }
void operator delete(void *object, std::align_val_t) noexcept { free(object); }
void operator delete[](void *object, std::align_val_t) noexcept { free(object); }
void operator delete(void *object, size_t, std::align_val_t) noexcept { free(object); }
void operator delete[](void *object, size_t, std::align_val_t) noexcept { free(object); }
