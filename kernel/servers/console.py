"""The console server: descriptors 0, 1 and 2 of the first program lead here, and /dev/tty.

The badge is the stream: 0 input, 1 output, 2 errors, 3 the terminal itself.  If a stream is no
terminal on the host, it is none here, and bytes pass unchanged.  All the others are one terminal,
with one line discipline and one session (ioctl_tty(2), credentials(7), termios(3)).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from kernel.abi import ioctls
from kernel.abi.errno import E, KernelError
from kernel.abi.message import BY_PATH, Message, Port, Reply, refuse_path
from kernel.abi.nodes import POLLHUP, POLLIN, POLLOUT, S_IFCHR, Stat, makedev
from kernel.servers import termios
from kernel.servers.discipline import Discipline
from kernel.servers.termios import Settings

INPUT, OUTPUT, ERRORS, TERMINAL = range(4)
STREAMS = (INPUT, OUTPUT, ERRORS, TERMINAL)
NAMES = (b"/dev/console", b"/dev/console", b"/dev/console", b"/dev/tty")
SIGHUP, SIGCONT, SIGTTIN, SIGTTOU, SIGWINCH = 1, 18, 21, 22, 28
O_NOCTTY = 0o400
WHOLE = 4096
"""What a program cannot read to its end is written in pieces of this size only, as to a pipe."""
TENTH = 100_000_000
"""Nanoseconds: the unit of VTIME."""
LATE = 10_000_000
"""Nanoseconds: a read that comes later than this after its deadline is a new one."""
CHANGES = (
    *(ioctls.TCSETS, ioctls.TCSETSW, ioctls.TCSETSF),
    *(ioctls.TCFLSH, ioctls.TCSBRK, ioctls.TCXONC, ioctls.TIOCSPGRP),
)
"""Requests that a process in the background may not make."""
OF_SESSION = (ioctls.TIOCGPGRP, ioctls.TIOCSPGRP, ioctls.TIOCGSID, ioctls.TIOCNOTTY)
"""Requests that only a process of the terminal's session may make."""
DEVICE = 6
"""What stat(2) says the terminal is on."""
_WINDOW = struct.Struct("<HHHH")
_INT = struct.Struct("<i")


