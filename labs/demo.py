"""`run.py demo`: small shows, each of one claim, in text or as JSON.

A demo is a module of `labs/demos/` with a `DEMO` in it; nothing else has to know of it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pkgutil
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

import hw.panel
from hw.host import UserError
from kernel.boot import add_machine_options
from labs import demos
from labs.claim import Demo, Options
from userland.exec import configuration
from userland.live import is_possible, show, trace_file

EXAMPLES = """\
examples:
  python3 run.py demo list                      what there is to see
  python3 run.py demo switch                    what a change of view costs
  python3 run.py demo switch --json --no-pcid   the same for a machine, without TLB tags
  python3 run.py demo switch --trace s.vtrace   and recorded
  python3 run.py demo views --panel             and then on the front panel, scene by scene
"""
LIST = "list"
SCENES = Path(hw.panel.__file__).with_name("scenes")


def every_demo() -> dict[str, Demo]:
    """All demos, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(demos.__path__))
    found = [import_module(f"{demos.__name__}.{name}") for name in names]
    return {module.DEMO.name: module.DEMO for module in found if hasattr(module, "DEMO")}


def main(argv: list[str]) -> int:
    """The demo command; 1 if a demo did not show what it claims."""
    options = _parser().parse_args(argv)
    known = every_demo()
    if options.name == LIST:
        docs = {demo.name: demo.doc for demo in known.values()}
        lines = "\n".join(f"{name:<12} {doc}" for name, doc in docs.items())
        print(json.dumps(docs, indent=1) if options.json else lines)
        return 0
    if options.name not in known:
        raise _unknown(options.name, list(known))
    if options.json and options.captions:
        raise UserError("--json and --captions would be mixed up", "give one of them at a time")
    panel = options.panel and is_possible()
    with contextlib.ExitStack() as stack:
        trace = options.trace
        if panel or options.captions:
            trace = stack.enter_context(trace_file(trace))
        result = known[options.name].run(Options(configuration(options), trace))
        print(json.dumps(result.data, indent=1) if options.json else result.text, flush=True)
        if options.captions and trace is not None:
            from hw.panel import command as panel_command  # not in the tree of lab 1

            panel_command.main(["captions", str(trace)])
        if panel and trace is not None:
            show(trace, *scenes_of(options.name, options.vas_sync))
    return 0 if result.holds else 1


def scenes_of(name: str, policy: str = "") -> list[str]:
    """The panel's options for the scenes of a demo, if it has some: those of a policy, where that
    has its own."""
    paths = [SCENES / f"{name}-{policy}.json", SCENES / f"{name}.json"]
    return [f"--scenes={path}" for path in paths if path.exists()][:1]


def _unknown(name: str, known: list[str]) -> UserError:
    close = get_close_matches(name, known, 1)
    remedy = f"did you mean '{close[0]}'?" if close else "see 'python3 run.py demo list'"
    return UserError(f"there is no demo '{name}'", remedy)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 run.py demo",
        description="Show one claim of Vantage at work.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", nargs="?", default=LIST, help="a demo, or `list`")
    parser.add_argument("--json", action="store_true", help="figures for a machine")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="record the run in a file")
    parser.add_argument("--panel", action="store_true", help="then go through it in the panel")
    parser.add_argument("--captions", action="store_true", help="then tell it in sentences")
    add_machine_options(parser)
    return parser
