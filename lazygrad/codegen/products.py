"""PRODUCT groups: takes a Group and a Target, returns the matmul Kernel with everything after it fused in.

The template (matmul.py) owns tiles and the loop over k; what follows elementwise is lowered like any other
group, with the accumulator standing for the product, and handed to the template as its epilogue.
"""

from __future__ import annotations

from typing import Any

from lazygrad.codegen import index as ix
from lazygrad.codegen.kernel import Kernel, Pointer
from lazygrad.codegen.loops import INT32_ELEMENTS, body_of, kernel_name, story_of
from lazygrad.codegen.lower import Index, Lowering, Names, stem
from lazygrad.codegen.matmul import RESERVED, Hooks, MatmulConfig, MatmulSpec, MatrixOperand, matmul
from lazygrad.codegen.matmul_candidates import candidates
from lazygrad.codegen.matmul_persistent import persistent, persistent_refusal
from lazygrad.codegen.program import Axis, Operand, Program, Store, Value
from lazygrad.codegen.render import HEADER, LIBDEVICE, Text, module
from lazygrad.codegen.spelling import HELPERS
from lazygrad.codegen.views import view_of
from lazygrad.device import Target
from lazygrad.dtype import DType, float32, int64
from lazygrad.ir.node import Node
from lazygrad.ir.op import Kind
from lazygrad.schedule.group import Group
from lazygrad.shape import numel


def product_of(group: Group) -> Node:
    """The DOT of a PRODUCT group."""
    return next(m for m in group.members if m.op.kind is Kind.CONTRACT)


def spec_of(dot: Node, names: tuple[str, str] = ("a_ptr", "b_ptr")) -> MatmulSpec:
    """The sizes and operand layouts of a DOT whose operands are strided views."""
    batch, (m, k), n = dot.shape[:-2], dot.src[0].shape[-2:], dot.shape[-1]
    operands = []
    for name, node in zip(names, dot.src, strict=True):
        view = view_of(node)
        *outer, row, column = view.strides
        operands.append(MatrixOperand(Pointer(name, node.dtype), tuple(outer), row, column, view.offset))
    return MatmulSpec(batch, m, n, k, operands[0], operands[1], accumulate_in(dot.dtype))


def accumulate_in(dtype: DType) -> DType:
    if dtype.is_floating_point:
        return dtype.compute
    return dtype if dtype.itemsize >= 4 else int64


def configs(group: Group, target: Target) -> tuple[MatmulConfig, ...]:
    """Candidate configurations, best guess first."""
    builder = _Product(group, target)
    return candidates(builder.spec, target.arch, target.multiprocessors, builder.hooks())


def product_kernel(group: Group, target: Target, config: MatmulConfig | None = None) -> tuple[Kernel, tuple[Node, ...]]:
    """The kernel of a PRODUCT group, and the nodes its parameters stand for."""
    builder = _Product(group, target)
    chosen = config or configs(group, target)[0]
    return builder.kernel(chosen), builder.arguments