@dataclass(slots=True)
class Console:
    """The terminal controls `session`; `group` is its foreground process group."""

    name: str = "console"
    discipline: Discipline = field(default_factory=Discipline)
    session: int = 0
    group: int = 0
    window: tuple[int, int, int, int] = (24, 80, 0, 0)
    hung_up: bool = False
    typed: int = 0
    """The time of the last key."""
    deadlines: dict[int, int] = field(default_factory=dict)
    """Until when a process waits for a key, by VTIME."""

    def handle(self, message: Message, port: Port) -> Reply:
        if message.operation in BY_PATH:
            refuse_path(message)
        match message.operation:
            case "write":
                return self._write(message, port)
            case "read":
                return Reply(data=self._read(message, port))
            case "poll":
                return Reply(self._ready(message.badge, port))
            case "ioctl":
                if not port.console_is_terminal(message.badge):
                    raise KernelError(E.NOTTY)
                return self._control(message, port)
            case "stat":
                special = makedev(5, 0 if message.badge == TERMINAL else 1)
                mode = S_IFCHR | 0o620
                return Reply(words=Stat(device=DEVICE, inode=1, mode=mode, special=special))
            case "open":
                return self._open(message, port)
            case "path":
                return Reply(data=NAMES[message.badge])
            case "close":
                return Reply()
            case "adopt":
                self.session, self.group = message.words
                return Reply()
            case "session_end":
                return self._end_session(message.words[0], port)
        raise KernelError(E.INVAL)

    def restarted(self) -> Console:
        """The session, the group and the settings stay; keys that no program has read are lost."""
        fresh = Console(session=self.session, group=self.group, window=self.window)
        fresh.discipline.settings = self.discipline.settings
        fresh.hung_up = self.hung_up
        return fresh

    # Bytes ------------------------------------------------------------------------------------

    def _read(self, message: Message, port: Port) -> bytes:
        count, _, room = message.words
        if not port.console_is_terminal(message.badge):
            return self._read_stream(count, room, port)
        self._stay_in_foreground(message, port, SIGTTIN)
        if self.hung_up or not count:
            return b""
        if not self._may_return(message, count, port):
            raise KernelError(E.AGAIN)
        self.deadlines.pop(message.pid, None)
        if not room and self.discipline.has_input():
            raise KernelError(E.FAULT)
        data = self.discipline.read(room)
        if self.discipline.has_input():
            self._changed(port)
        return data

    def _read_stream(self, count: int, room: int, port: Port) -> bytes:
        """From an input that is no terminal; at its end there is nothing."""
        if count and not room and port.console_arrived():
            raise KernelError(E.FAULT)
        data = port.console_read(room)
        if data is None:
            raise KernelError(E.AGAIN)
        return data

    def _may_return(self, message: Message, count: int, port: Port) -> bool:
        """Is there enough input (VMIN), or is the time of VTIME over?"""
        discipline = self.discipline
        if discipline.enough(count):
            return True
        time = discipline.settings.characters[termios.TIME] * TENTH
        if not time or discipline.settings.local & termios.ICANON:
            return False
        if discipline.settings.characters[termios.MIN]:  # the time between two keys
            deadline = self.typed + time
            waits = discipline.has_input()
        else:
            deadline = self.deadlines.get(message.pid, 0)
            if port.now() > deadline + LATE:
                deadline = self.deadlines[message.pid] = port.now() + time
            waits = True
        if waits and port.now() >= deadline:
            return True
        if waits:
            port.ring(message.badge, deadline)
        return False

    def _write(self, message: Message, port: Port) -> Reply:
        (_, count), data, badge, shown = message.words, message.data, message.badge, None
        if len(data) < count:
            data = data[: len(data) // WHOLE * WHOLE]
            if not data:
                raise KernelError(E.FAULT)
        if self._is_ours(badge, port):
            if self.discipline.settings.local & termios.TOSTOP:
                self._stay_in_foreground(message, port, SIGTTOU)
            if self.hung_up:
                raise KernelError(E.IO)
            if self.discipline.held:
                raise KernelError(E.AGAIN)
            shown = self.discipline.process(data)
        port.console_write(data, badge, shown)
        return Reply(len(data))

    def _is_ours(self, badge: int, port: Port) -> bool:
        """Does the discipline stand between this stream and the screen?"""
        return port.console_is_terminal(badge) and port.console_is_terminal(INPUT)

    def _ready(self, badge: int, port: Port) -> int:
        if not port.console_is_terminal(badge):
            return POLLOUT | (POLLIN if port.console_waits() else 0)
        if self.hung_up:
            return POLLIN | POLLOUT | POLLHUP
        minimum = self.discipline.settings.characters[termios.MIN]
        if self.discipline.settings.local & termios.ICANON or not minimum:
            readable = self.discipline.has_input()
        else:
            readable = self.discipline.enough(minimum)
        return (0 if self.discipline.held else POLLOUT) | (POLLIN if readable else 0)

    def _changed(self, port: Port) -> None:
        for badge in STREAMS:
            port.changed(badge)

    # What the keyboard does -------------------------------------------------------------------

    def interrupt(self, port: Port) -> None:
        """Input has arrived, or the window has a new size."""
        if port.console_is_terminal(INPUT):
            size = port.console_size()
            if size is not None and size != self.window[:2]:
                self._resize((*size, 0, 0), port)
            while data := port.console_read(4096):
                self._type(data, port)
            if data == b"" and not self.hung_up:
                self.hung_up = True
                self._hang_up(port)
        self._changed(port)

    def _type(self, data: bytes, port: Port) -> None:
        self.typed = port.now()
        shown, signals = self.discipline.receive(data)
        if shown:
            port.console_write(shown, TERMINAL)
        for signal in signals:
            if self.group:
                port.signal_group(self.group, signal)

    def _resize(self, window: tuple[int, int, int, int], port: Port) -> None:
        self.window = window
        if self.group:
            port.signal_group(self.group, SIGWINCH)

    # Job control ------------------------------------------------------------------------------

    def _stay_in_foreground(self, message: Message, port: Port, signal: int) -> None:
        """Stop a process of the session that is in the background.

        If it ignores or blocks the signal, it may write, but not read (EIO).  If nobody could
        continue its group, it may do neither (EIO).
        """
        if message.session != self.session or message.group == self.group or not self.session:
            return
        if port.takes_no_notice(message.pid, signal):
            if signal == SIGTTIN:
                raise KernelError(E.IO)
            return
        if port.is_orphaned(message.group):
            raise KernelError(E.IO)
        port.signal_group(message.group, signal)
        raise KernelError(E.AGAIN)

    def _open(self, message: Message, port: Port) -> Reply:
        """A session leader without a terminal gets this one by its open, if no session has it."""
        if message.badge == TERMINAL and (not self.session or message.session != self.session):
            raise KernelError(E.NXIO)
        leads = message.pid == message.session
        free = not self.session and port.console_is_terminal(message.badge)
        if leads and free and message.words and not message.words[0] & O_NOCTTY:
            self.session, self.group = message.session, message.group
        return Reply(words=(message.badge, 0, 0))

    def _end_session(self, session: int, port: Port) -> Reply:
        """The leader has ended: the foreground group gets SIGHUP, and the terminal is free."""
        if session and session == self.session:
            self._hang_up(port)
            self.session = self.group = 0
        return Reply()

    def _hang_up(self, port: Port) -> None:
        if self.group:
            port.signal_group(self.group, SIGHUP)
            port.signal_group(self.group, SIGCONT)

    # Requests ---------------------------------------------------------------------------------

    def _control(self, message: Message, port: Port) -> Reply:
        request, argument = message.words
        if request in CHANGES:
            self._stay_in_foreground(message, port, SIGTTOU)
        match request:
            case ioctls.TCGETS:
                return Reply(data=self.discipline.settings.pack())
            case ioctls.TCSETS | ioctls.TCSETSW | ioctls.TCSETSF:
                if request == ioctls.TCSETSF:
                    self.discipline.flush_input()
                self.discipline.set(Settings.unpack(message.data))
                self._changed(port)
            case ioctls.TIOCGWINSZ:
                return Reply(data=_WINDOW.pack(*self.window))
            case ioctls.TIOCSWINSZ:
                if _WINDOW.unpack(message.data) != self.window:
                    self._resize(_WINDOW.unpack(message.data), port)
            case ioctls.FIONREAD:
                return Reply(data=_INT.pack(self.discipline.waiting()))
            case ioctls.TIOCOUTQ:
                return Reply(data=_INT.pack(0))
            case ioctls.TCFLSH:
                self._flush(argument)
            case ioctls.TCXONC:
                self._hold(argument, port)
            case ioctls.TCSBRK:
                pass  # there is no line to break
            case _:
                return self._control_session(message, port)
        return Reply()

    def _flush(self, queue: int) -> None:
        if not 0 <= queue <= 2:
            raise KernelError(E.INVAL)
        if queue != 1:
            self.discipline.flush_input()

    def _hold(self, action: int, port: Port) -> None:
        """tcflow(3): suspend or restart output.  There is no line to suspend input on."""
        if not 0 <= action <= 3:
            raise KernelError(E.INVAL)
        if action < 2:
            self.discipline.held = action == 0
            self._changed(port)

    def _control_session(self, message: Message, port: Port) -> Reply:
        """Requests on the session and its foreground group."""
        request, own = message.words[0], bool(self.session) and message.session == self.session
        if request == ioctls.TIOCSCTTY:
            return self._take(message)
        if request not in OF_SESSION or not own:
            raise KernelError(E.NOTTY)
        if request == ioctls.TIOCSPGRP:
            return self._put_in_foreground(_INT.unpack(message.data)[0], port)
        if request == ioctls.TIOCNOTTY:
            return self._end_session(message.pid, port)
        number = self.group if request == ioctls.TIOCGPGRP else self.session
        return Reply(data=_INT.pack(number))

    def _take(self, message: Message) -> Reply:
        """TIOCSCTTY: a session leader without a terminal gets this one, or root by force."""
        if message.session == self.session and message.pid == message.session:
            return Reply()
        forced = message.uid == 0 and message.words[1] == 1
        if message.pid != message.session or (self.session and not forced):
            raise KernelError(E.PERM)
        self.session, self.group = message.session, message.group
        return Reply()

    def _put_in_foreground(self, group: int, port: Port) -> Reply:
        if group < 0:
            raise KernelError(E.INVAL)
        session = port.session_of(group)
        if not session:
            raise KernelError(E.SRCH)
        if session != self.session:
            raise KernelError(E.PERM)
        self.group = group
        return Reply()
