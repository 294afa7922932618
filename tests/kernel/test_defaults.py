"""What is left out is nothing: a field or an argument that nobody gives is 0, False or None.

A record that somebody makes in a hurry claims nothing then, and a tally begins at 0. What begins
otherwise is in the table here, with its reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.kernel.system import ROOT

OTHERWISE: dict[str, object] = {
    # The machine that nobody describes, and how it runs.
    "hw/machine.py MachineConfig.cpus": 1,
    "hw/machine.py MachineConfig.ram_mib": 64,
    "hw/machine.py MachineConfig.pcid": True,
    "hw/cpu.py run(counted)": True,
    "hw/cpu.py step(instructions)": 1,
    "hw/engine.py __init__(counted)": True,
    "kernel/boot.py Config.seed": 1,
    # To charge is to charge once.
    "hw/cpu.py charge(times)": 1,
    "hw/machine.py charge(times)": 1,
    # All that there is, as for a file of Python.
    "hw/parts.py read(size_bytes)": -1,
    # No number at all, where 0 is a number.
    "kernel/mm/pagetable.py PageTable.span": -1,
    "kernel/mm/shootdown.py Tag.generation": -1,
    "kernel/servers/shm.py Shm.last_index": -1,
    "kernel/task/process.py Signal.vector": -1,
    # A name in a folder; whoever made the record.
    "kernel/abi/nodes.py Stat.links": 1,
    "kernel/task/descriptors.py Descriptors.holders": 1,
    "kernel/task/process.py Surroundings.holders": 1,
    # Whatever may happen; each bit of a futex; each core.
    "kernel/task/process.py Call.bits": 0xFFFF_FFFF,
    "kernel/task/process.py Scheduling.affinity": -1,
    "kernel/wait/ready.py Interest.armed": True,
    # What a process of Linux has before it asks for anything: SIGCHLD, and a core dump.
    "kernel/task/process.py Process.exit_signal": 17,
    "kernel/task/process.py Process.dumpable": 1,
    "kernel/task/process.py Surroundings.umask": 0o022,
    "kernel/servers/termios.py Settings.control": 0o277,
    # st_dev of the file systems.
    "kernel/servers/proc.py Proc.device": 4,
    "kernel/servers/sysfs.py Sysfs.device": 5,
    # A name that somebody reads ends somewhere.
    "kernel/mm/usermem.py peek_string(limit_bytes)": 256,
    # From the root of the tables.
    "kernel/vas/tables.py make_room(level)": 4,
    # What nearly all of them do.
    "kernel/abi/errno.py __init__(interruptible)": True,
    "kernel/mm/eager.py EagerObjects.eager": True,
    "kernel/mm/frames.py allocate(zero)": True,
    "kernel/mm/memory.py for_space(runs)": True,
    "kernel/mm/memory.py new_space(runs)": True,
    "kernel/sched/eevdf.py Eevdf.preemptive": True,
    "kernel/sched/mlfq.py Mlfq.preemptive": True,
    "kernel/servers/directories.py _place(follow)": True,
    "kernel/servers/tree.py walk(follow)": True,
    "kernel/syscalls/table.py ArgumentType.bits": 64,
    "kernel/syscalls/table.py SystemCall.restarts": True,
    "kernel/syscalls/table.py SystemCall.restarts_timed": True,
    "kernel/syscalls/table.py syscall(restarts)": True,
    "kernel/syscalls/table.py syscall(restarts_timed)": True,
    "kernel/vas/forward.py ForwardView.hears_resizes": True,
}


def defaults(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Of the fields of classes and the arguments of functions, where one is written down."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and field.value:
                    yield f"{node.name}.{ast.unparse(field.target)}", field.value
        elif isinstance(node, ast.FunctionDef):
            last = [*node.args.posonlyargs, *node.args.args][::-1]
            pairs = [
                *zip(last, node.args.defaults[::-1], strict=False),
                *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True),
            ]
            yield from ((f"{node.name}({name.arg})", value) for name, value in pairs if value)


def numbers(tree: ast.AST) -> Iterator[tuple[str, object]]:
    """The defaults that are a number or a truth, and not a name for one."""
    for name, value in defaults(tree):
        try:
            literal = ast.literal_eval(value)
        except ValueError:
            continue
        if isinstance(literal, int):
            yield name, literal


def test_what_is_left_out_is_nothing_unless_the_table_says_otherwise() -> None:
    found = {
        f"{path.relative_to(ROOT).as_posix()} {name}": value
        for folder in (ROOT / "hw", ROOT / "kernel")
        for path in sorted(folder.rglob("*.py"))
        if ROOT / "hw" / "panel" not in path.parents
        for name, value in numbers(ast.parse(path.read_text("utf-8")))
        if value
    }
    assert found == OTHERWISE


def test_a_default_is_seen_wherever_it_is_written() -> None:
    source = "class A:\n    x: int = 1\n    def f(self, a, b=2, *, c, d=True, e=-3): pass"
    found = dict(numbers(ast.parse(source)))
    assert found == {"A.x": 1, "f(b)": 2, "f(d)": True, "f(e)": -3}
