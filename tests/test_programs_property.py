"""Random programs mean the same fused, unfused, on NumPy and in torch.

Hypothesis draws programs of 5 to 30 operations: views, writes through views, reductions, products, indexing,
scans, casts, gradients and gradients of gradients. torch runs along while a program is drawn, so that what it
refuses, and what leaves the range where floats can be compared, is left out.

How far apart floats may be is measured, for each program: the same program in float64, and the same with
halves as wide as floats, show what rounding does to it. What decides (comparisons, casts to integers,
argmax, the gradient of a maximum) takes only values that are exact in every precision, so that rounding
never changes a decision. Whether reshape() is a view is not looked at (torch's own advice): what is
written to later comes from view().
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import lazygrad as lg

EXAMPLES = 500
LARGEST = 1e3  # floats beyond are left out
EPSILON = 2.0**-23
OWN_EPSILON = {torch.bfloat16: 2.0**-7, torch.float16: 2.0**-10}

HEADER = """import {module} as T
F = T.nn.functional
F32, F64, F16, BF16 = T.float32, T.float64, T.float16, T.bfloat16
"""


# -- programs -----------------------------------------------------------------------------------------
@dataclass(repr=False)
class Program:
    """Lines of Python over `T`, which is torch or lazygrad, and what torch made of them while it grew."""

    lines: list[str] = field(default_factory=list)
    names: dict[str, Any] = field(default_factory=dict)
    exact: set[str] = field(default_factory=set)
    leaves: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    count: int = 0

    def fresh(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def of(self, *kinds: str, exact: bool = False, elements: int = 1 << 30) -> list[str]:
        """The names of tensors of these kinds ("float", "int", "bool")."""
        return [
            n for n, t in self.names.items()
            if kind_of(t) in kinds and (n in self.exact or not exact) and t.numel() <= elements
        ]

    def text(self, module: str) -> str:
        body = "\n".join(f"    {line}" for line in self.lines)
        return f"{HEADER.format(module=module)}\ndef program():\n{body}\n    return {', '.join(self.results)},\n"

    def runnable(self) -> str:
        show = "for name, value in zip(RESULTS, program()):\n    print(name, value)"
        return f"{self.text('lazygrad')}\nRESULTS = {self.results}\n{show}\n"


def kind_of(tensor: torch.Tensor) -> str:
    if tensor.dtype is torch.bool:
        return "bool"
    return "float" if tensor.is_floating_point() else "int"


def namespace(module: Any, wide: bool = False, no_halves: bool = False) -> dict[str, Any]:
    """The names a program is run under: its floats may be replaced by wider ones."""
    halves = wide or no_halves
    single = module.float64 if wide else module.float32
    return {
        "T": module, "F": module.nn.functional, "F32": single, "F64": module.float64,
        "F16": single if halves else module.float16, "BF16": single if halves else module.bfloat16,
    }  # fmt: skip


def run(program: Program, module: Any, wide: bool = False, no_halves: bool = False) -> list[Any]:
    names = namespace(module, wide, no_halves)
    text = program.text("T").split("\n\n", 1)[1]
    exec(compile(text, "<program>", "exec"), names)
    module.set_default_dtype(names["F32"])
    try:
        return list(names["program"]())
    finally:
        module.set_default_dtype(module.float32)


def quietly(function: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function()


# -- drawing ------------------------------------------------------------------------------------------
SIZES = st.sampled_from([1, 2, 3, 4, 5, 7])
LARGE_SHAPES = st.sampled_from([(1030,), (3, 700), (40, 33), (2, 5, 130)])


class Drawing:
    """Draws one program, line by line."""

    def __init__(self, draw: Callable[[Any], Any]) -> None:
        self.draw = draw
        self.program = Program()
        self.torch = namespace(torch)

    def pick(self, choices: Any) -> Any:
        return self.draw(st.sampled_from(list(choices)))

    def whole(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def any(self, *kinds: str, **options: Any) -> str | None:
        names = self.program.of(*(kinds or ("float",)), **options)
        return self.pick(reversed(names)) if names else None

    # -- inputs
    def source(self, kind: str) -> None:
        shape = self.draw(LARGE_SHAPES) if self.whole(0, 19) == 0 else tuple(self.draw(st.lists(SIZES, min_size=0, max_size=3)))
        name, seed = self.program.fresh(), self.whole(0, 9)
        numbers = f"(T.arange({math.prod(shape)}) * {2 * seed + 7} + {seed}) % 23"
        made = f"({numbers}).reshape({shape})"
        if kind == "float":
            self.extend(f"{name} = ({made} - 11).to(F32) / 8", name, exact=True)
            if self.whole(0, 2):
                self.program.lines.append(f"{name}.requires_grad_()")
                self.program.names[name].requires_grad_()
                self.program.leaves.append(name)
        else:
            self.extend(f"{name} = {made} - 9" if kind == "int" else f"{name} = {made} % 2 == 0", name, exact=True)

    # -- one line
    def extend(self, line: str, name: str | None = None, exact: bool = False) -> bool:
        """Add a line if torch accepts it and its results are numbers that can be compared."""
        names = self.program.names
        trial = {**self.torch, **names}
        before = {n: t.detach().clone() for n, t in names.items()} if name is None else {}
        try:
            quietly(lambda: exec(line, trial))
        except (RuntimeError, IndexError, TypeError, ValueError, NotImplementedError):
            if name is None:
                self.replay()
            return False
        changed = [name] if name is not None else list(names)
        if not all(comparable(trial[n]) for n in changed):
            if name is None:
                self.replay()
            return False
        if name is not None:
            names[name] = trial[name]
            if exact and is_exact(trial[name]):
                self.program.exact.add(name)
        elif not (exact and all(is_exact(names[n]) for n in self.program.exact)):
            self.program.exact -= {n for n, old in before.items() if not same(old, names[n])}
        self.program.lines.append(line)
        return True

    def replay(self) -> None:
        """Everything once more: a write that is not wanted left its traces in values and in torch's graph."""
        trial = dict(self.torch)
        for line in self.program.lines:
            quietly(lambda line=line: exec(line, trial))
        self.program.names = {n: trial[n] for n in self.program.names}

    def are_exact(self, *names: str) -> bool:
        return all(n in self.program.exact for n in names)

    def may_bend(self, *names: str) -> bool:
        """Whether the gradient may jump: never by a rounding error of a tie."""
        return self.are_exact(*names) or not any(self.program.names[n].requires_grad for n in names)

    def operation(self) -> None:
        """One line of any kind; a few attempts, for torch refuses some."""
        for _ in range(4):
            made = self.pick(OPERATIONS)(self)
            if made is None:
                continue
            line, exact = made
            name = None if line.startswith("!") else self.program.fresh()
            text = line.removeprefix("!") if name is None else f"{name} = {line}"
            if self.extend(text, name, exact):
                return

    def whole_program(self) -> Program:
        for kind in ("float", self.pick(["float", "int", "bool"]), self.pick(["int", "float"])):
            self.source(kind)
        for _ in range(self.whole(5, 30)):
            self.operation()
        self.finish()
        return self.program

    def finish(self) -> None:
        """Keep the last values and some others; gradients of a loss over them."""
        program = self.program
        names = list(program.names)
        program.results = list(dict.fromkeys([*names[-2:], *(n for n in names[:-2] if self.whole(0, 3) == 0)]))
        live = [n for n in program.of("float") if program.names[n].requires_grad and n not in program.leaves][-3:]
        if not live or not program.leaves:
            return
        loss = " + ".join(f"({n}.to(F64) * ({n}.to(F64) + 1)).mean()" for n in live)
        line = f"({loss}).backward()"
        try:
            exec(line, {**self.torch, **program.names})
            total = [program.names[n].grad for n in program.leaves]
            if not all(g is None or comparable(g) for g in total):
                return
        except RuntimeError:
            return  # a value needed for the gradient was overwritten in place
        program.lines.append(line)
        program.results += [f"{n}.grad" for n in program.leaves if program.names[n].grad is not None]


