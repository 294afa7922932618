"""The graph: thread -> process -> space -> memory object, with what is active drawn solid."""

from __future__ import annotations

from typing import NamedTuple

from hw.panel.model.moment import View
from hw.panel.model.state import REGIONS, Region
from hw.panel.panels.maps import is_of_vas, kind_of
from hw.panel.picture.draw import Canvas, Rect
from hw.panel.picture.theme import CLASSES, hue_of, ink_on
from hw.panel.words.words import rights_letters

MOST_NODES = 12
"""A layer has at most this many nodes, and fewer where there is no room."""
LAYERS = ("thread", "process", "space", "memory object")


class Node(NamedTuple):
    """A box of the graph."""

    layer: int
    id: int
    label: str
    hue: str
    active: bool


class Edge(NamedTuple):
    """An arrow from a node to one of the next layer; `label` has its rights."""

    start: tuple[int, int]
    end: tuple[int, int]
    label: str
    active: bool
    new: bool


class Graph(NamedTuple):
    """Layers of nodes in the order that they are drawn in, and the edges between them."""

    layers: list[list[Node]]
    edges: list[Edge]
    hidden: list[int]


def graph(view: View, most: int = MOST_NODES) -> Graph:
    state = view.moment.state
    running = {core.tid for core in state.cores.values()}
    active = {core.space for core in state.cores.values()}
    nodes: list[dict[int, Node]] = [{}, {}, {}, {}]
    edges: list[Edge] = []
    for tid, thread in sorted(state.threads.items()):
        runs = tid in running
        nodes[0][tid] = Node(
            0, tid, f"T{tid} {thread.doing.replace('running', 'runs')}", "sky", runs
        )
        nodes[1].setdefault(
            thread.pid, Node(1, thread.pid, f"P{thread.pid} {thread.name}", "green", runs)
        )
        if runs:
            nodes[1][thread.pid] = nodes[1][thread.pid]._replace(active=True)
        edges.append(Edge((0, tid), (1, thread.pid), "", runs, False))
        home = state.views[thread.space].home if thread.space in state.views else thread.space
        for space in (home, *(v for v, a in sorted(state.views.items()) if a.home == home)):
            edges.append(Edge((1, thread.pid), (2, space), "", space in active, False))
    seen = {v: state.vases[a.vid].space for v, a in state.views.items() if a.vid in state.vases}
    for space in sorted(set(state.spaces) - set(seen.values())):
        name = view.moment.tracks.space_name(space)
        nodes[2][space] = Node(2, space, name, hue_of(space), space in active)
    for region in sorted(state.regions.values()):
        for space in [v for v, own in sorted(seen.items()) if own == region.space] or [
            region.space
        ]:
            if space in nodes[2]:
                _add_object(view, nodes, edges, region, space)
    return _ordered(nodes, list(dict.fromkeys(edges)), most)


def _add_object(
    view: View, nodes: list[dict[int, Node]], edges: list[Edge], region: Region, space: int
) -> None:
    """Add the memory object of a region, and the edge from the space that shows it."""
    active = nodes[2][space].active
    name = region.name.strip("[]") or "anon"
    rights = rights_letters(region.prot)
    label = f"{rights} {name} {region.pages}p"
    if region.object not in nodes[3] or active:
        nodes[3][region.object] = Node(
            3,
            region.object,
            label,
            CLASSES[kind_of(region, of_vas=is_of_vas(view, region))][0],
            active,
        )
    new = view.is_new(REGIONS, (region.space, region.start))
    edges.append(Edge((2, space), (3, region.object), rights, active, new))


