"""The rules of the house, checked on the source: which layer may import which, what makes a run
depend on chance or on the host, and how long functions and files may be.

A rule is a generator of complaints about one file. Every rule is also tested on a file that breaks
it, so that it cannot pass by seeing nothing.
"""

from __future__ import annotations

import ast
import fnmatch
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

Complaints = Iterator[tuple[int, str]]

# Layer -> the layers that it may import.
ARROWS = {
    "hw": {"hw"},
    "kernel": {"hw", "kernel"},
    "userland": {"hw", "kernel", "userland"},
    "labs": {"hw", "kernel", "userland", "labs"},
    "tests": {"hw", "kernel", "userland", "labs", "tests", "run"},
    "run.py": {"hw", "kernel", "userland", "labs", "tests", "run"},
}
LAYERS = {"hw", "kernel", "userland", "labs", "tests", "run"}

TOP_LEVEL = {
    *("hw", "kernel", "userland", "labs", "tests", "run.py", "README.md"),
    *("pyproject.toml", "requirements.txt", "requirements-test.txt", "LICENSE"),
    *("requirements-compiler.txt", "requirements-panel.txt", "requirements-mutants.txt"),
    *(".ci", ".git", ".gitignore", ".gitattributes"),
}

FOR_SERVERS = {"kernel.abi", "kernel.servers"}

HOST = {
    *("hw/host.py", "hw/terminal.py"),
    # and tests with signals and terminals
    *("tests/test_door.py", "tests/userland/test_exec.py", "tests/userland/test_shell.py"),
    "tests/userland/test_inputs.py",
    *("tests/kernel/test_discipline.py", "tests/kernel/test_terminal.py"),
}
HOST_MODULES = {"termios", "tty", "pty", "fcntl", "msvcrt", "signal"}

CHANCE_MODULES = {"time", "datetime", "random", "secrets", "uuid"}
CHANCE_CALLS = {"os.urandom", "os.getrandom", "os.times", "hash", "id"}

# Functions that may take a set, because the order of its elements does not matter to them.
ORDERLESS = {"sorted", "set", "frozenset", "len", "sum", "min", "max", "any", "all"}
ORDERED = {"list", "tuple", "iter", "next", "enumerate", "zip", "map", "filter", "reversed"}

LONGEST_FUNCTION = 60
LONGEST_FILE = 600


def sources(*suffixes: str) -> list[str]:
    found = ["run.py"]
    for layer in sorted(LAYERS - {"run"}):
        found += (p.relative_to(ROOT).as_posix() for p in sorted((ROOT / layer).rglob("*")))
    return [path for path in found if path.endswith(suffixes)]


