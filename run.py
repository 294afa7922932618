#!/usr/bin/env python3
"""The one door to Vantage: `python3 run.py COMMAND`.

Three parts: a gate that turns away an old Python, the environment that holds the few packages
Vantage needs, and the table of commands. Every Python from 2.7 on must be able to parse this
file, or the gate could not speak: hence the type comments and the old-fashioned formatting.
"""

from __future__ import print_function

import os
import sys

# The gate -----------------------------------------------------------------------------------

OLDEST = (3, 10)

if sys.version_info < OLDEST:
    sys.stderr.write(
        "Vantage needs Python %d.%d or newer and this is Python %d.%d; install a newer one "
        "(https://www.python.org/downloads/) and start run.py with it, for example "
        "'python3.12 run.py'.\n" % (OLDEST + tuple(sys.version_info[:2]))
    )
    sys.exit(2)

ROOT = os.path.dirname(os.path.realpath(__file__))
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

OURS = ("hw", "kernel", "userland", "labs", "tests", "run")

# The environment ----------------------------------------------------------------------------

# Group -> the lock that names every package of it. "runtime" is in every environment; another
# group is added by the first command that needs it.
LOCKS = {
    "runtime": "requirements.txt",
    "test": "requirements-test.txt",
    "compiler": "requirements-compiler.txt",
    "panel": "requirements-panel.txt",
    "mutants": "requirements-mutants.txt",
}


def environment_folder(groups):
    # type: (list[str]) -> str
    """`.venv` in the checkout, or a folder in the user's cache if that cannot be written."""
    local = os.path.join(ROOT, ".venv")
    if is_good(local, groups) or os.access(local if os.path.exists(local) else ROOT, os.W_OK):
        return local
    import zlib

    from hw import host

    key = "%s-%08x" % (os.path.basename(ROOT), zlib.crc32(os.fsencode(ROOT)))
    return str(host.user_cache_folder("vantage") / key)


def is_good(env, groups):
    # type: (str, list[str]) -> bool
    """A group is good while its stamp says what it would be made from today."""
    return os.path.exists(python_of(env)) and all(
        read(stamp_file(env, group)) == stamp(group) for group in groups
    )


def stamp(group):
    # type: (str) -> str
    return "\n".join([sys.version, sys.base_prefix, read(os.path.join(ROOT, LOCKS[group]))])


def stamp_file(env, group):
    # type: (str, str) -> str
    return os.path.join(env, group + ".stamp")


def python_of(env):
    # type: (str) -> str
    return os.path.join(env, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))


def enter_environment(groups):
    # type: (list[str]) -> None
    """Return if this is the Python of a good environment; otherwise go on as that Python."""
    choice = os.environ.get("VANTAGE_ENV", "")
    if choice == "active":
        return
    if choice:
        raise problem("VANTAGE_ENV=%s means nothing" % choice, "set it to 'active' or not at all")
    env = environment_folder(groups)
    if not is_good(env, groups):
        set_up(env, groups)
    if os.path.realpath(sys.prefix) == os.path.realpath(env):
        return
    if os.path.abspath(sys.executable) == python_of(env):
        raise problem("the environment %s is damaged" % env, "delete it and start again")
    os.environ.pop("PYTHONHOME", None)  # would switch the environment off
    command = [python_of(env)] + sys.orig_argv[1:]
    if os.name != "nt":
        os.execv(command[0], command)
    from hw import host

    sys.exit(host.call_in_our_place(command))


def set_up(env, groups):
    # type: (str, list[str]) -> None
    """Make the environment.  The stamps go first and come last: if something stops this half-way,
    the next start finds no stamps and makes the environment afresh."""
    from hw import setup

    with setup.environment_to_build(env):
        if is_good(env, groups):  # another start has just made it
            return
        good = [group for group in LOCKS if is_good(env, ["runtime", group])]
        for group in LOCKS:
            write(stamp_file(env, group), "")
        say("Setting up Vantage (once), in %s" % env)
        if not good:
            setup.make_venv(env)
        for group in groups:
            if group not in good:
                if group == "compiler":
                    say("  the C compiler is large: 100 MB to download, 411 MB on disk")
                setup.install(python_of(env), os.path.join(ROOT, LOCKS[group]))
        for group in set(good + groups):
            write(stamp_file(env, group), stamp(group))
        say("  ready; no network is needed from now on")


