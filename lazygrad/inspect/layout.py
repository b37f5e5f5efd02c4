"""Where the boxes of a drawn graph stand: takes their sizes and the edges between them, returns coordinates.

In layers from left to right (Sugiyama): every box in the layer before the first that reads it, edges across several
layers bent at a point in each, few crossings by sorting each layer by the mean of its neighbours, and heights
that are nearest to the neighbours' in the sense of least squares without any two boxes overlapping.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx

Item = Hashable  # a box, or a bend (edge, layer)
SWEEPS = 12


@dataclass(frozen=True)
class Layout:
    """Centres of the boxes, the points each edge goes through between its boxes, and the size of the whole.

    An edge crosses a layer level, and rises or falls only between layers: so it meets no box.
    """

    centre: dict[Item, tuple[float, float]]
    ways: dict[tuple[Item, Item], list[tuple[float, float]]]
    width: float
    height: float


def layered(
    sizes: Mapping[Item, tuple[float, float]],
    edges: Sequence[tuple[Item, Item]],
    between: tuple[float, float] = (56.0, 14.0),
) -> Layout:
    """A layout of an acyclic graph of boxes of `sizes` (width, height), `between` apart in both directions."""
    layer_of = _layers(sizes, edges)
    paths = {edge: _path(edge, layer_of) for edge in dict.fromkeys(edges)}
    graph = nx.DiGraph()
    graph.add_nodes_from(sizes)
    for path in paths.values():
        nx.add_path(graph, path)
    layers: list[list[Item]] = [[] for _ in range(1 + max(layer_of.values(), default=-1))]
    for item in nx.dfs_postorder_nodes(graph.reverse()):
        layers[_layer(item, layer_of)].append(item)
    _uncross(layers, graph)
    heights = {item: sizes[item][1] if item in sizes else 0.0 for item in graph}
    y = _heights(layers, graph, heights, between[1])
    columns = _columns(layers, sizes, between[0])
    centre = {item: (sum(columns[layer_of[item]]) / 2, y[item]) for item in sizes}
    ways = {}
    for edge, path in paths.items():
        sides = [(x, y[item]) for item in path for x in columns[_layer(item, layer_of)]]
        ways[edge] = sides[1:-1]  # from the right side of the first layer to the left side of the last
    height = max((y[item] + heights[item] / 2 for item in graph), default=0.0)
    return Layout(centre, ways, columns[-1][1] if columns else 0.0, height)


def _layers(boxes: Mapping[Item, tuple[float, float]], edges: Sequence[tuple[Item, Item]]) -> dict[Item, int]:
    """By the longest way to an end."""
    graph = nx.DiGraph()
    graph.add_nodes_from(boxes)
    graph.add_edges_from(edges)
    layers = list(nx.topological_generations(graph.reverse()))
    return {item: i for i, layer in enumerate(reversed(layers)) for item in layer}


def _path(edge: tuple[Item, Item], layer_of: dict[Item, int]) -> list[Item]:
    start, end = edge
    return [start, *((edge, i) for i in range(layer_of[start] + 1, layer_of[end])), end]


def _layer(item: Item, layer_of: dict[Item, int]) -> int:
    if item in layer_of:
        return layer_of[item]
    assert isinstance(item, tuple)
    return int(item[1])


def _uncross(layers: list[list[Item]], graph: nx.DiGraph) -> None:
    """Sorts each layer by the mean place of its neighbours, forward and back; keeps the order that crosses least."""
    best, fewest = [list(layer) for layer in layers], _crossings(layers, graph)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        neighbours = graph.predecessors if forward else graph.successors
        for before, layer in pairwise(layers if forward else layers[::-1]):
            place = {item: i for i, item in enumerate(before)}
            now = {item: i for i, item in enumerate(layer)}
            layer.sort(key=lambda item: (_mean([place[n] for n in neighbours(item)], now[item]), now[item]))
        crossings = _crossings(layers, graph)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    layers[:] = best


def _crossings(layers: list[list[Item]], graph: nx.DiGraph) -> int:
    total = 0
    for before, after in pairwise(layers):
        place = {item: i for i, item in enumerate(after)}
        ends = [sorted(place[n] for n in graph.successors(item)) for item in before]
        flat = [end for group in ends for end in group]
        total += sum(a > b for i, a in enumerate(flat) for b in flat[i + 1 :])
    return total


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _heights(
    layers: list[list[Item]], graph: nx.DiGraph, heights: dict[Item, float], between: float
) -> dict[Item, float]:
    y: dict[Item, float] = {}
    for layer in layers:
        y |= _apart(layer, [0.0] * len(layer), heights, between)
    for sweep in range(2 * SWEEPS):
        for layer in layers if sweep % 2 == 0 else layers[::-1]:
            wished = [_mean([y[n] for n in nx.all_neighbors(graph, item)], y[item]) for item in layer]
            y |= _apart(layer, wished, heights, between)
    top = min((y[item] - heights[item] / 2 for item in y), default=0.0)
    return {item: value - top for item, value in y.items()}


def _apart(layer: list[Item], wished: list[float], heights: dict[Item, float], between: float) -> dict[Item, float]:
    """The centres nearest to the wished ones at which the boxes of a layer, in this order, don't overlap.

    With the room that the boxes above take subtracted, no overlap means: never falling. So neighbours that would
    fall are pooled at their mean until none does (isotonic regression).
    """
    offsets, offset = [], 0.0
    for above, item in zip([None, *layer], layer):
        offset += 0.0 if above is None else (heights[above] + heights[item]) / 2 + between
        offsets.append(offset)
    pools: list[tuple[float, int]] = []
    for wish, offset in zip(wished, offsets):
        mean, count = wish - offset, 1
        while pools and pools[-1][0] > mean:
            other, more = pools.pop()
            mean, count = (mean * count + other * more) / (count + more), count + more
        pools.append((mean, count))
    level = [mean for mean, count in pools for _ in range(count)]
    return {item: at + offset for item, at, offset in zip(layer, level, offsets)}


def _columns(
    layers: list[list[Item]], sizes: Mapping[Item, tuple[float, float]], between: float
) -> list[tuple[float, float]]:
    """The left and the right side of each layer."""
    sides, left = [], 0.0
    for layer in layers:
        right = left + max((sizes[item][0] for item in layer if item in sizes), default=0.0)
        sides.append((left, right))
        left = right + between
    return sides