def imports(path: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The modules, and the names in them, that a file imports, in dotted form."""
    package = path.split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            for alias in node.names:
                yield node.lineno, ".".join([*base, alias.name])


def is_within(name: str, modules: set[str]) -> bool:
    return any(name == module or name.startswith(module + ".") for module in modules)


# The rules ----------------------------------------------------------------------------------


def layers_import_only_downwards(path: str, tree: ast.AST) -> Complaints:
    layer = path.split("/")[0]
    for line, name in imports(path, tree):
        if name.split(".")[0] in LAYERS - ARROWS[layer]:
            yield line, f"{layer} may not import {name}"


def no_layer_reaches_into_the_privacy_of_another(path: str, tree: ast.AST) -> Complaints:
    layer = path.split("/")[0]
    for line, name in imports(path, tree):
        parts = name.split(".")
        foreign = parts[0] in LAYERS - {layer} and layer not in ("tests", "run.py")
        if foreign and any(part.startswith("_") for part in parts):
            yield line, f"{name} is private to {parts[0]}"


def servers_know_the_core_by_its_messages_only(path: str, tree: ast.AST) -> Complaints:
    if not path.startswith("kernel/servers/"):
        return
    allowed = FOR_SERVERS | set(sys.stdlib_module_names)
    for line, name in imports(path, tree):
        if not is_within(name, allowed):
            yield line, f"a server imports messages, other servers and the library, not {name}"


def host_differences_are_in_one_module(path: str, tree: ast.AST) -> Complaints:
    for line, name in imports(path, tree):
        if path not in HOST and is_within(name, HOST_MODULES):
            yield line, f"only hw/host.py may import {name}"


def nothing_depends_on_chance_or_the_clock(path: str, tree: ast.AST) -> Complaints:
    if not path.startswith(("hw/", "kernel/")) or path in HOST:
        return
    for line, name in imports(path, tree):
        if is_within(name, CHANCE_MODULES | CHANCE_CALLS):
            yield line, f"{name} differs from run to run"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in CHANCE_CALLS:
            yield node.lineno, f"{ast.unparse(node.func)}() differs from run to run"
        if isinstance(node, ast.keyword) and ast.unparse(node.value) in CHANCE_CALLS:
            yield node.value.lineno, f"an order by {ast.unparse(node.value)}"


def nothing_depends_on_the_order_of_a_set(path: str, tree: ast.AST) -> Complaints:
    """Is it a set, as far as the file shows: written as one, or a name declared as one nearby?"""
    if not path.startswith(("hw/", "kernel/")) or path == "hw/host.py":
        return
    fields = set(fields_that_are_sets(tree))
    for scope in (tree, *(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef))):
        named = fields | set(variables_that_are_sets(scope))
        orderless = set(map(id, orderless_comprehensions(scope)))
        for node in nodes_of(scope):
            for expression in ordered_uses(node):
                if id(node) not in orderless and is_set(expression, named):
                    yield expression.lineno, f"the order of {ast.unparse(expression)}: sort it"


def nodes_of(scope: ast.AST) -> Iterator[ast.AST]:
    """Like ast.walk, but not into the functions within, which are scopes of their own."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, ast.FunctionDef):
            yield from nodes_of(child)


def ordered_uses(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, (ast.For, ast.comprehension)):
        return [node.iter]
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ORDERED:
        return node.args
    return []


def orderless_comprehensions(scope: ast.AST) -> Iterator[ast.comprehension]:
    """Those that make a set, or feed a function to which the order does not matter."""
    for node in nodes_of(scope):
        if isinstance(node, ast.SetComp):
            yield from node.generators
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ORDERLESS:
            for argument in node.args:
                yield from getattr(argument, "generators", [])


def is_set(node: ast.expr, named: set[str]) -> bool:
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) in ("set", "frozenset")
    if isinstance(node, ast.BinOp):
        return is_set(node.left, named) or is_set(node.right, named)
    return isinstance(node, (ast.Set, ast.SetComp)) or ast.unparse(node) in named


def is_set_type(node: ast.expr | None) -> bool:
    return node is not None and ast.unparse(node).startswith(("set[", "frozenset["))


