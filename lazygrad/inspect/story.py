"""The story that LAZYGRAD_DEBUG tells on stderr: takes what the stages hand on, prints it for a person.

1  plans: how many ops became how many kernels, arena, compile time; later uses of a plan; values computed
   early because a shape depends on them
2  one line a kernel: time, GB/s, TFLOP/s, the user's line; of each plan's first run, or of every run when
   LAZYGRAD_PROFILE=1
3  why kernels were not joined, how each is tiled, what tuning measured
4  the source of each kernel, once, as a module that can be copied out and run
5  the graph after every pass
LAZYGRAD_DEBUG=4:layer_norm tells levels 3 and up only of kernels whose name contains that.

Callers ask `settings.debug` before they call, so that level 0 costs nothing.
"""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from dataclasses import dataclass

from lazygrad.codegen.kernel import Kernel
from lazygrad.codegen.naming import BACKWARD
from lazygrad.config import Settings
from lazygrad.errors import Line, show_line, user_line
from lazygrad.inspect.cost import Cost, cost_of
from lazygrad.inspect.source import kernel_text, tiling
from lazygrad.inspect.style import bytes_text, coloured, counted, figures, say, seconds_text
from lazygrad.ir.node import Node, toposort
from lazygrad.ir.print import SILENT, graph_text, operation_count
from lazygrad.schedule.memory import plan_arena
from lazygrad.schedule.plan import Choice, KernelStep, OpStep, Plan, ProductThenKernel, kernel_of

NAME_WIDTH = 40


@dataclass
class _Told:
    """What has been said about one plan."""

    plan: Plan
    number: int
    reused: int = 0
    timed: bool = False


_plans: dict[int, _Told] = {}  # by id: a plan that is known here is held here, so the id stays its own
_sources: set[str] = set()


def _told(plan: Plan) -> _Told:
    found = _plans.get(id(plan))
    if found is None:
        if not _plans:
            atexit.register(summary)
        found = _plans[id(plan)] = _Told(plan, len(_plans) + 1)
    return found


def _label(plan: Plan) -> str:
    return coloured(f"lazygrad: plan {_told(plan).number}", "plan")


# -- level 1 --------------------------------------------------------------------------------------------
def plan_made(plan: Plan, roots: Sequence[Node], seconds: float) -> None:
    """A graph that had not been seen before became a plan."""
    kernels = sum(isinstance(s, KernelStep) for s in plan.steps)
    rest = sum(isinstance(s, OpStep) and _computes(s) for s in plan.steps)
    if not plan.steps:
        return
    parts = [counted(kernels, "kernel")] if kernels or not rest else []
    parts += [counted(rest, "array op")] if rest else []
    arena = f", arena {bytes_text(plan_arena(plan).size)}" if kernels else ""
    ops_text = counted(operation_count(toposort(roots)), "op")
    say(
        f"{_label(plan)}: {ops_text} -> {' and '.join(parts)}{arena}, compiled in "
        f"{seconds_text(seconds)}  ({show_line(user_line())})"
    )


def plan_reused(plan: Plan) -> None:
    """A graph of known structure came again: said the first time, counted from then on."""
    told = _told(plan)
    told.reused += 1
    if told.reused == 1:
        say(f"{_label(plan)}: reused  ({show_line(user_line())})")


def summary() -> None:
    """At the end of the process: how often plans were found again."""
    reused = sum(t.reused for t in _plans.values())
    often = sorted((t for t in _plans.values() if t.reused), key=lambda t: -t.reused)[:5]
    which = f" (plan {', plan '.join(f'{t.number}: {t.reused}' for t in often)})" if often else ""
    say(f"{coloured('lazygrad', 'plan')}: {counted(len(_plans), 'plan')}, reused {reused} times{which}")


def shape_needs_values(name: str) -> None:
    """A result's shape depends on values, which are computed now."""
    say(
        f"{coloured('lazygrad', 'plan')}: {name} computes its input now: its shape depends on values"
        f"  ({show_line(user_line())})"
    )


def _computes(step: OpStep) -> bool:
    return step.node.op.kind not in SILENT


# -- level 2 --------------------------------------------------------------------------------------------
class Timetable:
    """The kernels of one run, as they end."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.total, self.count = plan, 0.0, 0

    def add(self, step: KernelStep | OpStep, name: str, seconds: float) -> None:
        if isinstance(step, OpStep) and not _computes(step):
            return
        self.total += seconds
        self.count += 1
        where = step.node.where if isinstance(step, OpStep) else _where(step)
        line = f"  {name:<{NAME_WIDTH}} {seconds_text(seconds):>9}  {_rates(cost_of(step, self.plan), seconds):<28}"
        say(f"{coloured(line, 'kernel')}  {show_line(where)}".rstrip())

    def end(self) -> None:
        say(f"{_label(self.plan)}: ran {counted(self.count, 'kernel')} in {seconds_text(self.total)}")


def timetable(plan: Plan, settings: Settings) -> Timetable | None:
    """Where this run's kernels are to be told, if they are."""
    told = _told(plan)
    if settings.debug < 2 or not plan.steps or (told.timed and not settings.profile):
        return None
    told.timed = True
    return Timetable(plan)


