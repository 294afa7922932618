"""A secret in a VAS: what cannot read it, what can, and what a registered entry changes.

The program is `userland/programs/vas_vault.c`.  The secret is read from the frame that it lies in.
"""

from __future__ import annotations

from typing import Any

from kernel.kernel import Kernel
from kernel.strace import error_name
from labs.claim import Demo, Options, Result, paragraph
from labs.stage import Act, play

PROGRAM = "vas_vault"
SECRET_BYTES = 8


def secret(kernel: Kernel, _: int) -> tuple[int, str]:
    """Where the vault is, and the first bytes in its frame, in hex."""
    (vas,) = kernel.vases.vases.values()
    region = vas.space.map.at(0)  # behind it is the gate
    pa = region.object.pages[region.page] << 12
    return region.start, kernel.machine.memory.read(pa, SECRET_BYTES).hex()


def run(options: Options) -> Result:
    """The four ways in, in this configuration."""
    filled, stray, hijacked, gated, anew, _ = play(options, PROGRAM, secret)
    assert filled.picture is not None
    place, hidden = filled.picture
    data: dict[str, Any] = {
        "secret": hidden,
        "place": place,
        "stray_read": _seen(stray, hidden),
        "hijacked": _seen(hijacked, hidden),
        "gated": _seen(gated, hidden),
        "attached_anew": _seen(anew, hidden),
    }
    stopped = [death.signal for death in stray.deaths if death.address == place]
    holds = (
        stopped == ["SIGSEGV"]
        and not data["stray_read"]["leaked"]
        and data["hijacked"]["leaked"]
        and gated.results("vas_entry") == [0]
        and not data["gated"]["leaked"]
        and anew.results("vas_attach") == [0]
        and not data["attached_anew"]["leaked"]
    )
    return Result(_text(data), data, holds)


def _seen(act: Act[tuple[int, str]], hidden: str) -> dict[str, Any]:
    return {
        "printed": act.words,
        "leaked": hidden in act.words,
        "deaths": [[death.signal, death.address] for death in act.deaths],
        "attach": act.results("vas_attach"),
        "switch": act.results("vas_switch"),
    }


def _text(data: dict[str, Any]) -> str:
    place, hidden = data["place"], data["secret"]
    stray, hijacked, anew = data["stray_read"], data["hijacked"], data["attached_anew"]
    deaths = ", ".join(f"{signal} at {address:#x}" for signal, address in stray["deaths"])
    ways = (
        f"1. A stray read of that address, from outside: {deaths or 'nothing happens'}. "
        f"{_leak(stray)} At home there is no page at this address, so no bug elsewhere reads it.",
        "2. Hijacked code calls vas_switch itself, which answers "
        f"{_answers(hijacked['switch'])}. {_leak(hijacked)} A compartment stops stray pointers; "
        "a thread that runs code can walk in.",
        "3. The same code, after the program registered a gate (vas_entry). "
        f"{_leak(data['gated'])} Its switch went on at the gate, which lies in the VAS, where "
        "nobody outside can rewrite it. The gate only compares a guess with the secret, and goes "
        "home.",
        "4. The program has ended. Another process of the owner gives itself all rights and "
        f"attaches the VAS anew, which answers {_answers(anew['attach'])}. {_leak(anew)} The gate "
        "belongs to the VAS, and so to every attachment.",
    )
    head = (
        f"A VAS holds the secret {hidden} at {place:#x}. The program has attached it and is home."
    )
    return "\n\n".join([paragraph(head), *(paragraph(way, "   ") for way in ways)])


def _leak(seen: dict[str, Any]) -> str:
    printed = " ".join(seen["printed"]).replace("-", "a dash")
    return f"It prints {printed}: the secret {'is out' if seen['leaked'] else 'stays in'}."


def _answers(results: list[int]) -> str:
    return ", then ".join(error_name(-r) if r < 0 else str(r) for r in results)


DEMO = Demo("compartment", "a secret in a VAS: what cannot read it, what can, and a gate", run)