def comparable(value: Any) -> bool:
    if not isinstance(value, torch.Tensor) or value.numel() > 1 << 13:
        return False
    if value.numel() == 0 or value.dtype is torch.bool:
        return True
    largest = value.detach().abs().max().item()
    return largest < (LARGEST if value.is_floating_point() else 2**20)  # False for NaN


def is_exact(value: torch.Tensor) -> bool:
    """All numbers are multiples of 1/64 that even bfloat16's 8 bits hold or, in wider floats, 16 bits do."""
    if not value.is_floating_point():
        return True
    bits = {torch.bfloat16: 8, torch.float16: 11}.get(value.dtype, 16)
    scaled = value.detach().double() * 64
    return bool((scaled == scaled.round()).all() and (scaled.numel() == 0 or scaled.abs().max() < 2**bits))


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.equal(a.detach(), b.detach())


# -- operations: each returns (expression, whether exact operands give an exact result), or None; "!" marks
# a line that writes in place --------------------------------------------------------------------------
Made = tuple[str, bool] | None


def smooth(d: Drawing) -> Made:
    x = d.any()
    template = d.pick(
        ["{}.sin()", "{}.cos()", "{}.tanh()", "{}.sigmoid()", "({} / 4).exp()", "({}.square() + 1).log()",
         "({}.square() + 0.5).sqrt()", "({}.square() + 1).rsqrt()", "{}.erf()", "F.gelu({})", "F.silu({})",
         "({} * 0.1).expm1()", "({}.square() + 1).reciprocal()", "F.softplus({})"]
    )  # fmt: skip
    return x and (template.format(x), False)


