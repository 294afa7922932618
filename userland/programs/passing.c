/* passing: a child makes a pipe, sends its end to the parent in a message, and ends. The parent
 * waits for that end by a descriptor for the process, and then reads what is in the pipe. Shows:
 * that an open file belongs to no process, that it lives while a message holds it, and that it is
 * gone with the last one who could receive it. */

#include <err.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static union {
    char room[CMSG_SPACE(sizeof(int))];
    struct cmsghdr head;
} control;

static void send_descriptor(int socket, int fd) {
    struct iovec text = {"a pipe", 6};
    struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1};
    message.msg_control = control.room, message.msg_controllen = sizeof control.room;
    control.head.cmsg_len = CMSG_LEN(sizeof fd);
    control.head.cmsg_level = SOL_SOCKET, control.head.cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    if (sendmsg(socket, &message, 0) != 6) err(1, "sendmsg");
}

static int receive_descriptor(int socket) {
    char note[16] = "";
    struct iovec text = {note, sizeof note - 1};
    struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1};
    message.msg_control = control.room, message.msg_controllen = sizeof control.room;
    if (recvmsg(socket, &message, 0) <= 0) err(1, "recvmsg");
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head == NULL || head->cmsg_type != SCM_RIGHTS) errx(1, "no descriptor came");
    int fd;
    memcpy(&fd, CMSG_DATA(head), sizeof fd);
    printf("the message says \"%s\", and brings descriptor %d\n", note, fd);
    return fd;
}

int main(void) {
    int sockets[2], lost[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) != 0) err(1, "socketpair");
    pid_t child = fork();
    if (child == 0) {
        int ends[2];
        if (pipe(ends) != 0) err(1, "pipe");
        write(ends[1], "written by a process that is gone", 33);
        send_descriptor(sockets[1], ends[0]);
        return 0;
    }
    struct pollfd end = {pidfd_open(child, 0), POLLIN, 0};
    if (end.fd < 0 || poll(&end, 1, -1) != 1) err(1, "pidfd_open");
    waitpid(child, NULL, 0);
    puts("the child has ended");
    char text[64] = "";
    read(receive_descriptor(sockets[0]), text, sizeof text - 1);
    printf("in the pipe: %s\n", text);

    if (pipe(lost) != 0) err(1, "pipe");
    send_descriptor(sockets[1], lost[1]);
    close(lost[1]), close(sockets[0]), close(sockets[1]);
    printf("nobody received the other pipe: its end is %s\n",
           read(lost[0], text, 1) == 0 ? "closed" : "open");
    return 0;
}
