"""What sockets let a program ask and set: getsockopt(2), socket(7)."""

from __future__ import annotations

from kernel.abi.errno import E, KernelError
from kernel.abi.sockets import (
    AF_UNIX,
    SO_ACCEPTCONN,
    SO_BROADCAST,
    SO_DOMAIN,
    SO_DONTROUTE,
    SO_ERROR,
    SO_KEEPALIVE,
    SO_OOBINLINE,
    SO_PASSCRED,
    SO_PEERCRED,
    SO_PROTOCOL,
    SO_RCVBUF,
    SO_RCVLOWAT,
    SO_REUSEADDR,
    SO_SNDBUF,
    SO_SNDLOWAT,
    SO_TYPE,
    SOL_SOCKET,
    UCRED,
)
from kernel.servers.unix_socket import (
    BUFFER_BYTES,
    LEAST_RECEIVE_BYTES,
    LEAST_SEND_BYTES,
    Socket,
)

INT_BYTES = 4
CONSTANT = {
    SO_DOMAIN: AF_UNIX,
    SO_RCVLOWAT: 1,
    SO_SNDLOWAT: 1,
    SO_PROTOCOL: 0,
    SO_ACCEPTCONN: 0,
}
"""Options that have one value here."""
NOTED = (SO_REUSEADDR, SO_DONTROUTE, SO_BROADCAST, SO_KEEPALIVE, SO_OOBINLINE)
"""Those that mean something for networks only: they are kept as 0 or 1, and change nothing."""


def get(socket: Socket, level: int, option: int) -> bytes:
    """The value of an option.  EOPNOTSUPP: another level; ENOPROTOOPT: there is no such option."""
    if level != SOL_SOCKET:
        raise KernelError(E.OPNOTSUPP)
    if option == SO_PEERCRED:
        return UCRED.pack(*socket.maker)
    return _number(socket, option).to_bytes(INT_BYTES, "little")


def _number(socket: Socket, option: int) -> int:
    if option == SO_TYPE:
        return socket.kind
    if option == SO_ERROR:
        return socket.take_error()
    if option == SO_SNDBUF:
        return socket.send_bytes
    if option == SO_RCVBUF:
        return socket.receive_bytes
    if option == SO_PASSCRED:
        return int(socket.identifies)
    if option in NOTED:
        return socket.noted.get(option, 0)
    if option not in CONSTANT:
        raise KernelError(E.NOPROTOOPT)
    return CONSTANT[option]


def put(socket: Socket, level: int, option: int, value: bytes) -> None:
    """Set an option to an int.

    EOPNOTSUPP: another level; EINVAL: the value is too short; ENOPROTOOPT: it cannot be set here.
    Buffers become twice as large as was asked for, within bounds (socket(7)).
    """
    if level != SOL_SOCKET:
        raise KernelError(E.OPNOTSUPP)
    if len(value) < INT_BYTES:
        raise KernelError(E.INVAL)
    number = int.from_bytes(value[:INT_BYTES], "little")
    if option == SO_SNDBUF:
        socket.send_bytes = max(2 * min(number, BUFFER_BYTES), LEAST_SEND_BYTES)
    elif option == SO_RCVBUF:
        socket.receive_bytes = max(2 * min(number, BUFFER_BYTES), LEAST_RECEIVE_BYTES)
    elif option == SO_PASSCRED:
        socket.identifies = bool(number)
    elif option in NOTED:
        socket.noted[option] = int(bool(number))
    else:
        raise KernelError(E.NOPROTOOPT)