def fields_that_are_sets(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and is_set_type(line.annotation):
                    yield "self." + ast.unparse(line.target)
        elif isinstance(node, ast.FunctionDef):
            yield from (v for v in variables_that_are_sets(node) if v.startswith("self."))


def variables_that_are_sets(scope: ast.AST) -> Iterator[str]:
    for node in nodes_of(scope):
        if isinstance(node, ast.arg) and is_set_type(node.annotation):
            yield node.arg
        elif isinstance(node, ast.AnnAssign) and is_set_type(node.annotation):
            yield ast.unparse(node.target)
        elif isinstance(node, ast.Assign) and is_set(node.value, set()):
            yield from (ast.unparse(target) for target in node.targets)


def functions_are_short(path: str, tree: ast.AST) -> Complaints:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno:
            lines = node.end_lineno - node.lineno + 1
            if lines > LONGEST_FUNCTION:
                yield node.lineno, f"{node.name} has {lines} lines of {LONGEST_FUNCTION}"


Rule = Callable[[str, ast.AST], Complaints]

RULES: list[Rule] = [
    layers_import_only_downwards,
    no_layer_reaches_into_the_privacy_of_another,
    servers_know_the_core_by_its_messages_only,
    host_differences_are_in_one_module,
    nothing_depends_on_chance_or_the_clock,
    nothing_depends_on_the_order_of_a_set,
    functions_are_short,
]

# (rule, path, source, whether it breaks the rule)
EXAMPLES: list[tuple[Rule, str, str, bool]] = [
    (layers_import_only_downwards, "hw/x.py", "import kernel.trap", True),
    (layers_import_only_downwards, "hw/a/x.py", "from ...kernel import trap", True),
    (layers_import_only_downwards, "kernel/x.py", "from userland import build", True),
    (layers_import_only_downwards, "kernel/x.py", "def f(): import tests", True),
    (layers_import_only_downwards, "userland/x.py", "import run", True),
    (layers_import_only_downwards, "kernel/x.py", "from hw import paging, tlb", False),
    (layers_import_only_downwards, "kernel/x.py", "from . import trap", False),
    (no_layer_reaches_into_the_privacy_of_another, "kernel/x.py", "from hw.tlb import _f", True),
    (no_layer_reaches_into_the_privacy_of_another, "hw/x.py", "from hw.tlb import _f", False),
    (servers_know_the_core_by_its_messages_only, "kernel/servers/x.py", "import hw", True),
    (servers_know_the_core_by_its_messages_only, "kernel/servers/x.py", "from .. import vm", True),
    (servers_know_the_core_by_its_messages_only, "kernel/servers/x.py", "import unicorn", True),
    (
        servers_know_the_core_by_its_messages_only,
        "kernel/servers/x.py",
        "import dataclasses\nfrom kernel.abi import errno\nfrom kernel.abi.message import Call\n"
        "from . import names",
        False,
    ),
    (host_differences_are_in_one_module, "kernel/x.py", "from signal import SIGINT", True),
    (host_differences_are_in_one_module, "run.py", "import fcntl", True),
    (host_differences_are_in_one_module, "kernel/x.py", "from kernel import signal", False),
    (nothing_depends_on_chance_or_the_clock, "hw/x.py", "from time import monotonic", True),
    (nothing_depends_on_chance_or_the_clock, "kernel/x.py", "import random", True),
    (nothing_depends_on_chance_or_the_clock, "kernel/x.py", "from os import urandom", True),
    (nothing_depends_on_chance_or_the_clock, "kernel/x.py", "a = os.urandom(4)", True),
    (nothing_depends_on_chance_or_the_clock, "kernel/x.py", "a = {hash(b): b}", True),
    (nothing_depends_on_chance_or_the_clock, "kernel/x.py", "a.sort(key=id)", True),
    (nothing_depends_on_chance_or_the_clock, "kernel/x.py", "a = thread.id()", False),
    (nothing_depends_on_chance_or_the_clock, "tests/x.py", "import time", False),
    (nothing_depends_on_the_order_of_a_set, "hw/x.py", "for a in {1, 2}: pass", True),
    (nothing_depends_on_the_order_of_a_set, "hw/x.py", "a = [b for b in set(c)]", True),
    (nothing_depends_on_the_order_of_a_set, "hw/x.py", "a: set[int]\nb = list(a)", True),
    (nothing_depends_on_the_order_of_a_set, "hw/x.py", "a = set()\nfor b in a - c: pass", True),
    (
        nothing_depends_on_the_order_of_a_set,
        "hw/x.py",
        "class A:\n  b: set[str]\n  def c(self):\n    yield from (d for d in self.b)",
        True,
    ),
    (
        nothing_depends_on_the_order_of_a_set,
        "hw/x.py",
        "def f(a: set[int]): return sorted(a)\ndef g(a: list[int]): return tuple(a)",
        False,
    ),
    (nothing_depends_on_the_order_of_a_set, "hw/x.py", "for a in sorted({1, 2}): pass", False),
    (nothing_depends_on_the_order_of_a_set, "hw/x.py", "a = any(b for b in {1, 2})", False),
    (nothing_depends_on_the_order_of_a_set, "hw/x.py", "a = {b + 1 for b in {1, 2}}", False),
    (functions_are_short, "hw/x.py", "def f():\n" + "  g()\n" * 60, True),
    (functions_are_short, "hw/x.py", "def f():\n" + "  g()\n" * 59, False),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule(rule: Rule) -> None:
    broken = [
        f"{path}:{line}: {complaint}"
        for path in sources(".py")
        for line, complaint in rule(path, ast.parse((ROOT / path).read_text("utf-8")))
    ]
    assert not broken, "\n".join([rule.__name__, *broken])


@pytest.mark.parametrize(("rule", "path", "source", "breaks"), EXAMPLES)
def test_each_rule_rejects_exactly_the_examples_that_break_it(
    rule: Rule, path: str, source: str, breaks: bool
) -> None:
    assert bool(list(rule(path, ast.parse(source)))) == breaks


def test_every_rule_has_an_example_that_breaks_it() -> None:
    assert {rule for rule, _, _, breaks in EXAMPLES if breaks} == set(RULES)


# The floors -----------------------------------------------------------------------------------

# Folder -> its rooms (a file, or a folder with all that is in it), lowest floor first.  A room
# imports rooms of lower floors only; rooms of one floor do not know each other.
FLOORS: dict[str, list[set[str]]] = {
    "hw": [
        {"parts"},
        {"costs", "decode", "host", "memory", "paging", "tlb", "trace"},
        {"accesses", "corrections", "devices", "disk", "engine", "files", "flushes", "jumps"},
        {"mmu", "nvm", "setup", "stretch", "terminal"},
        {"calibration", "fpu", "shadow", "softfloat", "stops"},
        {"x87"},
        {"floating"},
        {"remedies"},
        {"cpu"},
        {"contexts", "stepping"},
        {"machine"},
        {"panel"},
    ],
    "hw/panel": [
        {"keys", "verbs", "model"},
        {"picture", "words"},
        {"panels"},
        {"layout"},
        {"pictures", "session"},
        {"machine"},
        {"user"},
        {"commands", "polling"},
        {"window"},
        {"command"},
    ],
    "kernel": [
        {"abi", "choose", "log"},
        {"mm", "servers"},
        {"nvm", "task"},
        {"sched"},
        {"wait", "vas"},
        {"ipc"},
        {"life"},
        {"kernel"},
        {"syscalls", "port", "vas_invariants"},
        {"calls", "invariants", "deadlock"},
        {"resume"},
        {"trap"},
        {"turns", "strace", "checkpoint"},
        {"boot"},
    ],
    "userland": [
        {"cplusplus"},
        {"again", "build", "inputs", "manual", "programs", "root", "streams"},
        {"crash", "live"},
        {"nvm"},
        {"exec", "media"},
        {"gallery", "shell"},
        {"panel"},
    ],
    "labs": [
        {"answering", "claim", "crew", "crossings", "intervals", "lab"},
        {"plain", "progress", "timeline", "written"},
        {"evidence", "stage", "submission", "workshop"},
        {"demos", "problems", "question", "unpack"},
        {"demo", "exam", "interview", "questions"},
        {"export", "gradescope", "judge", "tour"},
        {"mutants", "report"},
        {"grading"},
        {"classroom"},
        {"tool"},
    ],
}

Edges = dict[str, set[str]]
"""Module -> the modules of the same folder that it imports, anywhere and for any reason."""


def modules_below(folder: str) -> dict[str, str]:
    """Dotted name -> path of every module below a folder."""
    found = {}
    for path in sources(".py"):
        if path.startswith(folder + "/"):
            found[path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")] = path
    return found


def edges_between(files: dict[str, str], read: Callable[[str], str]) -> Edges:
    """Which module imports which; imports in functions and under TYPE_CHECKING count as well."""
    edges: Edges = {}
    for module, path in files.items():
        edges[module] = set()
        for _, name in imports(path, ast.parse(read(path))):
            while name and name not in files:
                name = name.rpartition(".")[0]
            if name and name != module:
                edges[module].add(name)
    return edges


def circles(edges: Edges) -> list[list[str]]:
    """The groups of modules in which each module reaches every other one."""

    def reach(start: str) -> set[str]:
        seen, open_ends = set[str](), [start]
        while open_ends:
            for name in edges[open_ends.pop()] - seen:
                seen.add(name)
                open_ends.append(name)
        return seen

    reached = {module: reach(module) for module in edges}
    groups = {
        tuple(sorted(other for other in reached[module] if module in reached[other]))
        for module in edges
        if module in reached[module]
    }
    return [list(group) for group in sorted(groups)]


def room_of(module: str, folder: str) -> str:
    """`space` of kernel.mm.space is in the room `mm`; the folder itself is in the room ``."""
    return module.removeprefix(folder.replace("/", ".")).strip(".").partition(".")[0]


def arrows_up(folder: str, floors: list[set[str]], edges: Edges) -> list[str]:
    """The imports that do not lead to a lower floor, and the rooms that no floor names."""
    height = {room: number for number, floor in enumerate(floors) for room in floor}
    wrong = []
    for module in sorted(edges):
        mine = room_of(module, folder)
        if mine and mine not in height:
            wrong.append(f"{module} is on no floor")
        for other in sorted(edges[module]):
            theirs = room_of(other, folder)
            if mine != theirs and height.get(theirs, 0) >= height.get(mine, len(floors)):
                wrong.append(f"{module} imports {other}")
    return wrong


def text_of(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


@pytest.mark.parametrize("folder", FLOORS)
def test_no_modules_import_each_other_in_a_circle(folder: str) -> None:
    assert circles(edges_between(modules_below(folder), text_of)) == []


@pytest.mark.parametrize("folder", FLOORS)
def test_imports_lead_to_lower_floors_only(folder: str) -> None:
    assert arrows_up(folder, FLOORS[folder], edges_between(modules_below(folder), text_of)) == []


FLOOR_EXAMPLES = {
    "at the top": "import kernel.b.y",
    "in a function": "def f():\n    from kernel.b import y",
    "for types": "if TYPE_CHECKING:\n    from kernel.b.y import Y",
}


@pytest.mark.parametrize("source", FLOOR_EXAMPLES.values(), ids=FLOOR_EXAMPLES)
def test_arrows_and_circles_are_found_wherever_the_import_is(source: str) -> None:
    files = {"kernel.a.x": "kernel/a/x.py", "kernel.b.y": "kernel/b/y.py"}
    texts = {"kernel/a/x.py": source, "kernel/b/y.py": "from kernel.a import x"}
    edges = edges_between(files, texts.__getitem__)
    assert circles(edges) == [["kernel.a.x", "kernel.b.y"]]
    assert arrows_up("kernel", [{"a"}, {"b"}], edges) == ["kernel.a.x imports kernel.b.y"]
    assert arrows_up("kernel", [{"b"}, {"a"}], edges) == ["kernel.b.y imports kernel.a.x"]
    assert arrows_up("kernel", [{"a", "b"}], edges) == [
        "kernel.a.x imports kernel.b.y",
        "kernel.b.y imports kernel.a.x",
    ]
    assert "kernel.b.y is on no floor" in arrows_up("kernel", [{"a"}], edges)


# Names and sizes ------------------------------------------------------------------------------


def test_no_file_is_long() -> None:
    for path in sources(".py", ".c", ".h", ".S", ".s"):
        lines = len((ROOT / path).read_text("utf-8").splitlines())
        assert lines <= LONGEST_FILE, f"{path}:{lines}: a file has at most {LONGEST_FILE} lines"


def test_the_top_level_holds_the_agreed_names_only() -> None:
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text("utf-8").split()]
    for name in os.listdir(ROOT):
        known = name in TOP_LEVEL or any(fnmatch.fnmatch(name, pattern) for pattern in ignored)
        assert known, f"{name}:1: not among the names that were agreed for the top level"


def test_the_door_can_use_host_and_setup_before_an_environment_exists() -> None:
    modules = ("hw/__init__.py", "hw/host.py", "hw/setup.py")
    for path in modules:
        for line, name in imports(path, ast.parse((ROOT / path).read_text("utf-8"))):
            known = is_within(name, {"hw.host"} | set(sys.stdlib_module_names))
            assert known, f"{path}:{line}: {name} may not be imported here"