def step_name(step: KernelStep | OpStep) -> str:
    return step.node.op.name.lower() if isinstance(step, OpStep) else kernel_of(step).name


def choice_name(choice: Choice, step: KernelStep) -> str:
    if isinstance(choice, Kernel):
        return choice.name
    return f"{kernel_of(step).name} by cuBLAS" + (" and a kernel" if isinstance(choice, ProductThenKernel) else "")


def _where(step: KernelStep) -> Line:
    """The user's line: of the forward pass where a kernel also stores what only the backward pass asks for."""
    return next((n.where for n, _ in reversed(step.stored) if n.where[2] != BACKWARD), step.where)


def _rates(cost: Cost, seconds: float) -> str:
    if seconds <= 0:
        return ""
    rates = [f"{figures(cost.bytes / seconds / 1e9):>6} GB/s"]
    if cost.flops:
        rates.append(f"{figures(cost.flops / seconds / 1e12):>6} TFLOP/s")
    return "  ".join(rates)


# -- levels 3 and 4 -------------------------------------------------------------------------------------
def concerns(name: str, settings: Settings) -> bool:
    """Whether levels 3 and up are wanted for a kernel of this name."""
    return _folded(settings.debug_kernel) in _folded(name)


def _folded(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def kernels_made(plan: Plan, settings: Settings) -> None:
    """Why the kernels of a new plan are these, how they are tiled, and from level 4 on their source."""
    steps = [s for s in plan.steps if isinstance(s, KernelStep)]
    wanted = [s for s in steps if concerns(kernel_of(s).name, settings)]
    for text, count in _apart(steps, plan, settings).items():
        times = f"  ({count} times)" if count > 1 else ""
        say(f"{coloured('  not joined: ' + text, 'reason')}{times}")
    for text in dict.fromkeys(f"{kernel_of(s).name}: {tiling(kernel_of(s))}" for s in wanted):
        say(f"  tiled: {text}")
    if settings.debug >= 4:
        for step in wanted:
            kernel = kernel_of(step)
            if kernel.code not in _sources:
                _sources.add(kernel.code)
                say(kernel_text(kernel, step, plan))
    if settings.debug >= 5 and settings.debug_kernel:
        for step in wanted:
            say(graph_text([n for n, _ in step.stored], kernel_of(step).name, given=[n for n, _ in step.operands]))


def _apart(steps: list[KernelStep], plan: Plan, settings: Settings) -> dict[str, int]:
    """Reasons between kernels that stayed two, with how often each was met."""
    kernel_at = {node: i for i, step in enumerate(steps) for node in step.body}
    found: dict[str, int] = {}
    for first, second, reason in plan.refusals:
        pair = kernel_at.get(first), kernel_at.get(second)
        if pair[0] is None or pair[1] is None or pair[0] == pair[1]:
            continue
        names = [kernel_of(steps[i]).name for i in pair if i is not None]
        if not any(concerns(n, settings) for n in names):
            continue
        lines = dict.fromkeys(show_line(n.where) for n in (first, second))
        text = f"{names[0]} and {names[1]}: {reason}  ({', '.join(lines)})"
        found[text] = found.get(text, 0) + 1
    return found


def tuned(step: KernelStep, milliseconds: Sequence[float], best: int, settings: Settings) -> None:
    """What tuning measured for each way to compute a step."""
    name = kernel_of(step).name
    if not concerns(name, settings):
        return
    say(f"  tuned: {name}")
    for i, (choice, time) in enumerate(zip(step.choices, milliseconds, strict=False)):
        after = getattr(choice, "kernel", None)  # of a library product that a kernel finishes
        how = tiling(choice) if isinstance(choice, Kernel) else "cuBLAS, then a kernel" if after else "cuBLAS"
        say(f"    {'->' if i == best else '  '} {seconds_text(time / 1e3):>9}  {how}")


# -- level 5 --------------------------------------------------------------------------------------------
def passed(stage: str, roots: Sequence[Node], settings: Settings) -> None:
    """The graph that a pass returned. With a kernel named, its own graph is shown instead, once it is known."""
    if settings.debug_kernel:
        return
    heading = f"# -- {stage}: {counted(operation_count(toposort(roots)), 'op')}"
    say(f"{coloured(heading, 'head')}\n{graph_text(roots, stage)}")
