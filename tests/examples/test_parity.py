"""The script as a user runs it: it learns parity, and its picture shows the network it has learned."""

import xml.etree.ElementTree as ET

import parity


def test_it_learns_and_draws(tmp_path, capsys):
    assert parity.main(["--out", str(tmp_path / "new"), "--steps", "150"]) == 8
    shown = capsys.readouterr().out
    assert shown.count("odd ") == shown.count("even") == 4 and "8 of 8 right" in shown
    root = ET.parse(tmp_path / "new" / "parity.svg").getroot()
    texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("tanh") == 5
    weights = [f"hidden.{n}.{w}" for n in range(4) for w in ("w.0", "w.1", "w.2", "b")]
    names = [*weights, *(f"out.w.{n}" for n in range(4)), "out.b", "x0", "x1", "x2"]
    assert all(texts.count(name) == 1 for name in names)
    dot = (tmp_path / "new" / "parity.dot").read_text("utf-8")
    assert dot.startswith("digraph {") and all(f'"{name}\\n' in dot for name in names)
    assert dot.count("∂") == sum("∂" in t for t in texts) == 60


def test_parity():
    assert [parity.parity(bits) for bits in ((0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1))] == [-1, 1, -1, 1]
