"""Operands to Nodes: takes tensors and Python numbers, returns Nodes of one dtype by torch.result_type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lazygrad.device import CPU, Device
from lazygrad.dtype import DType, bool_, float32, of_scalar
from lazygrad.dtype import promote as promote_types
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.node import Node
from lazygrad.ir.op import Op
from lazygrad.tensor.autocast import float32_operands

if TYPE_CHECKING:
    from lazygrad.tensor.core import TensorBase

_default = {"dtype": float32}


def get_default_dtype() -> DType:
    """The dtype of tensors made from Python floats (float32 unless set_default_dtype changed it)."""
    return _default["dtype"]


def set_default_dtype(dtype: DType) -> None:
    """Set what Python floats become. TypeError for a dtype that isn't floating point."""
    if not isinstance(dtype, DType) or not dtype.is_floating_point:
        raise TypeError(at_user_line(f"only floating-point types are supported as the default type, got {dtype!r}"))
    _default["dtype"] = dtype


def is_scalar(value: Any) -> bool:
    return isinstance(value, (bool, int, float, np.number, np.bool_))


def result_type(*operands: Any) -> DType:
    """torch.result_type: tensors with dimensions outrank 0-d tensors, which outrank numbers, in a category."""
    best: list[DType | None] = [None, None, None]  # by rank: tensors with dimensions, 0-d tensors, numbers
    for operand in operands:
        if is_scalar(operand):
            rank, found = 2, of_scalar(operand, get_default_dtype())
        else:
            rank, found = (0 if operand.ndim else 1), operand.dtype
        previous = best[rank]
        best[rank] = found if previous is None else promote_types(previous, found)
    result: DType | None = None
    for candidate in best:
        if candidate is None:
            continue
        if result is None:
            result = candidate
        elif candidate.category > result.category:
            result = promote_types(result, candidate)
    assert result is not None
    return result


def float_type(*operands: Any) -> DType:
    """The dtype that the operands have together, the default one for integers and bools."""
    dtype = result_type(*operands)
    return dtype if dtype.is_floating_point else get_default_dtype()


def can_cast(from_: DType, to: DType) -> bool:
    """Whether torch allows a result of `from_` to be written to a tensor of `to`: never down a category."""
    return from_.category <= to.category


def device_of(operands: tuple[Any, ...]) -> Device:
    """Where an op over these operands runs: where the tensors with dimensions are."""
    found = CPU
    for operand in operands:
        if not is_scalar(operand):
            if operand.ndim:
                return operand.device
            if found is CPU:
                found = operand.device
    return found


def node_of(value: Any, dtype: DType, device: Device, op_name: str = "") -> Node:
    """A tensor's node or a number's constant, cast to `dtype`. TypeError for anything else."""
    if is_scalar(value):
        return build.const(value.item() if isinstance(value, np.generic) else value, dtype, device)
    node = getattr(value, "node", None)
    if not isinstance(node, Node):
        raise TypeError(
            at_user_line(f"{op_name or 'operation'}: expected a Tensor or a number, got {type(value).__name__}")
        )
    return build.cast(node, dtype)


def check_operands(name: str, operands: tuple[Any, ...]) -> None:
    for operand in operands:
        if not is_scalar(operand) and not isinstance(getattr(operand, "node", None), Node):
            raise TypeError(at_user_line(f"{name}(): expected a Tensor or a number, got {type(operand).__name__}"))


def check_no_bools(a: Any, b: Any) -> None:
    """RuntimeError where an operand of a subtraction is a bool."""
    bools = sum(isinstance(x, (bool, np.bool_)) or getattr(x, "dtype", None) is bool_ for x in (a, b))
    if bools == 2:
        raise RuntimeError(
            at_user_line(
                "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` "
                "operator instead."
            )
        )
    if bools:
        raise RuntimeError(
            at_user_line(
                "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a "
                "mask, use the `~` or `logical_not()` operator instead."
            )
        )


def pointwise(op: Op, *operands: Any) -> Node:
    """An op in the promoted dtype of its operands."""
    check_operands(op.name.lower(), operands)
    dtype, device = result_type(*operands), device_of(operands)
    return build.pointwise(op, *(node_of(o, dtype, device) for o in operands))


def float_pointwise(op: Op, *operands: Any) -> Node:
    """An op that yields floating point: integer operands become the default dtype first."""
    check_operands(op.name.lower(), operands)
    dtype, device = result_type(*operands), device_of(operands)
    dtype = dtype if dtype.is_floating_point else get_default_dtype()
    nodes = float32_operands(op.name.lower(), *(node_of(o, dtype, device) for o in operands))
    return build.pointwise(op, *nodes)


def integer_pointwise(op: Op, *operands: Any) -> Node:
    """An op on bools and integers only. RuntimeError for floating point."""
    dtype = result_type(*operands)
    if dtype.is_floating_point:
        raise NotImplementedError(at_user_line(f"\"{op.name.lower()}\" not implemented for '{dtype.name}'"))
    return pointwise(op, *operands)


def comparison(op: Op, a: Any, b: Any) -> Node:
    """A bool result of comparing in the promoted dtype."""
    return pointwise(op, a, b)


def to_bool(value: TensorBase) -> Node:
    node = value.node
    return node if node.dtype is bool_ else build.pointwise(ops.NE, node, build.like(node, 0))
