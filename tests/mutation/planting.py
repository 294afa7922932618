"""Where mistakes are planted, and which: mutmut's operators, and two of ours.

Only mutmut's operators are used. Its own runner leaves out each function with a decorator, hence
every system call and every property, and it hides the mutants behind wrappers, which the tests that
read the source would see.

Each line of the source stands for at most one mutant, drawn by the seed. Otherwise a line with four
numbers would count four times, and a call once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation import mutators

from tests.mutation.mutant import Mutant, digest


def leave_out(node: cst.SimpleStatementLine) -> Iterator[cst.SimpleStatementLine]:
    """A line that is forgotten: a call for its effect, or an assignment to what exists already.

    Not `a = b`: a name that nobody has set is an error at once, and no mistake to test for.
    """
    existing = m.Attribute() | m.Subscript()
    effects = m.Expr(value=m.Call()) | m.AugAssign() | m.Assign(targets=[m.AssignTarget(existing)])
    if len(node.body) == 1 and m.matches(node.body[0], effects):
        yield node.with_changes(body=[cst.Pass()])


def negate(node: cst.If | cst.While | cst.IfExp) -> Iterator[cst.If | cst.While | cst.IfExp]:
    """One `not` too much.  For a comparison and for a `not`, mutmut has mistakes of its own."""
    if not m.matches(node.test, m.Comparison() | m.UnaryOperation(operator=m.Not())):
        inner = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        yield node.with_changes(test=cst.UnaryOperation(cst.Not(), inner))


# mutmut's operators that put None in the place of a value, drop an argument or change a text are
# not here: a test that runs the line at all notices the first two, and a text is no behaviour.
OPERATORS: dict[Callable[[Any], Iterable[cst.CSTNode]], tuple[type, ...]] = {
    mutators.operator_number: (cst.Integer, cst.Float),
    mutators.operator_name: (cst.Name,),
    mutators.operator_augmented_assignment: (cst.AugAssign,),
    mutators.operator_remove_unary_ops: (cst.UnaryOperation,),
    mutators.operator_keywords: (cst.Is, cst.IsNot, cst.In, cst.NotIn, cst.Break, cst.Continue),
    mutators.operator_swap_op: (
        *(cst.BinaryOperation, cst.UnaryOperation, cst.BooleanOperation),
        *(cst.ComparisonTarget, cst.AugAssign),
    ),
    mutators.operator_match: (cst.Match,),
    leave_out: (cst.SimpleStatementLine,),
    negate: (cst.If, cst.While, cst.IfExp),
}

# What no run of a program can tell is left alone: types, and what only mypy reads of a decorator.
FOR_MYPY = m.Decorator(m.Name("overload") | m.Name("dataclass") | m.Call(m.Name("dataclass")))


@dataclass(frozen=True, eq=False)
class Site:
    """A place in a module, and what an operator would put there."""

    path: str
    line: int
    operator: str
    tree: cst.Module
    node: cst.CSTNode
    mistake: cst.CSTNode

    def planted(self) -> Mutant:
        text = self.tree.deep_replace(self.node, self.mistake).code
        rows = zip(self.tree.code.splitlines(), text.splitlines(), strict=False)
        before, after = next(((a, b) for a, b in rows if a != b), ("", ""))
        return Mutant(self.path, self.line, self.operator, before.strip(), after.strip(), text)


def sites_of(root: Path, path: str) -> Iterator[Site]:
    """All sites of a module, in the order of its text."""
    tree = cst.parse_module((root / path).read_text("utf-8"))
    wrapper = MetadataWrapper(tree, unsafe_skip_copy=True)  # a parsed tree has no node twice
    positions = wrapper.resolve(PositionProvider)
    for node in audible(wrapper.module):
        for operator in (one for one, kinds in OPERATORS.items() if isinstance(node, kinds)):
            name = operator.__name__.removeprefix("operator_")
            for mistake in operator(node):
                yield Site(path, positions[node].start.line, name, tree, node, mistake)


def audible(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """A node and all nodes in it, but none that is silent."""
    if isinstance(node, cst.Annotation):
        return
    if not (isinstance(node, cst.Decorator) and m.matches(node, FOR_MYPY)):
        yield node
        for child in node.children:
            yield from audible(child)


def drawn(sites: Iterable[Site], seed: int) -> list[Site]:
    """One site for each line, in an order that the seed draws.

    The order of two lines depends on nothing else in the tree, so that the first N are nearly the
    same ones after a change to another module.
    """
    lines: dict[tuple[str, int], list[Site]] = {}
    for site in sites:
        lines.setdefault((site.path, site.line), []).append(site)
    ranks = {place: int(digest(str(seed), *map(str, place)), 16) for place in lines}
    ordered = sorted(lines, key=ranks.__getitem__)
    return [lines[place][ranks[place] % len(lines[place])] for place in ordered]