def exact_unary(d: Drawing) -> Made:
    x = d.any("float", "int")
    if x is None:
        return None
    kinked = ["{}.abs()", "{}.relu()", "{}.clamp(-1, 2)"] if d.may_bend(x) else []
    return d.pick(["-{}", "{} * 2", "{} - 1", "3 - {}", "{} + 0.5", *kinked]).format(x), d.are_exact(x)


def decide(d: Drawing) -> Made:
    x = d.any("float", "int", exact=True)
    template = d.pick(["{} > 0", "{} <= 1", "{} == 0.5", "{}.floor()", "{}.round()", "{}.sign()", "{} != 2", "{}.trunc()"])
    return x and (template.format(x), True)


def cast(d: Drawing) -> Made:
    kind = d.pick(["F32", "BF16", "F16", "F64", "T.int64", "T.int32", "T.uint8", "T.bool"])
    if kind == "T.uint8":
        x = d.any("float", "int", exact=True)
        return x and (f"{x}.abs().to({kind})", True)
    integer = kind.startswith("T.")
    x = d.any("float", "int", "bool", exact=integer)
    # under other names for the floats .to() may be the tensor itself, which a later write would tell
    return x and (f"{x}.to({kind}).clone()", d.are_exact(x))


def binary(d: Drawing) -> Made:
    x, y = d.any("float", "int"), d.any("float", "int", "bool")
    if x is None or y is None:
        return None
    kinked = ["T.maximum({}, {})", "T.minimum({}, {})"] if d.may_bend(x, y) else []
    template = d.pick(["{} + {}", "{} - {}", "{} * {}", "{} * {}", *kinked])
    return template.format(x, y), d.are_exact(x, y)


def divide(d: Drawing) -> Made:
    x, y = d.any("float"), d.any("float")
    template = d.pick(["{} / ({}.square() + 1)", "T.atan2({}, {}.square() + 1)", "T.hypot({}, {}.square() + 1)", "({}.square() + 0.5) ** ({} / 8)"])
    return x and y and (template.format(x, y), False)


def compare(d: Drawing) -> Made:
    x, y = d.any("float", "int", exact=True), d.any("float", "int", exact=True)
    return x and y and (d.pick(["{} < {}", "{} >= {}", "{} == {}"]).format(x, y), True)


def integers(d: Drawing) -> Made:
    x, y = d.any("int"), d.any("int")
    template = d.pick(["{} // ({}.abs() + 1)", "{} % ({}.abs() + 1)", "{} & {}", "{} | {}", "{} ^ {}", "({0} << 2) + {1}", "({0} >> 1) - {1}",
                       "T.div({}, {}.abs() + 2, rounding_mode='trunc')", "T.fmod({}, {}.abs() + 1)"])  # fmt: skip
    return x and y and (template.format(x, y), True)


