"""Drawings say what was computed, with the right numbers, and are laid out so that nothing lies on anything."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import lazygrad as lg
from lazygrad.inspect.draw import MOST_BOXES, Box, Drawing, draw
from lazygrad.inspect.layout import layered


def small():
    a, b = (lg.tensor(v, requires_grad=True) for v in (2.0, -3.0))
    x = lg.tensor(1.5)
    return ((a * b + x).tanh() + a * a), {"a": a, "b": b, "x": x}


def boxes_of(drawing: Drawing) -> dict[str, Box]:
    return {box.lines[0]: box for box in drawing.boxes}


def number(text: str) -> float:
    return float(text.removeprefix("∂ ").replace("−", "-"))


def test_values_and_gradients_stand_in_the_boxes():
    loss, names = small()
    drawing = draw(loss, names)
    found = boxes_of(drawing)
    slope = 1 - np.tanh(-4.5) ** 2
    assert found["a"].kind == found["b"].kind == "parameter" and found["x"].kind == "input"
    assert [number(t) for t in found["a"].lines[1:]] == pytest.approx([2.0, 4 - 3 * slope], rel=1e-3)
    assert [number(t) for t in found["b"].lines[1:]] == pytest.approx([-3.0, 2 * slope], rel=1e-3)
    assert found["x"].lines[1:] == ("1.5",)  # no gradient is wanted of an input
    assert [number(t) for t in found["tanh"].lines[1:]] == pytest.approx([np.tanh(-4.5), 1.0], rel=1e-3)
    (result,) = (b for b in drawing.boxes if b.kind == "result")
    assert result.lines[0] == "+" and [number(t) for t in result.lines[1:]] == pytest.approx([3.0002, 1.0], rel=1e-3)


def test_edges_lead_from_sources_to_ops():
    loss, names = small()
    drawing = draw(loss, names)
    titles = [b.lines[0] for b in drawing.boxes]
    edges = sorted((titles[a], titles[b]) for a, b in drawing.edges)
    assert edges == sorted(
        [("a", "×"), ("b", "×"), ("×", "+"), ("x", "+"), ("+", "tanh"), ("tanh", "+"), ("a", "×"), ("a", "×"), ("×", "+")]
    )


def test_drawing_changes_nothing():
    loss, names = small()
    first = draw(loss, names)
    loss.backward()
    assert names["b"].grad.item() == pytest.approx(2 * (1 - np.tanh(-4.5) ** 2), rel=1e-3)
    gradient = names["b"].grad.item()
    assert draw(loss, names) == first
    assert names["b"].grad.item() == gradient


def test_what_has_a_name_is_where_the_drawing_ends():
    x = lg.randn(3)
    w = lg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    drawing = draw((x * w).sum(), {"x": x, "w": w})
    assert [b.lines[0] for b in drawing.boxes if b.kind in ("input", "parameter")] == ["x", "w"]
    assert [b.lines[0] for b in drawing.boxes] == ["x", "w", "×", "Σ", "reshape"]
    assert len(draw((lg.randn(3) * w).sum(), {"w": w}).boxes) > 5  # how that was drawn at random


def test_a_parameter_that_was_updated_keeps_its_name_and_the_value_that_was_used():
    w = lg.nn.Parameter(lg.tensor(3.0))
    loss = w * w
    loss.backward()
    loss.item()
    with lg.no_grad():
        w -= 1.0
    found = boxes_of(draw(loss, {"w": w}))
    assert found["w"].lines == ("w", "3", "∂ 6") and found["×"].lines == ("×", "9", "∂ 1")


def test_names_that_share_a_value_share_a_box():
    x = lg.tensor([1.0, 2.0])
    assert "x, alias" in boxes_of(draw(x.sum(), {"x": x, "alias": x.detach()}))


def test_equal_parameters_have_a_box_each():
    a, b = (lg.tensor(0.0, requires_grad=True) for _ in range(2))
    assert {"a", "b"} <= boxes_of(draw(a * 3 + b, {"a": a, "b": b})).keys()


def test_arrays_show_shape_and_range():
    w = lg.tensor(np.arange(6.0).reshape(2, 3).astype(np.float32), requires_grad=True)
    found = boxes_of(draw(w.sum(), {"w": w}))
    assert found["w"].lines == ("w", "2×3: 0 … 5", "∂ 2×3: 1 … 1")
    assert found["w"].where == "parameter: float32[2, 3]"


@pytest.mark.parametrize("dtype", ["bool", "int64", "float16", "bfloat16"])
def test_other_dtypes(dtype):
    x = lg.tensor([1, 0, 1]).to(getattr(lg, dtype))
    assert boxes_of(draw(x.flip(0), {"x": x}))["x"].lines[1] == ("[True False True]" if dtype == "bool" else "[1 0 1]")


def test_gradients_are_of_one_number_only():
    a = lg.tensor([1.0, 2.0], requires_grad=True)
    assert not any("∂" in line for box in draw(a * 2).boxes for line in box.lines)
    assert not any("∂" in line for box in draw((a * 2).detach().sum()).boxes for line in box.lines)


def test_too_many_boxes_are_refused():
    x = lg.tensor(1.0, requires_grad=True)
    for _ in range(MOST_BOXES):
        x = (x + 1).sin()
    with pytest.raises(ValueError, match=r"boxes are more than one can look at.*test_draw\.py:\d+"):
        draw(x)


def test_dot_is_quoted(tmp_path):
    a = lg.tensor(1.0, requires_grad=True)
    drawing = draw(a.exp(), {'say "\\n"': a})
    text = drawing.dot()
    assert text.startswith("digraph {\n") and text.endswith("}\n") and text.count("->") == 1
    assert r'label="say \"\\n\"\n1\n∂ 2.718"' in text
    drawing.save(tmp_path / "a.dot")
    assert (tmp_path / "a.dot").read_text("utf-8") == text
    with pytest.raises(ValueError, match=r"\.dot, \.gv, \.svg, not \.png"):
        drawing.save(tmp_path / "a.png")


def test_svg_is_well_formed_and_names_are_escaped(tmp_path):
    a = lg.tensor(1.0, requires_grad=True)
    draw(a.exp(), {"<a & b>": a}).save(tmp_path / "a.svg")
    root = ET.parse(tmp_path / "a.svg").getroot()
    texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["<a & b>", "1", "∂ 2.718", "exp", "2.718", "∂ 1"]


# -- layout ------------------------------------------------------------------------------------------------
def random_graph(seed: int):
    generator = np.random.default_rng(seed)
    count = int(generator.integers(1, 40))
    sizes = {i: (float(generator.uniform(20, 120)), float(generator.uniform(20, 60))) for i in range(count)}
    edges = [(i, j) for i, j in itertools.combinations(range(count), 2) if generator.random() < 2.5 / count]
    return sizes, edges


@pytest.mark.parametrize("seed", range(12))
def test_nothing_lies_on_anything(seed):
    sizes, edges = random_graph(seed)
    layout = layered(sizes, edges)
    areas = {}
    for item, (width, height) in sizes.items():
        x, y = layout.centre[item]
        areas[item] = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        left, top, right, bottom = areas[item]
        assert left > -1e-6 and top > -1e-6 and right < layout.width + 1e-6 and bottom < layout.height + 1e-6
    for (_, a), (_, b) in itertools.combinations(areas.items(), 2):
        assert a[2] <= b[0] + 1e-6 or b[2] <= a[0] + 1e-6 or a[3] <= b[1] + 1e-6 or b[3] <= a[1] + 1e-6
    for start, end in edges:
        assert areas[start][2] < areas[end][0]  # from left to right
        way = layout.ways[start, end]
        assert way[0][1] == layout.centre[start][1] and way[-1][1] == layout.centre[end][1]
        for (xa, ya), (xb, yb) in itertools.pairwise(way):
            for item, (left, top, right, bottom) in areas.items():
                if item not in (start, end) and xa < right and left < xb and ya == yb:
                    assert ya < top or bottom < ya, f"edge {start}->{end} runs through {item}"


def test_no_boxes_and_one_box():
    assert layered({}, []).width == 0
    alone = layered({"a": (10, 20)}, [])
    assert (alone.centre, alone.width, alone.height) == ({"a": (5.0, 10.0)}, 10.0, 20.0)


def test_curves_stay_between_layers():
    loss, names = small()
    for path in re.findall(r'<path d="(M[^"]*)"', draw(loss, names).svg()):
        assert re.fullmatch(r"M[-\d. ]+( [HC][-\d. ]+)+|M[-\d. ]+l-7 -3\.5 v7 z", path)
