"""Everything measured in one session: rows and plans, written as JSON that report.py reads."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from benchmarks.support import torch
from benchmarks.timing import Machine, machine


class Record:
    """Everything measured in this session."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.machine: Machine = machine(device)
        self.rows: list[dict[str, Any]] = []
        self.plans: list[dict[str, Any]] = []

    def add(self, case: str, variant: str, seconds: float, **more: Any) -> None:
        """`bytes` or `flops` in `more` become a share of what this machine can do."""
        row = {"case": case, "variant": variant, "seconds": seconds, **more}
        if more.get("bytes"):
            row["share"], row["of"] = more["bytes"] / seconds / self.machine.copy, "copy"
        elif more.get("flops"):
            row["share"], row["of"] = more["flops"] / seconds / self.machine.product, "product"
        self.rows.append(row)

    def plan(self, case: str, launches: int, unfused: int, moved: int, moved_unfused: int, least: int) -> None:
        """What an H200 would launch and move at full size."""
        figures = {"launches": launches, "launches_unfused": unfused, "moved": moved, "moved_unfused": moved_unfused}
        self.plans.append({"case": case, **figures, "least": least})

    def document(self) -> dict[str, Any]:
        return {
            "device": self.device,
            "machine": self.machine.name,
            "copy_bytes_per_second": self.machine.copy,
            "product_flops_per_second": self.machine.product,
            "torch": torch.__version__ if torch else None,
            "date": time.strftime("%Y-%m-%d"),
            "rows": self.rows,
            "plans": self.plans,
        }

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.document(), indent=1) + "\n")