# The commands -------------------------------------------------------------------------------

# Name -> what it does, the function that does it, and the groups of packages that it needs.
# The function takes the arguments after the name and returns the exit status.
COMMANDS = {
    "tour": (
        "look around: a few programs, their page tables and TLBs",
        "labs.tour:main",
        "runtime",
    ),
    "exec": ("run a program on Vantage", "userland.exec:main", "runtime"),
    "demo": ("show one claim at work: `demo list` names them", "labs.demo:main", "runtime"),
    "shell": ("a shell on Vantage, on this terminal", "userland.shell:main", "runtime"),
    "panel": ("see what a machine did, forwards and backwards", "userland.panel:main", "panel"),
    "lab": ("the course: hand-outs, hints, and a judge", "labs.tool:main", "runtime"),
    "nvm": ("make, check, repair and list NVM modules", "userland.media:main", "runtime"),
    "build": ("build the programs of userland/", "userland.build:main", "compiler"),
    "cc": ("compile C or C++ of your own for Vantage", "userland.build:cc", "compiler"),
    "bench": ("measure what things cost, as ratios", "tests.bench:main", "runtime panel"),
    "manual": ("print the reference of system calls", "userland.manual:main", "runtime"),
    "soak": ("random inputs until something breaks", "tests.soak:main", "runtime"),
    "test": ("run the tests", "run:test", "test compiler panel"),
    "lint": ("check style, types and leftovers", "run:lint", "test panel"),
    "doctor": ("say what is wrong with this set-up, and the remedy", "run:doctor", ""),
}

HELP = """\
Vantage: an operating system in which a thread changes its view of memory as easily as it
calls a function.

usage: python3 run.py [COMMAND] [OPTIONS]

commands:
%s

examples:
  python3 run.py                   the tour
  python3 run.py exec --help       each command explains itself
  python3 run.py test -k paging    some of the tests
  python3 run.py doctor            when something does not work

The first start needs a network, later ones do not. VANTAGE_ENV=active uses the Python you
start it with as it is; VANTAGE_DEBUG=1 shows the traceback of an error."""


def main(argv):
    # type: (list[str]) -> int
    name, options = (argv[0], argv[1:]) if argv else ("tour", [])
    if name in ("help", "-h", "--help"):
        if not options:
            print(HELP % "\n".join("  %-9s%s" % (key, COMMANDS[key][0]) for key in COMMANDS))
            return 0
        name, options = options[0], ["--help"]
    if name not in COMMANDS:
        raise unknown(name)
    _, target, groups = COMMANDS[name]
    refuse(name)
    if groups:
        enter_environment([group for group in LOCKS if group in ("runtime " + groups).split()])
    from importlib import import_module

    module, function = target.split(":")
    return int(getattr(import_module(module), function)(options))


def refuse(name):
    # type: (str) -> None
    """A student's tree may be without a command: it says so before packages are fetched."""
    why = read(os.path.join(ROOT, ".lab", "without-" + name))
    if why:
        raise problem(*why.strip().split("; ", 1))


def unknown(name):
    # type: (str) -> Exception
    from difflib import get_close_matches

    close = get_close_matches(name, list(COMMANDS), 1)
    remedy = "did you mean '%s'?" % close[0] if close else "see 'python3 run.py help'"
    return problem("there is no command '%s'" % name, remedy)


def test(argv):
    # type: (list[str]) -> int
    examples = ["", "tests/test_door.py", "-k 'paging and not tlb' -x", "--lf"]
    examples += ["--mutants --help"]
    if "--mutants" in argv:
        enter_environment(list(LOCKS))
        from tests.mutation import command

        return command.main(argv)
    about = (
        "Run the tests: all of them on every core, or what pytest's options select on one.\n"
        "With --mutants: plant mistakes and see whether the tests notice (tests/README.md)."
    )
    options = parse("test", about, examples, argv)
    import pytest

    os.chdir(ROOT)
    return int(pytest.main(options or ["-n", "logical", "--dist", "worksteal"]))


def lint(argv):
    # type: (list[str]) -> int
    about = "Check style (ruff), types (mypy), and for conflict markers and words left over."
    parse("lint", about, [""], argv)
    from subprocess import call

    checks = ("ruff check", "ruff format --check", "mypy", "tests.leftovers")
    return max([call([sys.executable, "-m"] + check.split(), cwd=ROOT) for check in checks])


