// A pool of processes in which every request has an address space of its own. A worker makes one,
// enters it, and keeps what it works with inside. Back home nothing of it is there any more.

#include <fcntl.h>
#include <mvas/vas.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

constexpr int workers = 3, requests = 9;
constexpr size_t room = 2 * 4096;

void must(bool good, const char *what) {
    if (good) return;
    perror(what);
    _exit(1);
}

struct Request {
    int number, value;
};

struct Answer {
    int number, sum, hidden;
};

// An address space that is there as long as the object.
class Compartment {
public:
    explicit Compartment(int number) {
        char name[32];
        snprintf(name, sizeof name, "request-%d", number);
        vid = vas_create(name, 0600);
        must(vid > 0, "vas_create");
        must(vas_attach(getpid(), vid, O_RDWR) == 0, "vas_attach");
    }
    ~Compartment() {
        must(vas_detach(getpid(), vid) == 0, "vas_detach");
        must(vas_delete(vid) == 0, "vas_delete");
    }
    void enter() const { must(vas_switch(vid) == 0, "vas_switch"); }
    void leave() const { must(vas_switch(0) == 0, "the way home"); }

private:
    vasid_t vid;
};

// Work on a request inside; the memory for it is mapped inside as well.
template <typename Work> void *isolated(const Compartment &space, Work work) {
    space.enter();
    void *memory =
        mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(memory != MAP_FAILED, "mmap");
    work(static_cast<int *>(memory));
    space.leave();
    return memory;
}

// Would the kernel find a byte there? No: the call refuses the pointer.
bool is_hidden(const void *memory, int channel) { return write(channel, memory, 1) < 0; }

Answer serve(const Request &request) {
    Compartment space(request.number);
    int sum = 0, nowhere[2];
    void *memory = isolated(space, [&](int *numbers) {
        for (int i = 0; i < request.value; i++) numbers[i] = i;
        for (int i = 0; i < request.value; i++) sum += numbers[i];
    });
    must(pipe(nowhere) == 0, "pipe");
    bool hidden = is_hidden(memory, nowhere[1]);
    close(nowhere[0]);
    close(nowhere[1]);
    return {request.number, sum, hidden};
}

[[noreturn]] void work(int in, int out) {
    Request request;
    while (read(in, &request, sizeof request) == sizeof request) {
        Answer answer = serve(request);
        must(write(out, &answer, sizeof answer) == sizeof answer, "write");
    }
    _exit(0);
}

} // namespace

int main() {
    int ask[2], tell[2], right = 0, hidden = 0, status, bad = 0;
    must(pipe(ask) == 0 && pipe(tell) == 0, "pipe");
    for (int i = 0; i < workers; i++) {
        pid_t worker = fork();
        must(worker >= 0, "fork");
        if (worker == 0) {
            close(ask[1]);
            work(ask[0], tell[1]);
        }
    }
    for (int i = 0; i < requests; i++) {
        Request request{i, 100 * (i + 1)};
        must(write(ask[1], &request, sizeof request) == sizeof request, "write");
    }
    close(ask[1]);
    for (int i = 0; i < requests; i++) {
        Answer answer;
        must(read(tell[0], &answer, sizeof answer) == sizeof answer, "read");
        int count = 100 * (answer.number + 1);
        right += answer.sum == count * (count - 1) / 2;
        hidden += answer.hidden;
    }
    for (int i = 0; i < workers; i++) {
        wait(&status);
        bad += status != 0;
    }
    printf("%d requests: %d right, %d hidden; %d of %d workers failed\n", requests, right, hidden,
           bad, workers);
    return right != requests || hidden != requests || bad;
}