class _Product:
    def __init__(self, group: Group, target: Target) -> None:
        self.group, self.target = group, target
        self.dot = product_of(group)
        names = Names(set(RESERVED) | {"a_ptr", "b_ptr"})
        self.spec = spec_of(self.dot)
        a, b = (view_of(s).base for s in self.dot.src)
        self.pointer_of: dict[Node, str] = {}
        inputs: list[Node] = []
        for node in self.epilogue_inputs():
            self.pointer_of[node] = names.fresh(stem(node) if node.src else "input", "_ptr")
            inputs.append(node)
        self.output_of = {n: names.fresh(stem(n), "_out") for n in group.stored}
        self.further = tuple(
            [Pointer(self.pointer_of[n], n.dtype) for n in inputs]
            + [Pointer(self.output_of[n], n.dtype, written=True) for n in group.stored]
        )
        self.arguments = (a, b, *inputs, *group.stored)
        self.wide = any(n.numel >= INT32_ELEMENTS for n in self.arguments)

    def epilogue_inputs(self) -> list[Node]:
        """What the lines after the product read."""
        operands = {self.dot}
        found: list[Node] = []
        for node in body_of(self.group):
            if node in operands:
                continue
            for s in node.src:
                if s in self.group.inputs and s not in found and not self._only_operand(s):
                    found.append(s)
        return found

    def _only_operand(self, node: Node) -> bool:
        """Whether only the product itself reads this input."""
        feeding = {n for n in body_of(self.group) if n.op.kind is Kind.MOVEMENT} | {node}
        for user in body_of(self.group):
            if user is self.dot or user.op.kind is Kind.MOVEMENT:
                continue
            stack = list(user.src)
            while stack:
                n = stack.pop()
                if n is node:
                    return False
                if n in feeding:
                    stack.extend(n.src)
        return True

    def hooks(self) -> Hooks:
        return Hooks(
            self.epilogue, self.further, preamble=self.preamble(), notes=tuple(story_of(self.group)), wide=self.wide
        )

    def preamble(self) -> tuple[str, ...]:
        text = "\n".join(self.epilogue("accumulator", "rows", "columns", "batch", None))
        whole = module(text)
        lines = whole[: len(whole) - len(text)].removeprefix(HEADER).strip("\n")
        return tuple(lines.split("\n")) if lines else ()

    def kernel(self, config: MatmulConfig) -> Kernel:
        name = kernel_name(self.group, "matmul")
        if config.persistent and persistent_refusal(self.spec, self.hooks()) is None:
            return persistent(self.spec, config, self.hooks(), name, self.target.multiprocessors)
        return matmul(self.spec, config, self.hooks(), name)

    # -- the lines after the product
    def epilogue(self, accumulator: str, rows: str, columns: str, batch: str, mask: str | None) -> list[str]:
        spec = self.spec
        batches = numel(spec.batch)
        b = ix.var(batch if batches > 1 else "batch", batches)
        m, n = ix.var(rows, spec.m), ix.var(columns, spec.n)
        linear = ix.ravel((b, m, n), (batches, spec.m, spec.n))
        axis_of = {v: a for v, a in ((m, rows), (n, columns)) if not v.is_constant}
        accumulated = Value(accumulator, float32 if self.dot.dtype.compute is float32 else self.dot.dtype,
                            frozenset(axis_of.values()))  # fmt: skip
        product = Value("product", self.dot.dtype, accumulated.lanes)

        def given(node: Node, index: Index) -> Operand | None:
            if node is not self.dot:
                return None
            assert ix.ravel(index, node.shape) is linear
            return product

        taken = set(RESERVED) | set(self.names()) | {"product", "wide"}
        lowering = Lowering(self.pointer_of, axis_of, given, Names(taken))
        if not b.is_constant:
            lowering.lanes_of[b.name] = frozenset()
        for node in self.group.stored:
            index = ix.unravel(linear, node.shape)
            lanes = lowering.lanes(linear)
            value = lowering.value(node, index)
            lowering.emit(Store(self.output_of[node], linear, value, lanes, node.dtype), lanes)
        width = "HALF_N" if accumulator == "accumulated" else "BLOCK_N"
        text = _EpilogueText(rows, columns, width, mask, lowering.root)
        rounded = accumulator
        if self.dot.dtype.compute is not self.dot.dtype:
            rounded = f"{accumulator}.to({self.dot.dtype.triton}).to(tl.float32)"
        elif self.dot.dtype is not self.spec.accumulate:
            rounded = f"{accumulator}.to({self.dot.dtype.triton})"
        lines = [*text.widening(), f"product = {rounded}"]
        text.statements(lowering.root, lines)
        return lines

    def names(self) -> list[str]:
        return [p.name for p in self.further] + ["a_ptr", "b_ptr"]


class _EpilogueText(Text):
    """Statements over a [BLOCK_M, BLOCK_N] tile whose index blocks and mask the template names."""

    def __init__(self, rows: str, columns: str, width: str, mask: str | None, body: list[Any]) -> None:
        program = Program("epilogue", [], (Axis(rows, 1, 1), Axis(columns, 1, 1)), body, 4, [])
        super().__init__(program)
        self.blocks = ("BLOCK_M", width)
        self.mask_terms = dict(_split_mask(mask, rows, columns))

    def shape(self, lanes: Any) -> str:
        sizes = [b if a in lanes else "1" for a, b in zip(self.order, self.blocks, strict=True)]
        return f"[{', '.join(sizes)}]"

    def edge(self, lanes: Any) -> list[str]:
        return [term for axis, term in self.mask_terms.items() if axis in lanes]


def _split_mask(mask: str | None, rows: str, columns: str) -> list[tuple[str, str]]:
    """Which of the template's mask terms guards which axis."""
    if mask is None:
        return []
    return [(rows if rows in term else columns, term) for term in mask.split(" & ")]


__all__ = ["HELPERS", "LIBDEVICE", "configs", "product_kernel", "product_of", "spec_of"]