def doctor(argv):
    # type: (list[str]) -> int
    """Works without an environment, and makes none."""
    parse("doctor", "Say what is wrong with this set-up, and the remedy.", [""], argv)
    from hw import setup

    if os.environ.get("VANTAGE_ENV") == "active":
        return setup.doctor(sys.prefix, sys.executable)
    env = environment_folder(["runtime"])
    return setup.doctor(env, python_of(env) if is_good(env, ["runtime"]) else None)


def parse(name, description, examples, argv):
    # type: (str, str, list[str], list[str]) -> list[str]
    """The options left over when --help has been dealt with."""
    import argparse

    parser = argparse.ArgumentParser(
        "run.py " + name,
        description=description,
        epilog="\n  python3 run.py ".join(["examples:"] + [name + " " + e for e in examples]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    left_over = parser.parse_known_args(argv)[1]
    if left_over and name != "test":
        parser.error("there is no option %s" % left_over[0])
    return left_over


def problem(message, remedy):
    # type: (str, str) -> Exception
    from hw import host

    return host.UserError(message, remedy)


def say(text):
    # type: (str) -> None
    try:
        print(text, file=sys.stderr)
    except OSError:  # nobody can be told
        from hw import host

        host.discard(sys.stderr)


def read(path):
    # type: (str) -> str
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def write(path, text):
    # type: (str, str) -> None
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def door(argv):
    # type: (list[str]) -> int
    """Run a command.  An error of any kind ends it with one sentence and a status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a character that the host lacks is no error
            stream.reconfigure(errors="replace")
    try:
        try:
            return main(argv)
        finally:
            if sys.stdout:  # it may be closed
                sys.stdout.flush()
    except KeyboardInterrupt:
        say("Interrupted.")
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        give_up_output()
        return 141
    except Exception as error:
        if os.environ.get("VANTAGE_DEBUG", "0") not in ("", "0"):
            raise
        return explain(error)


def give_up_output():
    # type: () -> None
    """Nobody takes our output any more: what is left of it must not fail again at the exit."""
    from hw import host

    if sys.stdout:
        host.discard(sys.stdout)


def place_of(error):
    # type: (Exception) -> str
    """Where in this tree it arose; what cannot be parsed says so itself."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame[0].startswith(ROOT)]
    if isinstance(error, SyntaxError) or not own:
        return " (VANTAGE_DEBUG=1 shows the traceback)"
    name = os.path.relpath(own[-1][0], ROOT)
    return ", in line %d of %s (VANTAGE_DEBUG=1 shows the traceback)" % (own[-1][1], name)


def is_absent(module):
    # type: (str) -> bool
    place = os.path.join(ROOT, *module.split("."))
    return not (os.path.exists(place) or os.path.exists(place + ".py"))


def explain(error):
    # type: (Exception) -> int
    from hw import host

    if isinstance(error, ImportError) and (error.name or "run").split(".")[0] not in OURS:
        name = str(error.name)
        error = host.UserError("this Python lacks the package '%s'" % name, "see 'run.py doctor'")
    if isinstance(error, ImportError) and is_absent(str(error.name)):
        error = host.UserError(
            "this tree is without %s" % str(error.name).replace(".", "/"),
            "it is a student's, and holds what a lab needs: see 'run.py lab list'",
        )
    if isinstance(error, OSError) and error.errno in host.NO_ROOM:
        if not error.filename:
            give_up_output()
        place = error.filename or "standard output"
        what = "cannot write %s: %s" % (place, error.strerror)
        error = host.UserError(what, "make room there, or name another place")
    if isinstance(error, host.UserError):
        say("\n".join(map(host.printable, ("Vantage: " + str(error)).split("\n"))))
        return 2
    if isinstance(error, NotImplementedError):  # the part of a lab that a student writes
        say("Vantage: %s." % error)
        return 2
    if is_absent("tests") and os.path.isdir(os.path.join(ROOT, ".lab")):
        # A student's tree: the mistake is most likely there, in what is being written.
        say("Vantage: %s: %s%s" % (type(error).__name__, error, place_of(error)))
        return 70
    say(
        "Vantage: %s: %s; this is a bug in Vantage, please report it (VANTAGE_DEBUG=1 shows "
        "the traceback)" % (type(error).__name__, error)
    )
    return 70


if __name__ == "__main__":
    sys.exit(door(sys.argv[1:]))
