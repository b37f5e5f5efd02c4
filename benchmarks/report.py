"""Figures for people. Takes the JSON that `pytest benchmarks/ --results FILE` wrote, prints a markdown table.

    python benchmarks/report.py FILE                        the table
    python benchmarks/report.py FILE --svg docs/speed.svg   the picture as well
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

VARIANTS = {"fused": "lazygrad", "unfused": "lazygrad, unfused", "torch": "torch eager", "compile": "torch.compile"}
COLOURS = {"fused": "#2f6fdb", "unfused": "#a9c3f0", "torch": "#b9b4ac", "compile": "#e08a3c"}


# -- table --------------------------------------------------------------------------------------------
def table(document: dict[str, Any]) -> list[str]:
    """The lines of two markdown tables: time and share of each variant; what is launched and moved."""
    cases: dict[str, dict[str, dict[str, Any]]] = {}
    for row in document["rows"]:
        cases.setdefault(row["case"], {})[row["variant"]] = row
    plans = {p["case"]: p for p in document.get("plans", [])}
    present = [v for v in VARIANTS if any(v in rows for rows in cases.values())]
    lines = [
        f"{document['machine']}: copy {document['copy_bytes_per_second'] / 1e9:,.0f} GB/s, matrix product"
        f" {document['product_flops_per_second'] / 1e12:,.2f} TFLOP/s; torch {document['torch']}; {document['date']}",
        "",
    ]
    if cases:
        lines += [f"| case | {' | '.join(VARIANTS[v] for v in present)} |", "| --- |" + " ---: |" * len(present)]
        for case, rows in cases.items():
            lines.append(f"| {case} | " + " | ".join(_cell(rows.get(v)) for v in present) + " |")
        lines.append("")
    if plans:
        lines += [
            "On an H200 at full size, by plan:",
            "",
            "| case | launches | unfused | MB moved | unfused | least |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        for case, plan in plans.items():
            moved = [f"{plan[name] / 1e6:,.0f}" if plan[name] else "-" for name in ("moved", "moved_unfused", "least")]
            lines.append(f"| {case} | {plan['launches']} | {plan['launches_unfused']} | {' | '.join(moved)} |")
        lines.append("")
    return lines


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return "-"
    if "tokens" in row:
        return f"{row['tokens']:,.0f} tok/s ({100 * row['share']:.0f}%)"
    share = f" ({100 * row['share']:.0f}%)" if "share" in row else ""
    return f"{_time(row['seconds'])}{share}"


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.3f} ms" if seconds < 0.1 else f"{seconds:.2f} s"


# -- picture ------------------------------------------------------------------------------------------
def picture(document: dict[str, Any]) -> str:
    """An SVG: for each case a bar for each variant, as a share of what the machine's memory (or its matrix
    product) allows."""
    cases: dict[str, list[dict[str, Any]]] = {}
    for row in document["rows"]:
        if "share" in row:
            cases.setdefault(row["case"], []).append(row)
    left, width, bar, gap = 190, 520, 9, 10
    text = 'font-family="system-ui, sans-serif" font-size="12"'
    tiny = 'font-family="system-ui, sans-serif" font-size="8"'
    body: list[str] = []
    top = 76
    y = top
    for case, rows in cases.items():
        ordered = [r for v in VARIANTS for r in rows if r["variant"] == v]
        middle = y + bar * len(ordered) / 2 + 4
        body.append(f'<text x="{left - 10}" y="{middle:.0f}" text-anchor="end" {text}>{escape(case)}</text>')
        for row in ordered:
            length = max(1.0, width * min(1.1, row["share"]))
            at = f'y="{y}" width="{length:.1f}" height="{bar - 1}"'
            body.append(f'<rect x="{left}" {at} fill="{COLOURS[row["variant"]]}"/>')
            label = f"{100 * row['share']:.0f}%"
            body.append(f'<text x="{left + length + 4:.0f}" y="{y + bar - 1}" {tiny}>{label}</text>')
            y += bar
        y += gap
    lines = []
    for share in (0.25, 0.5, 0.75, 1.0):
        x = left + width * share
        lines.append(f'<line x1="{x}" y1="{top - 8}" x2="{x}" y2="{y}" stroke="#ddd"/>')
        lines.append(f'<text x="{x}" y="{top - 12}" text-anchor="middle" {text} fill="#777">{100 * share:.0f}%</text>')
    legend, x = [], left
    for variant in [v for v in VARIANTS if any(r["variant"] == v for r in document["rows"])]:
        legend.append(f'<rect x="{x}" y="34" width="12" height="12" fill="{COLOURS[variant]}"/>')
        legend.append(f'<text x="{x + 17}" y="44" {text}>{VARIANTS[variant]}</text>')
        x += 30 + 7 * len(VARIANTS[variant])
    title = f"Share of copy speed (matrix products: of the library's product) on {document['machine']}"
    total = left + width + 90
    size = f'width="{total}" height="{y + 10}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {total} {y + 10}">',
            f'<rect {size} fill="white"/>',
            f'<text x="{left}" y="20" {text} font-weight="bold">{escape(title)}</text>',
            *legend,
            *lines,
            *body,
            "</svg>",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--svg", type=Path, help="write the picture here")
    options = parser.parse_args()
    document = json.loads(options.results.read_text())
    print("\n".join(table(document)))
    if options.svg:
        options.svg.write_text(picture(document))


if __name__ == "__main__":
    main()
