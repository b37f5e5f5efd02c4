"""Products: matmul in all its broadcasts and the ones named after it. Contraction is one op, DOT."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lazygrad.dtype import bool_
from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir import op as ops
from lazygrad.ir.factorizations import identity
from lazygrad.ir.node import Node
from lazygrad.shape import broadcast
from lazygrad.tensor.arguments import axis_of, check_tensor, integer, integers
from lazygrad.tensor.autocast import autocast_operands, float32_operands
from lazygrad.tensor.core import TensorBase, wrap

if TYPE_CHECKING:
    from lazygrad.tensor import Tensor


def product(a: Node, b: Node, name: str = "matmul") -> Node:
    """numpy.matmul over Nodes: vectors, matrices, batches. RuntimeError where sizes or dtypes differ."""
    a, b = autocast_operands(a, b, name=name)
    if a.dtype is not b.dtype:
        raise RuntimeError(
            at_user_line(
                f"{name}: expected both operands to have the same dtype, but got: {a.dtype.name} != {b.dtype.name}"
            )
        )
    if a.dtype is bool_:
        raise NotImplementedError(at_user_line(f"\"{name}\" not implemented for 'Bool'"))
    if not a.ndim or not b.ndim:
        raise RuntimeError(
            at_user_line(f"{name}: both arguments need to be at least 1D, but they are {a.ndim}D and {b.ndim}D")
        )
    left = build.reshape(a, (1, *a.shape)) if a.ndim == 1 else a
    right = build.reshape(b, (*b.shape, 1)) if b.ndim == 1 else b
    if left.shape[-1] != right.shape[-2]:
        raise RuntimeError(
            at_user_line(f"{name}: mat1 and mat2 shapes cannot be multiplied ({_text(a)} and {_text(b)})")
        )
    if right.ndim == 2 and left.ndim > 2:
        # one product of all rows, so that the weight's gradient is one product too
        rows = build.reshape(left, (math.prod(left.shape[:-1]), left.shape[-1]))
        result = build.reshape(build.dot(rows, right), (*left.shape[:-1], right.shape[-1]))
    else:
        try:
            broadcast(left.shape[:-2], right.shape[:-2])
        except ValueError as error:
            raise RuntimeError(at_user_line(f"{name}: {error}; shapes {_text(a)} and {_text(b)}")) from None
        result = build.dot(left, right)
    shape = list(result.shape)
    if b.ndim == 1:
        shape.pop()
    if a.ndim == 1:
        shape.pop(-1 if b.ndim == 1 else -2)
    return build.reshape(result, tuple(shape))


def _text(node: Node) -> str:
    return "x".join(map(str, node.shape))


def _want(name: str, tensor: TensorBase, ndim: int, argument: str) -> Node:
    check_tensor(tensor, name, argument)
    node = tensor.node
    if node.ndim != ndim:
        what = {1: "a vector", 2: "a matrix", 3: "a 3D tensor"}[ndim]
        raise RuntimeError(at_user_line(f"{name}: {argument} must be {what}, got shape {list(node.shape)}"))
    return node


class Linalg(TensorBase):
    __slots__ = ()

    def matmul(self, other: Tensor) -> Tensor:
        """The matrix product; vectors are rows or columns, leading dimensions are batches that broadcast."""
        check_tensor(other, "matmul", "other")
        return wrap(product(self.node, other.node))

    def mm(self, mat2: Tensor) -> Tensor:
        """matrix @ matrix."""
        return wrap(product(_want("mm", self, 2, "self"), _want("mm", mat2, 2, "mat2"), "mm"))

    def bmm(self, mat2: Tensor) -> Tensor:
        """A batch of matrices times a batch of matrices of the same length."""
        a, b = _want("bmm", self, 3, "batch1"), _want("bmm", mat2, 3, "batch2")
        if a.shape[0] != b.shape[0]:
            raise RuntimeError(
                at_user_line(
                    f"Expected size for first two dimensions of batch2 tensor to be: [{a.shape[0]}, {a.shape[2]}] "
                    f"but got: [{b.shape[0]}, {b.shape[1]}]."
                )
            )
        return wrap(product(a, b, "bmm"))

    def mv(self, vec: Tensor) -> Tensor:
        """matrix @ vector."""
        return wrap(product(_want("mv", self, 2, "self"), _want("mv", vec, 1, "vec"), "mv"))

    def dot(self, tensor: Tensor) -> Tensor:
        """The sum of products of two vectors of one length."""
        a, b = _want("dot", self, 1, "self"), _want("dot", tensor, 1, "tensor")
        if a.shape != b.shape:
            raise RuntimeError(
                at_user_line(
                    f"inconsistent tensor size, expected tensor [{a.shape[0]}] and src [{b.shape[0]}] "
                    "to have the same number of elements"
                )
            )
        return wrap(product(a, b, "dot"))

    vdot = dot

    def inner(self, other: Tensor) -> Tensor:
        """Products summed over the last dimension of both."""
        if not self.node.ndim or not other.node.ndim:
            return self.mul(other)
        if self.node.shape[-1] != other.node.shape[-1]:
            raise RuntimeError(
                at_user_line(
                    "inner() the last dimension must match on both input tensors but got shapes "
                    f"{list(self.node.shape)} and {list(other.node.shape)}"
                )
            )
        return wrap(contract(self.node, other.node, (self.node.ndim - 1,), (other.node.ndim - 1,), "inner"))

    def outer(self, vec2: Tensor) -> Tensor:
        """Every product of an element of self and one of vec2."""
        a, b = _want("outer", self, 1, "self"), _want("outer", vec2, 1, "vec2")
        return wrap(build.reshape(a, (a.shape[0], 1))).mul(wrap(build.reshape(b, (1, b.shape[0]))))

    ger = outer

    # -- beta * self + alpha * product
    def addmm(self, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """beta * self + alpha * mat1 @ mat2."""
        return _added(self, mat1.mm(mat2), beta, alpha, "addmm")

    def addmv(self, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """beta * self + alpha * mat @ vec."""
        return _added(self, mat.mv(vec), beta, alpha, "addmv")

    def addr(self, vec1: Tensor, vec2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """beta * self + alpha * outer(vec1, vec2)."""
        return _added(self, vec1.outer(vec2), beta, alpha, "addr")

    def baddbmm(self, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """beta * self + alpha * batch1 @ batch2, batch by batch."""
        return _added(self, batch1.bmm(batch2), beta, alpha, "baddbmm")

    def addbmm(self, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """beta * self + alpha * the sum over the batch of batch1 @ batch2."""
        return _added(self, batch1.bmm(batch2).sum(0), beta, alpha, "addbmm")

    def kron(self, other: Tensor) -> Tensor:
        """The Kronecker product."""
        check_tensor(other, "kron", "other")
        a, b = self.node, other.node
        ndim = max(a.ndim, b.ndim)
        a = build.reshape(a, (1,) * (ndim - a.ndim) + a.shape)
        b = build.reshape(b, (1,) * (ndim - b.ndim) + b.shape)
        wide = build.reshape(a, tuple(x for n in a.shape for x in (n, 1)))
        fine = build.reshape(b, tuple(x for n in b.shape for x in (1, n)))
        result = wrap(wide).mul(wrap(fine))
        return wrap(build.reshape(result.node, tuple(x * y for x, y in zip(a.shape, b.shape, strict=True))))

    def trace(self) -> Tensor:
        """The sum of a matrix's diagonal."""
        (node,) = float32_operands("trace", _want("trace", self, 2, "self"))
        return wrap(node).diagonal().sum()

    def cross(self, other: Tensor, dim: int | None = None) -> Tensor:
        """The vector product along a dimension of size 3 (the first such one unless given)."""
        shape = broadcast(self.node.shape, other.node.shape)
        if dim is None:
            found = [i for i, n in enumerate(shape) if n == 3]
            if not found:
                raise RuntimeError(at_user_line(f"no dimension of size 3 in input: shape {list(shape)}"))
            dim = found[0]
        axis = axis_of(build.const(0, bool_, self.device, shape), dim, "cross")
        if shape[axis] != 3:
            raise RuntimeError(
                at_user_line(f"linalg.cross: inputs dimension {axis} must have length 3. Got {shape[axis]}")
            )
        a, b = self.expand(shape), other.expand(shape)
        return a.roll(-1, axis).mul(b.roll(-2, axis)).sub(a.roll(-2, axis).mul(b.roll(-1, axis)))

    def matrix_power(self, n: int) -> Tensor:
        """The n-th power of a square matrix, by repeated squaring."""
        n = integer(n, "matrix_power(): n")
        if self.node.ndim < 2 or self.node.shape[-1] != self.node.shape[-2]:
            raise RuntimeError(
                at_user_line(
                    f"linalg.matrix_power: The input must be square matrices, got shape {list(self.node.shape)}"
                )
            )
        if n < 0:
            return self.inverse().matrix_power(-n)
        result: Any = None
        square: Any = self
        while n:
            if n & 1:
                result = square if result is None else result.matmul(square)
            n >>= 1
            square = square.matmul(square) if n else square
        return result if result is not None else wrap(build.expand(identity(self.node), self.node.shape))

    def cdist(self, x2: Tensor, p: float = 2.0, compute_mode: str | None = None) -> Tensor:
        """The p-norm distance between every row of self (..., m, k) and every row of x2 (..., n, k): (..., m, n).

        torch's compute_mode says whether products of matrices may take part; here they never do.
        """
        check_tensor(x2, "cdist", "x2")
        for which, given in (("X1", self), ("X2", x2)):
            if given.node.ndim < 2:
                raise RuntimeError(
                    at_user_line(f"cdist only supports at least 2D tensors, {which} got: {given.node.ndim}D")
                )
        if p < 0:
            raise RuntimeError(at_user_line(f"cdist only supports non-negative p values, got {p}"))
        a, b = map(wrap, float32_operands("cdist", self.node, x2.node))
        if a.shape[-1] != b.shape[-1]:
            raise RuntimeError(
                at_user_line(f"X1 and X2 must have the same number of columns. X1: {a.shape[-1]} X2: {b.shape[-1]}")
            )
        return a.unsqueeze(-2).sub(b.unsqueeze(-3)).norm(p, -1)