def booleans(d: Drawing) -> Made:
    x, y = d.any("bool"), d.any("bool")
    return x and y and (d.pick(["{} & {}", "{} | {}", "{} ^ {}", "~{}"]).format(x, y), True)


def where(d: Drawing) -> Made:
    c, x, y = d.any("bool"), d.any("float", "int"), d.any("float", "int")
    if c is None or x is None or y is None:
        return None
    template = d.pick(["T.where({0}, {1}, {2})", "{1}.masked_fill({0}, -2.0)", "T.where({0}, {1}, 0.5)"])
    return template.format(c, x, y), d.are_exact(x, y)


def axis_of(d: Drawing, x: str) -> int:
    return d.whole(0, max(d.program.names[x].ndim - 1, 0)) - d.whole(0, 1) * max(d.program.names[x].ndim, 1)


def reduction(d: Drawing) -> Made:
    x = d.any("float", "int", "bool")
    if x is None:
        return None
    axis, keep = axis_of(d, x), d.pick([True, False])
    kind = kind_of(d.program.names[x])
    choices = ["any({a}, keepdim={k})", "all({a}, keepdim={k})"] if kind == "bool" else ["sum({a}, keepdim={k})", "sum()"]
    choices += ["amax({a}, keepdim={k})", "amin({a}, keepdim={k})", "max()"] if kind != "bool" and d.may_bend(x) else []
    if kind == "float":
        choices += ["mean({a}, keepdim={k})", "mean()", "logsumexp({a}, keepdim={k})", "var({a}, correction=0)", "square().sum({a})", "prod({a})"]
    chosen = d.pick(choices)
    exact = chosen.startswith(("sum", "a", "max")) and kind != "float" or (chosen.startswith(("am", "max", "sum")) and d.are_exact(x))
    return f"{x}.{chosen.format(a=axis, k=keep)}", exact


def arg_reduction(d: Drawing) -> Made:
    x = d.any("float", "int", exact=True)
    return x and (f"{x}.{d.pick(['argmax', 'argmin'])}({axis_of(d, x)}, keepdim={d.pick([True, False])})", True)


def row_function(d: Drawing) -> Made:
    x = d.any("float")
    if x is None:
        return None
    axis = axis_of(d, x)
    template = d.pick(["{x}.softmax({a})", "{x}.log_softmax({a})", "F.layer_norm({x}, {x}.shape[-1:])", "{x} - {x}.mean({a}, keepdim=True)",
                       "{x} / {x}.square().sum({a}, keepdim=True).add(1)", "F.normalize({x} + 0.3, dim={a})"])  # fmt: skip
    return template.format(x=x, a=axis), False


def scan(d: Drawing) -> Made:
    x = d.any("float", "int")
    return x and (f"{x}.cumsum({axis_of(d, x)})", d.are_exact(x))


def movement(d: Drawing) -> Made:
    x = d.any("float", "int", "bool")
    if x is None:
        return None
    shape = tuple(d.program.names[x].shape)
    axis, n = axis_of(d, x), len(shape)
    size = shape[axis] if n else 1
    factors = sorted(shape, key=lambda s: (s * 7 + d.whole(0, 3)) % 5)
    choices = [
        f"{x}.view({tuple(factors)})", f"{x}.reshape({tuple(factors)}).clone()", f"{x}.reshape(-1).clone()", f"{x}.unsqueeze({axis})", f"{x}.squeeze()", f"{x}.flip({axis})",
        f"T.roll({x}, {d.whole(-3, 3)}, {axis})", f"{x}.transpose({axis}, 0)", f"{x}.permute({tuple(reversed(range(n)))})",
        f"{x}.narrow({axis}, {d.whole(0, size // 2)}, {max(size // 2, 1)})", f"{x}.unsqueeze(0).expand(2, {', '.join(['-1'] * n) or '-1'})",
        f"T.cat([{x}, {x}.flip({axis})], {axis})", f"T.stack([{x}, {x}], {axis})", f"{x}.repeat({', '.join(['2'] * max(n, 1))})",
        f"F.pad({x}, (1, 2))", f"F.pad({x}, (-1, 1))", f"{x}.tril({d.whole(-1, 1)})", f"{x}.triu()", f"{x}.diagonal()", f"{x}.clone()",
        f"{x}.unfold({axis}, {max(1, size // 2)}, 1)", f"{x}.detach()",
    ]  # fmt: skip
    return d.pick(choices), d.are_exact(x)


