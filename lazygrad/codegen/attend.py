"""ATTENTION groups: takes a Group and a Target, returns the flash-attention Kernel and its arguments.

The kernel writes more than one result (out with lse, grad_k with grad_v); one that nobody asked for is
written to memory of its own, so a group may store nodes that are in no graph.
"""

from __future__ import annotations

from dataclasses import replace

from lazygrad.codegen import attention as templates
from lazygrad.codegen.attention_spec import AttentionConfig, AttentionSpec, MaskSpec, Strided, candidates
from lazygrad.codegen.kernel import Kernel
from lazygrad.codegen.views import view_of
from lazygrad.device import Target
from lazygrad.dtype import bool_
from lazygrad.ir import op as ops
from lazygrad.ir.attention import AttentionArg, log_sum_exp
from lazygrad.ir.node import Node, make
from lazygrad.schedule.group import Group

KERNELS = {
    ops.ATTENTION: ("forward", templates.forward),
    ops.ATTENTION_LSE: ("forward", templates.forward),
    ops.ATTENTION_DQ: ("backward_q", templates.backward_q),
    ops.ATTENTION_DK: ("backward_kv", templates.backward_kv),
    ops.ATTENTION_DV: ("backward_kv", templates.backward_kv),
}


def kernel_family(node: Node) -> str:
    """Which kernel computes this op: nodes of one family over equal sources share it."""
    return KERNELS[node.op][0]


def configs(group: Group, target: Target) -> tuple[AttentionConfig, ...]:
    """Candidate configurations, best guess first."""
    return candidates(spec_of(group.members[0]), kernel_family(group.members[0]), target.arch)


def attention_kernel(
    group: Group, target: Target, config: AttentionConfig | None = None
) -> tuple[Kernel, tuple[Node, ...], tuple[Node, ...]]:
    """(the kernel, the nodes of its parameters, those of them that it writes)."""
    node = group.members[0]
    written = results_of(node)
    chosen = config or configs(group, target)[0]
    kernel = KERNELS[node.op][1](spec_of(node), chosen)
    return kernel, (*(view_of(s).base for s in node.src), *written), written


def results_of(node: Node) -> tuple[Node, ...]:
    """All that the kernel of this node writes, in the kernel's order."""
    arg, src = node.arg, node.src
    plain = replace(arg, token_major=False)
    family = kernel_family(node)
    if family == "forward":
        shape = (src[0].shape[0], src[0].shape[2], src[0].shape[1], src[2].shape[3])
        out = make(ops.ATTENTION, src, replace(arg, token_major=True), src[0].dtype, shape, node.device)
        return out, log_sum_exp(plain, *src)
    if family == "backward_q":
        return (node,)
    return tuple(
        make(op, src, arg, of.dtype, _token_shape(of), node.device)
        for op, of in ((ops.ATTENTION_DK, src[1]), (ops.ATTENTION_DV, src[2]))
    )


def _token_shape(node: Node) -> tuple[int, ...]:
    batch, heads, length, dim = node.shape
    return (batch, length, heads, dim)


def spec_of(node: Node) -> AttentionSpec:
    """The shapes and layouts of an attention node whose operands are strided views."""
    arg: AttentionArg = node.arg
    q, k, v = node.src[:3]
    batch, heads, q_len, head_dim = q.shape
    kv_heads, k_len = k.shape[1], k.shape[2]
    grad = node.src[arg.operands] if kernel_family(node) != "forward" else None
    return AttentionSpec(
        batch, heads, kv_heads, q_len, k_len, head_dim, q.dtype, arg.scale, arg.causal,
        _strided(q), _strided(k), _strided(v), _token_major(heads, q_len, head_dim),
        mask=_mask_spec(node, (batch, heads, q_len, k_len)) if arg.masked else None,
        fill=arg.fill, empty_rows=arg.empty_rows, dropout=arg.dropout,
        grad_out=_strided(grad) if grad is not None else None,
        grad_q=_token_major(heads, q_len, head_dim),
        grad_k=_token_major(kv_heads, k_len, head_dim),
        grad_v=_token_major(kv_heads, k_len, head_dim),
    )  # fmt: skip


def _strided(node: Node) -> Strided:
    view = view_of(node)
    return Strided(view.strides, view.offset)  # type: ignore[arg-type]


def _token_major(heads: int, length: int, dim: int) -> Strided:
    return Strided((length * heads * dim, dim, heads * dim, 1))


def _mask_spec(node: Node, shape: tuple[int, ...]) -> MaskSpec:
    mask = node.src[3]
    view = view_of(mask)
    strides = [0] * (4 - len(view.strides)) + list(view.strides)
    sizes = [1] * (4 - mask.ndim) + list(mask.shape)
    strides = [0 if have == 1 else stride for have, stride in zip(sizes, strides, strict=True)]
    return MaskSpec(bool_ if mask.dtype is bool_ else mask.dtype, tuple(strides), view.offset)  # type: ignore[arg-type]


def has_kernel(node: Node) -> bool:
    """Whether the templates compute this attention node; otherwise it is decomposed."""
    q, k, v = node.src[:3]
    if v.shape[3] != q.shape[3] or q.shape[3] > 256 or 0 in q.shape or 0 in k.shape:
        return False
    return q.dtype is k.dtype is v.dtype