def _ordered(nodes: list[dict[int, Node]], edges: list[Edge], most: int) -> Graph:
    """Order each layer by the mean place of its neighbours above; ties by number."""
    layers: list[list[Node]] = []
    hidden: list[int] = []
    place: dict[tuple[int, int], float] = {}
    for depth, layer in enumerate(nodes):
        keyed = []
        for id, node in sorted(layer.items()):
            above = [place[e.start] for e in edges if e.end == (depth, id) and e.start in place]
            mean = sum(above) / len(above) if above else float(len(layer))
            keyed.append((mean if depth else 0.0, id, node))
        keyed.sort(key=lambda row: row[:2])
        chosen = _most_active([node for _, _, node in keyed], most)
        for index, node in enumerate(chosen):
            place[depth, node.id] = index / max(1, len(chosen) - 1) if len(chosen) > 1 else 0.5
        layers.append(chosen)
        hidden.append(len(layer) - len(chosen))
    shown = [e for e in edges if e.start in place and e.end in place]
    return Graph(layers, shown, hidden)


def _most_active(nodes: list[Node], most: int) -> list[Node]:
    """At most `most` nodes, active ones first chosen, in their former order."""
    if len(nodes) <= most:
        return nodes
    ranked = sorted(range(len(nodes)), key=lambda i: (not nodes[i].active, i))[:most]
    return [nodes[i] for i in sorted(ranked)]


def title(view: View) -> str:
    return "thread > process > space > memory object"


def draw(view: View, c: Canvas) -> None:
    shape = graph(view, max(2, min(MOST_NODES, c.rows - 1)))
    boxes = _boxes(c, shape)
    for edge in sorted(shape.edges, key=lambda e: (e.new, e.active)):
        one, two = boxes[edge.start], boxes[edge.end]
        ink = "hot" if edge.new else "ink" if edge.active else "faint"
        start, end = (one.right, one.y + one.h // 2), (two.x, two.y + two.h // 2)
        width = 2 if edge.active or edge.new else 1
        c.line(*start, *end, ink, width=width, dash=0 if edge.active else 4)
    for layer in shape.layers:
        for node in layer:
            _node(c, boxes[node.layer, node.id], node)
    for depth, count in enumerate(shape.hidden):
        if count:
            x = boxes[depth, shape.layers[depth][0].id].x
            c.text(x, c.rect.bottom - c.row, f"+{count} more", "dim")


def _boxes(c: Canvas, shape: Graph) -> dict[tuple[int, int], Rect]:
    """Where each node stands."""
    shares = (0.20, 0.175, 0.16, 0.28)
    gap = int((1 - sum(shares)) / 3 * c.rect.w)
    boxes, x = {}, c.rect.x
    for share, layer in zip(shares, shape.layers, strict=True):
        wide = int(share * c.rect.w)
        room = c.rect.h - (c.row if any(shape.hidden) else 0)
        pitch = min(2.0 * c.row, room / max(1, len(layer)))
        tall = int(min(c.row + 2, pitch - 2))
        top = c.rect.y + (room - pitch * len(layer)) / 2
        for index, node in enumerate(layer):
            y = int(top + index * pitch + (pitch - tall) / 2)
            boxes[node.layer, node.id] = Rect(x, y, wide, max(4, tall))
        x += wide + gap
    return boxes


def _node(c: Canvas, at: Rect, node: Node) -> None:
    fill = node.hue if node.active else "title"
    ink = ink_on(fill) if node.active else "ink"
    c.box(*at, fill, outline="ink" if node.active else "dim")
    if not node.active:
        c.box(at.x, at.y, 4, at.h, node.hue)
    if at.h >= c.size:
        y = at.y + (at.h - c.row) // 2
        c.text(at.x + 6, y, node.label, ink, paper=fill, width=at.w - 8)


def describe(view: View) -> list[str]:
    shape = graph(view)
    lines = []
    names = {(n.layer, n.id): n.label for layer in shape.layers for n in layer}
    for edge in shape.edges:
        rights = f" {edge.label}" if edge.label else ""
        active = " (active)" if edge.active else ""
        new = " *" if edge.new else ""
        lines.append(f"{names[edge.start]} -> {names[edge.end]}{rights}{active}{new}")
    return lines + [
        f"+{count} more {LAYERS[depth]}" for depth, count in enumerate(shape.hidden) if count
    ]