def slicing(d: Drawing) -> Made:
    x = d.any("float", "int", "bool")
    if x is None:
        return None
    parts = [d.pick([":", "1:", "::2", ":-1", "0", "-1", "1::2", "None", "..."]) for _ in range(d.whole(1, 3))]
    return (f"{x}[{', '.join(parts)}]", d.are_exact(x)) if parts.count("...") < 2 else None


def joining(d: Drawing) -> Made:
    x, y = d.any("float"), d.any("float")
    if x is None or y is None:
        return None
    axis = axis_of(d, x)
    return d.pick([f"T.cat([{x}, {y}, {x}], {axis})", f"T.stack([{x}, {y}])", f"T.cat([{x}.reshape(-1), {y}.reshape(-1)])"]), d.are_exact(x, y)


def indexing(d: Drawing) -> Made:
    x, i = d.any("float", "int", "bool"), d.any("int", elements=64)
    if x is None or i is None or not d.program.names[x].ndim:
        return None
    axis = axis_of(d, x)
    size = d.program.names[x].shape[axis]
    if size == 0:
        return None
    index = f"({i} % {size}).long()"
    rows = d.program.names[x].shape[0] or 1
    choices = [f"{x}[({i} % {rows}).long()]", f"T.index_select({x}, {axis}, {index}.reshape(-1))",
               f"T.gather({x}, {axis}, {index})", f"T.take_along_dim({x}, {index}, {axis})", f"{x}.reshape(-1)[{index}]"]  # fmt: skip
    return d.pick(choices), d.are_exact(x)


def scattering(d: Drawing) -> Made:
    x, y, i = d.any("float"), d.any("float"), d.any("int", elements=64)
    if x is None or y is None or i is None or not d.program.names[x].ndim:
        return None
    axis = axis_of(d, x)
    size = d.program.names[x].shape[axis]
    if size == 0:
        return None
    index = f"({i} % {size}).long()"
    choices = [f"{x}.scatter_add({axis}, {index}, {y})", f"{x}.index_add({axis}, {index}.reshape(-1), {y})",
               f"{x}.reshape(-1).index_put(({index}.reshape(-1),), T.tensor(0.5, dtype={x}.dtype), accumulate=True)",
               f"{x}.index_fill({axis}, {index}.reshape(-1), 0.25)"]  # fmt: skip
    return d.pick(choices), d.are_exact(x, y)


def product(d: Drawing) -> Made:
    x, y = d.any("float", "int"), d.any("float", "int")
    template = d.pick(["{0} @ {1}", "{0} @ {0}.mT", "{0}.mT @ {1}", "{0} @ {1}.mT", "F.linear({0}, {1})", "{0}.mT @ {0}", "{0} @ {0}"])
    return x and y and (f"({template.format(x, y)})" + " / 4" * (kind_of(d.program.names[x]) == "float"), d.are_exact(x, y))


def writing(d: Drawing) -> Made:
    """In place, through a view or not; sometimes by way of a second name."""
    x, y = d.any("float", "int"), d.any("float", "int")
    if x is None or y is None:
        return None
    view = d.pick(["", "", "[1:]", "[::2]", "[0]", "[..., -1]", "[..., 1:]", ".view(-1)[::3]", ".view(-1)", "[None]", ".squeeze()", ".diagonal()"])
    if view in ("", "[1:]") and d.program.names[x].ndim >= 2:
        view += d.pick(["", ".mT", ".transpose(0, -1)"])
    change = d.pick([".mul_(0.5)", ".add_(1)", ".zero_()", ".neg_()", ".fill_(2)", f".sub_({y})", f".copy_({y})", f".add_({y})", f".mul_({y})", f".addcmul_({y}, {y})", f".masked_fill_({y} > 0, 1)" if d.are_exact(y) else ".mul_(2)", *([".clamp_(-1, 1)"] if d.may_bend(x) else [])])
    unrecorded = "with T.no_grad(): " if d.whole(0, 5) == 0 else ""
    return f"!{unrecorded}{x}{view}{change}", d.are_exact(x, y)


