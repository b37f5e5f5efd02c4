"""What a step must move and multiply: takes a step of a plan, returns its bytes and floating-point operations.

Bytes are those of the inputs, each once and no more of it than is taken, and of the outputs; operations are
those of matrix products and attention only: everything else waits for memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from lazygrad.codegen.attend import kernel_family
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.ir.op import Kind
from lazygrad.schedule.plan import KernelStep, OpStep, Plan

# matrix products of (queries x keys x head_dim) in each attention kernel
ATTENTION_PRODUCTS = {"forward": 2, "backward_q": 3, "backward_kv": 4}


@dataclass(frozen=True)
class Cost:
    """Bytes moved between memory and the kernel, and multiplications and additions of products."""

    bytes: int
    flops: int


def cost_of(step: KernelStep | OpStep, plan: Plan) -> Cost:
    if isinstance(step, OpStep):
        moved = step.node.nbytes + sum(s.nbytes for s in step.node.src)
        return Cost(moved, _product_flops(step.node))
    written = sum(_bytes(plan, number) for number in step.results)
    read = sum(_taken(node, step.body) for node, _ in step.operands)
    return Cost(read + written, sum(_product_flops(n) for n in step.body) + _attention_flops(step.body))


def _bytes(plan: Plan, number: int) -> int:
    value = plan.values[number]
    return prod(value.shape) * value.dtype.itemsize


def _taken(operand: Node, body: tuple[Node, ...]) -> int:
    """A slice or a gather takes less than the whole."""
    whole = ops.RESHAPE, ops.PERMUTE
    taken = 0
    for user in body:
        if operand in user.src:
            partial = user.op is ops.SLICE or (user.op is ops.GATHER and operand is user.src[0])
            taken += user.numel * operand.dtype.itemsize if partial else operand.nbytes
            if user.op in whole:
                taken = operand.nbytes
    return min(operand.nbytes, taken) if taken else operand.nbytes


def _product_flops(node: Node) -> int:
    return 2 * node.numel * node.src[0].shape[-1] if node.op is ops.DOT else 0


def _attention_flops(body: tuple[Node, ...]) -> int:
    node = next((n for n in body if n.op.kind is Kind.ATTENTION), None)
    if node is None:
        return 0
    (batch, heads, queries, dim), keys = node.src[0].shape, node.src[1].shape[2]
    one = 2 * batch * heads * queries * keys * dim
    return ATTENTION_PRODUCTS[kernel_family(node)] * one // (2 if node.arg.causal else 1)