def _added(bias: Any, result: Any, beta: float, alpha: float, name: str) -> Tensor:
    check_tensor(bias, name, "input")
    if bias.dtype is not result.dtype:
        bias = wrap(autocast_operands(bias.node, result.node)[0])
    if bias.dtype is not result.dtype:
        raise RuntimeError(
            at_user_line(
                f"{name}: self and mat2 must have the same dtype, but got {bias.dtype.name} and {result.dtype.name}"
            )
        )
    try:
        fits = broadcast(bias.node.shape, result.node.shape) == result.node.shape
    except ValueError:
        fits = False
    if not fits:
        raise RuntimeError(
            at_user_line(
                f"{name}: expand: input of shape {list(bias.node.shape)} does not broadcast to "
                f"{list(result.node.shape)}"
            )
        )
    scaled = result if alpha == 1 else result.mul(alpha)
    if beta == 0:
        return scaled.add(0)
    return scaled.add(bias if beta == 1 else bias.mul(beta))


# -- contraction over any dimensions ------------------------------------------------------------------
def contract(a: Node, b: Node, a_axes: tuple[int, ...], b_axes: tuple[int, ...], name: str = "matmul") -> Node:
    """The sum over paired axes; what is left of a comes before what is left of b."""
    a_rest = [i for i in range(a.ndim) if i not in a_axes]
    b_rest = [i for i in range(b.ndim) if i not in b_axes]
    inner = math.prod(a.shape[i] for i in a_axes)
    left = build.permute(a, [*a_rest, *a_axes])
    right = build.permute(b, [*b_axes, *b_rest])
    a_shape, b_shape = [a.shape[i] for i in a_rest], [b.shape[i] for i in b_rest]
    left = build.reshape(left, (math.prod(a_shape), inner))
    right = build.reshape(right, (inner, math.prod(b_shape)))
    return build.reshape(product(left, right, name), (*a_shape, *b_shape))


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """The sum over the last `dims` dimensions of a and the first of b, or over the pairs listed: (those of a, those of
    b), as lists or in a tensor."""
    check_tensor(a, "tensordot", "a")
    check_tensor(b, "tensordot", "b")
    if isinstance(dims, TensorBase):
        dims = dims.tolist()
    if hasattr(dims, "__index__"):
        count = int(dims)
        if count < 0:
            raise RuntimeError(at_user_line(f"tensordot expects dims >= 0, but got dims={dims}"))
        if count > min(a.node.ndim, b.node.ndim):
            raise RuntimeError(at_user_line(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}"))
        pairs = (tuple(range(a.node.ndim - count, a.node.ndim)), tuple(range(count)))
    else:
        pairs = (integers((dims[0],), "tensordot()"), integers((dims[1],), "tensordot()"))
    a_axes = tuple(axis_of(a.node, i, "tensordot") for i in pairs[0])
    b_axes = tuple(axis_of(b.node, i, "tensordot") for i in pairs[1])
    if len(a_axes) != len(b_axes):
        raise RuntimeError(at_user_line("both dimension lists should have same length"))
    left, right = a.node, b.node
    for i, j in zip(a_axes, b_axes, strict=True):
        if left.shape[i] != right.shape[j]:
            if 1 not in (left.shape[i], right.shape[j]):
                raise RuntimeError(
                    at_user_line(
                        f"contracted dimensions need to match, but first has size {left.shape[i]} in "
                        f"dim {i} and second "
                        f"has size {right.shape[j]} in dim {j}"
                    )
                )
            # a size of 1 broadcasts: the other side is summed first
            if left.shape[i] == 1:
                right = build.reduce(ops.SUM, right, (j,))
            else:
                left = build.reduce(ops.SUM, left, (i,))
    # torch's is a matrix product, which autocast knows, unless nothing is left of either side
    whole = left.ndim == right.ndim == len(a_axes)
    return wrap(contract(left, right, a_axes, b_axes, "tensordot" if whole else "matmul"))


def chain_matmul(*matrices: Any) -> Tensor:
    """The product of matrices, from the left."""
    listed = list(matrices[0]) if len(matrices) == 1 and isinstance(matrices[0], (list, tuple)) else list(matrices)
    result = listed[0]
    for matrix in listed[1:]:
        result = result.matmul(matrix)
    return result


__all__ = ["Linalg", "chain_matmul", "contract", "product", "tensordot"]