def assigning(d: Drawing) -> Made:
    x, y, m, i = d.any("float", "int"), d.any("float", "int"), d.any("bool"), d.any("int", elements=64)
    if x is None or y is None:
        return None
    choices = [f"!{x}[1:] = {y}", f"!{x}[..., 0] = 1", f"!{x}[::2] = {x}[::2] * 2", f"!{x}[...] = {y}", f"!{x}[-1] += {y}"]
    choices += [f"!{x}[{m}] = 0.5", f"!{x}.masked_fill_({m}, 1)"] if m else []
    size = d.program.names[x].shape[0] if d.program.names[x].ndim else 0
    choices += [f"!{x}.index_add_(0, ({i} % {size}).reshape(-1).long(), {y})", f"!{x}.index_fill_(0, ({i} % {size}).reshape(-1).long(), 2)"] if i and size else []
    return d.pick(choices), d.are_exact(x, y)


def looking(d: Drawing) -> Made:
    """Computes something now: what is computed later starts from it."""
    x = d.any("float", "int", "bool")
    return x and (f"!{x}{d.pick(['', '[:1]', '.sum()'])}.tolist()", True)


def gradient(d: Drawing) -> Made:
    """A first derivative that stays differentiable."""
    live = [n for n in d.program.of("float") if d.program.names[n].requires_grad]
    if not live or not d.program.leaves:
        return None
    x, leaf = d.pick(live), d.pick(d.program.leaves)
    return f"T.autograd.grad(({x} * {x}).mean(), {leaf}, create_graph=True)[0]", False


OPERATIONS: list[Callable[[Drawing], Made]] = [
    smooth, smooth, exact_unary, decide, cast, binary, binary, binary, divide, compare, integers, booleans, where, where,
    reduction, reduction, reduction, arg_reduction, row_function, row_function, scan, movement, movement, movement, slicing, slicing,
    joining, indexing, indexing, scattering, product, product, writing, writing, writing, assigning, assigning, looking, gradient,
]  # fmt: skip


@st.composite
def programs(draw: Callable[[Any], Any]) -> Program:
    return Drawing(draw).whole_program()


# -- the property -------------------------------------------------------------------------------------
def array_of(value: Any) -> np.ndarray[Any, Any]:
    if isinstance(value, torch.Tensor):
        value = value.detach()
        return value.double().numpy() if value.is_floating_point() else value.numpy()
    array = value.detach().numpy() if value.dtype is not lg.bfloat16 else value.detach().float().numpy()
    return array.astype(np.float64) if value.is_floating_point() else array


def double(value: Any) -> torch.Tensor:
    if value is None:
        return torch.zeros(1, dtype=torch.float64)
    return torch.from_numpy(np.asarray(array_of(value), np.float64))


def apart(some: list[Any], others: list[Any]) -> list[float]:
    """The largest difference of each pair of results."""
    pairs = [(double(a), double(b)) for a, b in zip(some, others, strict=True)]
    return [(a - b).abs().max().item() if a.numel() else 0.0 for a, b in pairs]


def tolerances(program: Program, plain: list[Any], wide: list[Any]) -> list[float]:
    """For each result, how far correct evaluations may lie apart: 16 times what float32 changes against float64
    (whichever of torch and lazygrad it changes more), 4 times what halves change and four of their ulps, an ulp of float32 for each line."""
    unhalved = quietly(lambda: run(program, torch, no_halves=True))
    with lg.config(backend="numpy"):
        mine = run(program, lg, wide=True), run(program, lg, no_halves=True)
        rounding = [max(pair) for pair in zip(apart(unhalved, wide), apart(*mine), strict=True)]
    coarse = max([e for name, e in {"BF16": 2.0**-7, "F16": 2.0**-10}.items() if any(name in line for line in program.lines)], default=0.0)
    found = []
    for value, one, other in zip(plain, rounding, apart(plain, unhalved), strict=True):
        largest = max(double(value).abs().max().item(), 1e-2) if value.numel() else 0.0
        ulp = OWN_EPSILON.get(value.dtype, EPSILON) + 4 * coarse
        found.append(16 * one + 4 * other + largest * (ulp + len(program.lines) * EPSILON) if value.is_floating_point() else 0.0)
    return found


