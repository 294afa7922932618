// C++ over the C library: what the language needs at run time, each part once.

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace {

struct Noisy {
    const char *name;
    explicit Noisy(const char *name) : name(name) { printf("%s made\n", name); }
    ~Noisy() { printf("%s gone\n", name); }
};

Noisy first("first"), second("second");

struct Shape {
    virtual ~Shape() = default;
    virtual int area() const = 0;
};

struct Square final : Shape {
    int side;
    explicit Square(int side) : side(side) {}
    int area() const override { return side * side; }
};

struct alignas(128) Wide {
    char bytes[128];
};

template <typename T> T twice(T value) { return value + value; }

int made;

// Slow to make, so that both threads come while it is being made.
struct Slow {
    int value;
    Slow() {
        for (int i = 0; i < 100; i++) sched_yield();
        value = ++made;
    }
};

void *once(void *) {
    static Slow slow;
    return reinterpret_cast<void *>(static_cast<intptr_t>(slow.value));
}

thread_local int mine = 5;

} // namespace

int main(int argc, char **argv) {
    printf("%d %s\n", argc, strchr(argv[0], '/') ? "path" : "name");
    Shape *square = new Square(6);
    printf("area %d, twice %d, %.1f\n", square->area(), twice(square->area()), twice(1.5));
    delete square;
    int *many = new int[100]();
    printf("zeroed %d\n", many[99]);
    delete[] many;
    Wide *wide = new Wide[3];
    printf("aligned %d\n", reinterpret_cast<uintptr_t>(wide) % alignof(Wide) == 0);
    delete[] wide;
    pthread_t other;
    void *theirs;
    if (pthread_create(&other, nullptr, once, nullptr)) return 1;
    void *ours = once(nullptr);
    pthread_join(other, &theirs);
    printf("made once: %d\n", ours == theirs && made == 1);
    static Noisy inner("inner");
    return mine;
}