def agree(got: Any, want: Any, tolerance: float, what: str) -> None:
    if got is None:  # no gradient, and one of zeros, are the same thing here
        got = lg.zeros(tuple(want.shape), dtype=getattr(lg, str(want.dtype).removeprefix("torch.")))
    assert tuple(got.shape) == tuple(want.shape), f"{what}: shape {tuple(got.shape)}, expected {tuple(want.shape)}"
    assert got.dtype.name == str(want.dtype).removeprefix("torch."), f"{what}: {got.dtype}, expected {want.dtype}"
    a, b = array_of(got), array_of(want)
    if a.dtype.kind == "f":
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance, err_msg=what)
    else:
        np.testing.assert_array_equal(a, b, err_msg=what)


# -- making a failing program short -------------------------------------------------------------------
def without(program: Program, lines: list[str]) -> Program | None:
    """The program of these lines only, asked for what they still define; None where torch refuses it."""
    defined = {line.split(" = ")[0] for line in lines}
    results = [r for r in program.results if r.split(".")[0] in defined]
    if any(r.endswith(".grad") for r in results) and not any(".backward()" in line for line in lines):
        results = [r for r in results if not r.endswith(".grad")]
    made = Program(lines, results=results)
    try:
        found = run(made, torch) if results else [None]
    except Exception:
        return None
    return None if any(f is None for f in found) else made


def reduced(program: Program, fails: Callable[[Program], bool]) -> Program:
    """As few lines, and as few results, as still fail."""
    size = max(len(program.lines) // 2, 1)
    while size:
        start, shorter = 0, False
        while start < len(program.lines):
            smaller = without(program, program.lines[:start] + program.lines[start + size :])
            if smaller is not None and fails(smaller):
                program, shorter = smaller, True
            else:
                start += size
        size = size if shorter and size == 1 else size // 2
    for result in list(program.results):
        fewer = Program(program.lines, results=[r for r in program.results if r != result])
        if fewer.results and fails(fewer):
            program = fewer
    return program


def complaint(program: Program) -> Exception | None:
    try:
        check(program)
    except Exception as error:
        return error
    return None


PATHS: dict[str, dict[str, Any]] = {
    "NumPy": {"backend": "numpy"},
    "fused": {"backend": "triton", "fuse": True},
    "unfused": {"backend": "triton", "fuse": False},
}


def check(program: Program) -> None:
    """torch, NumPy in float64 to rounding of float64, and all paths to what rounding was seen to change."""
    plain, wide = quietly(lambda: run(program, torch)), quietly(lambda: run(program, torch, wide=True))
    with lg.config(backend="numpy"):
        for name, mine, theirs in zip(program.results, run(program, lg, wide=True), wide, strict=True):
            size = double(theirs).abs().max().item() if theirs.numel() else 0.0
            agree(mine, theirs, 1e-10 * (1 + size), f"{name} in float64, against torch")
    allowed = tolerances(program, plain, wide)
    for path, options in PATHS.items():
        with lg.config(**options):
            for name, mine, theirs, tolerance in zip(program.results, run(program, lg), plain, allowed, strict=True):
                agree(mine, theirs, tolerance, f"{name} on {path}, against torch")


@pytest.mark.parametrize("part", range(4))
def test_programs(part: int) -> None:
    """500 programs, in four parts that test workers can share. One that fails is cut down line by line, which is
    quicker than Hypothesis can do it, and printed as a script."""

    @settings(
        max_examples=EXAMPLES // 4, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )  # fmt: skip
    @seed(part)
    @given(programs())
    def holds(program: Program) -> None:
        error = complaint(program)
        if error is None:
            return
        short = reduced(program, lambda p: type(complaint(p)) is type(error))
        pytest.fail(f"{short.runnable()}\n{complaint(short) or error}", pytrace=False)

    holds()
