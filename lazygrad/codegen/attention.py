"""Flash attention: takes an AttentionSpec and an AttentionConfig, returns a Kernel.

    weights = softmax(q @ k.T * scale, masked);  out = dropout(weights) @ v

Three kernels: `forward` writes out and lse, `backward_kv` writes grad_k and grad_v, `backward_q`
writes grad_q. The weights never reach memory: the backward recomputes them from lse, the logarithm
of the row's sum of exponentials. Everything about the shapes is a literal in the source, so a
kernel takes pointers only, and no sum depends on the order in which programs finish.

Law of lse: float32 (float64 for float64), contiguous, of the shape `lse_shape(spec)`: (B, H, Tq),
or (2, B, H, Tq) where scores may lie far below 0 (a float mask, a finite fill). -1e9 + log(n) is
-1e9 in float32, so there the row's maximum and the logarithm of its sum are kept apart. Under
empty_rows="zero" a row that sees no key has an lse of +inf.
"""

from __future__ import annotations

import math

import numpy as np

from lazygrad import dtype as dtypes
from lazygrad.codegen import attention_templates as text
from lazygrad.codegen.attention_spec import (
    OVER_KEYS,
    TENSORS,
    AttentionConfig,
    AttentionSpec,
    MaskSpec,
    Strided,
    candidates,
    largest_buffer,
    lse_shape,
)
from lazygrad.codegen.kernel import Kernel, Pointer

__all__ = [
    "AttentionConfig",
    "AttentionSpec",
    "MaskSpec",
    "Strided",
    "backward_kv",
    "backward_q",
    "candidates",
    "forward",
    "lse_shape",
]

LOG2E = 1.4426950408889634
# Of tiles that many programs read: a third of the L2 cache of an A100 or H200.
SECTION_BYTES = 16 << 20
INT32_ELEMENTS = 2**31 - 1
MAX_GRID_Z = 65535

_WRITTEN = ("out", "grad_q", "grad_k", "grad_v")


def forward(spec: AttentionSpec, config: AttentionConfig, name: str = "attention_forward") -> Kernel:
    """takes q, k, v, [mask], [seed, offset], writes out and lse."""
    params = (
        *_inputs(spec),
        Pointer("out_ptr", spec.dtype, written=True),
        Pointer("lse_ptr", spec.dtype.compute, written=True),
    )
    body = (text.QUERY_SCORES, text.SCORES, text.KEEP, text.FORWARD_STEP)
    page = _Page(spec, config, name, params, over_keys=False)
    page.write(text.HEADER, text.QUERY_PROGRAM, text.FORWARD_START)
    _walk_keys(page, *body)
    page.write(text.FORWARD_END)
    return page.kernel()


def backward_q(spec: AttentionSpec, config: AttentionConfig, name: str = "attention_backward_q") -> Kernel:
    """takes q, k, v, [mask], [seed, offset], grad_out, lse, delta, writes grad_q."""
    params = (*_inputs(spec), *_saved(spec), Pointer("grad_q_ptr", spec.dtype, written=True))
    body = (
        *(text.QUERY_SCORES, text.SCORES, text.KEEP, text.WEIGHTS),
        *(text.BACKWARD_Q_WEIGHTS, text.GRAD_SCORES, text.BACKWARD_Q_STEP),
    )
    page = _Page(spec, config, name, params, over_keys=False)
    page.write(text.HEADER, text.QUERY_PROGRAM, text.BACKWARD_Q_START)
    _walk_keys(page, *body)
    page.write(text.BACKWARD_Q_END)
    return page.kernel()


def backward_kv(spec: AttentionSpec, config: AttentionConfig, name: str = "attention_backward_kv") -> Kernel:
    """takes q, k, v, [mask], [seed, offset], grad_out, lse, delta, writes grad_k and grad_v.

    A program sums over every query head that shares its keys, in order: no atomics.
    """
    params = (
        *_inputs(spec),
        *_saved(spec),
        Pointer("grad_k_ptr", spec.dtype, written=True),
        Pointer("grad_v_ptr", spec.dtype, written=True),
    )
    body = (
        *(text.KEY_SCORES, text.SCORES, text.KEEP, text.WEIGHTS),
        *(text.BACKWARD_KV_VALUES, text.GRAD_SCORES, text.BACKWARD_KV_STEP),
    )
    page = _Page(spec, config, name, params, over_keys=True)
    page.write(text.HEADER, text.KEY_PROGRAM)
    _walk_queries(page, *body)
    page.write(text.BACKWARD_KV_END)
    return page.kernel()


def _inputs(spec: AttentionSpec) -> tuple[Pointer, ...]:
    mask = (Pointer("mask_ptr", spec.mask.dtype),) if spec.mask is not None else ()
    random = (Pointer("seed_ptr", dtypes.int64), Pointer("offset_ptr", dtypes.int64))
    operands = tuple(Pointer(f"{tensor}_ptr", spec.dtype) for tensor in "qkv")
    return operands + mask + (random if spec.dropout else ())


def _saved(spec: AttentionSpec) -> tuple[Pointer, ...]:
    statistics = spec.dtype.compute
    grad_out = Pointer("grad_out_ptr", spec.dtype)
    return (grad_out, Pointer("lse_ptr", statistics), Pointer("delta_ptr", statistics))


class _Page:
    """The source of one kernel being written: what is true of it, and what its templates name."""

    def __init__(
        self,
        spec: AttentionSpec,
        config: AttentionConfig,
        name: str,
        params: tuple[Pointer, ...],
        over_keys: bool,
    ) -> None:
        self.spec, self.config, self.name, self.params = spec, config, name, params
        self.over_keys = over_keys
        heads = spec.batch * (spec.kv_heads if over_keys else spec.heads)
        blocks = math.ceil(spec.k_len / config.block_k if over_keys else spec.q_len / config.block_q)
        section = _section(spec, heads, over_keys)
        self.grid = (section, blocks, heads // section)
        self.uneven_q = spec.q_len % config.block_q != 0
        self.uneven_k = spec.k_len % config.block_k != 0
        self.facts = _facts(spec) | {"backward": params[-1].name.startswith("grad")}
        self.names = _names(self, section)
        self.source = ""

    def write(self, *templates: str, indent: str = "", edge: str = "", **names: str) -> None:
        """Add templates; `edge` is the test that a pair of query and key must pass, if any."""
        facts = self.facts | {"edge": bool(edge)}
        self.source += text.render(templates, facts, self.names | names | {"edge": edge}, indent)

    def kernel(self) -> Kernel:
        config = self.config
        return Kernel(self.name, self.source, self.params, self.grid, config.num_warps, config.num_stages)


def _walk_keys(page: _Page, *body: str) -> None:
    """Writes the loops over keys: blocks every row sees whole, then the diagonal or the end."""
    spec, block_q, block_k = page.spec, page.config.block_q, page.config.block_k
    whole = spec.k_len // block_k * block_k
    last_start = (spec.q_len - 1) // block_q * block_q
    tests = []
    full_end, end = str(whole), "K_LEN"
    if spec.causal:
        tests.append("queries[:, None] >= keys[None, :]")
        aligned = block_q % block_k == 0
        full_end = "q_start" if aligned else "(q_start + 1) // BLOCK_K * BLOCK_K"
        full_end = f"tl.minimum({full_end}, {whole})" if last_start + 1 > whole else full_end
        end = "q_start + BLOCK_Q"
        end = f"tl.minimum({end}, K_LEN)" if last_start + block_q > spec.k_len else end
        page.write(text.QUERY_BOUNDS, full_end=full_end, end=end)
        full_end, end = "full_end", "end"
    if page.uneven_k and (not spec.causal or spec.q_len > spec.k_len):
        tests.append("keys[None, :] < K_LEN")
    if whole and (not spec.causal or last_start + 1 >= block_k):
        tiles = _key_tiles(page, bounded=False)
        page.write(text.QUERY_LOOP, *body, first="0", last=full_end, **tiles)
    if tests:
        tiles = _key_tiles(page, bounded=page.uneven_k)
        edge = _both(tests)
        page.write(text.QUERY_LOOP, *body, first=full_end, last=end, edge=edge, **tiles)


def _walk_queries(page: _Page, *body: str) -> None:
    """Writes the loops over blocks of queries, for every query head that shares the keys.

    Rows past the end have weights of 0 by their lse, so the last block is like the others.
    """
    spec, block_q, block_k = page.spec, page.config.block_q, page.config.block_k
    indent = "    " if spec.group > 1 else ""
    if spec.group > 1:
        page.write(text.KEY_GROUP)
    page.write(text.KEY_HEAD, indent=indent)
    first = "0"
    if spec.causal:
        aligned = block_k % block_q == 0
        start = "k_start" if aligned else "k_start // BLOCK_Q * BLOCK_Q"
        first = "k_start + BLOCK_K" if aligned else "tl.cdiv(k_start + BLOCK_K - 1, BLOCK_Q) * BLOCK_Q"
        page.write(text.KEY_BOUNDS, diagonal=start, below=first, indent=indent)
        edge, last = "queries[None, :] >= keys[:, None]", "tl.minimum(below, Q_LEN)"
        page.write(text.KEY_LOOP, *body, first="diagonal", last=last, edge=edge, indent=indent)
        first = "below"
    if not spec.causal or math.ceil((block_k - 1) / block_q) * block_q < spec.q_len:
        page.write(text.KEY_LOOP, *body, first=first, last="Q_LEN", indent=indent)


def _facts(spec: AttentionSpec) -> dict[str, bool]:
    """takes a spec, returns what the conditions in the templates may ask."""
    finite_fill = spec.fill != -math.inf
    return {
        "grouped": spec.group > 1,
        "padded_dims": spec.block_dim != spec.head_dim,
        "shifted": spec.shifted,
        "boolean": spec.boolean,
        "additive": spec.additive,
        "masked": spec.mask is not None,
        "dropout": spec.dropout > 0,
        "causal": spec.causal,
        "wide": largest_buffer(spec) > INT32_ELEMENTS,
        "may_be_empty": spec.may_be_empty,
        "zero_rows": spec.may_be_empty and spec.empty_rows == "zero",
        "nan_rows": spec.may_be_empty and spec.empty_rows == "nan",
        "stops_gradient": spec.boolean and (finite_fill or spec.empty_rows == "nan"),
    }


def _names(page: _Page, section: int) -> dict[str, object]:
    """takes a page, returns what its templates call things."""
    spec, config = page.spec, page.config
    half = spec.dtype.itemsize == 2
    double = spec.dtype is dtypes.float64
    row_test = "queries < Q_LEN"
    drop = np.float32(spec.dropout)
    names: dict[str, object] = {
        "name": page.name,
        "params": ", ".join(pointer.name for pointer in page.params),
        "title": _title(spec),
        "heads": spec.heads,
        "kv_heads": spec.kv_heads,
        "group": spec.group,
        "q_len": spec.q_len,
        "k_len": spec.k_len,
        "head_dim": spec.head_dim,
        "block_q": config.block_q,
        "block_k": config.block_k,
        "block_d": spec.block_dim,
        "section": section,
        "log2e": LOG2E,
        "scale": spec.scale,
        "scale_log2e": spec.scale * LOG2E,
        "fill": _literal(spec.fill),
        "plane": spec.batch * spec.heads * spec.q_len,
        "drop_below": math.ceil(float(drop) * 2**24) << 8,
        "keep_scale": 1.0 / (1.0 - spec.dropout),
        "accumulator": spec.dtype.compute.triton,
        "operand": _operand(spec),
        "precision": "" if half else ', input_precision="ieee"' + ", out_dtype=tl.float64" * double,
        "shift": "shift" if spec.may_be_empty else "new_max",
        "shared_head": "kv_head" if spec.group > 1 else "head",
        "shared_heads": "KV_HEADS" if spec.group > 1 else "HEADS",
        "query_axis": "[None, :]" if page.over_keys else "[:, None]",
        "key_axis": "[:, None]" if page.over_keys else "[None, :]",
        "row_bound": f", mask={row_test}" * page.uneven_q,
        "row_or_zero": f", mask={row_test}, other=0.0" * page.uneven_q,
        "row_or_inf": f', mask={row_test}, other=float("inf")' * page.uneven_q,
    }
    for tensor in TENSORS:
        names[f"{tensor}_base"] = _base(spec, tensor)
        names[f"{tensor}_tile"] = _tile(page, tensor)
    if spec.mask is not None:
        names["mask_base"] = _base(spec, "mask")
    return names | _key_tiles(page, bounded=page.uneven_k)


def _key_tiles(page: _Page, bounded: bool) -> dict[str, str]:
    """takes whether keys may pass the end, returns the tiles whose bounds depend on it."""
    spec = page.spec
    tiles = {} if spec.mask is None else {"mask_tile": _mask_tile(page, bounded)}
    return tiles | {f"{tensor}_tile": _tile(page, tensor, bounded) for tensor in "kv"}


def _tile(page: _Page, tensor: str, bounded: bool | None = None) -> str:
    """takes a tensor, returns the arguments of the load or store of its tile of rows by dims."""
    spec = page.spec
    _, _, row_stride, dim_stride = spec.layout(tensor).strides
    over_keys = tensor in OVER_KEYS
    rows, length = ("keys", "K_LEN") if over_keys else ("queries", "Q_LEN")
    if bounded is None:
        bounded = page.uneven_k if over_keys else page.uneven_q
    address = f"{tensor}_base + {_times(f'{rows}[:, None]', row_stride)}"
    address += f" + {_times('dims[None, :]', dim_stride)}"
    tests = [f"{rows}[:, None] < {length}"] * bounded
    tests += ["dims[None, :] < HEAD_DIM"] * (spec.block_dim != spec.head_dim)
    mask = f", mask={_both(tests)}" if tests else ""
    if tensor in _WRITTEN:
        return f"{address}, {tensor}{_operand(spec)}{mask}"
    return address + mask + ", other=0.0" * bool(tests)


def _mask_tile(page: _Page, bounded: bool) -> str:
    """takes whether keys may pass the end, returns the arguments of the load of the mask's tile."""
    assert page.spec.mask is not None
    queries, keys = ("queries[None, :]", "keys[:, None]") if page.over_keys else ("queries[:, None]", "keys[None, :]")
    _, _, query_stride, key_stride = page.spec.mask.strides
    terms, tests = ["mask_base"], []
    if query_stride:
        terms.append(_times(queries, query_stride))
        tests += [f"{queries} < Q_LEN"] * page.uneven_q
    if key_stride:
        terms.append(_times(keys, key_stride))
        tests += [f"{keys} < K_LEN"] * bounded
    return " + ".join(terms) + (f", mask={_both(tests)}, other=0" if tests else "")


def _base(spec: AttentionSpec, tensor: str) -> str:
    """takes a tensor, returns the address of its row 0 for the program's batch and head."""
    layout = spec.mask if tensor == "mask" else spec.layout(tensor)
    assert layout is not None
    head = "kv_head" if tensor in OVER_KEYS and spec.group > 1 else "head"
    terms = [f"{tensor}_ptr"]
    terms += [str(layout.offset)] * (layout.offset != 0)
    for index, stride in (("batch", layout.strides[0]), (head, layout.strides[1])):
        terms += [_times(index, stride)] * (stride != 0)
    return " + ".join(terms)


def _operand(spec: AttentionSpec) -> str:
    """How a tile in the accumulator's dtype becomes an operand of a product, or is stored."""
    return f".to({spec.dtype.triton})" if spec.dtype.compute is not spec.dtype else ""


def _times(index: str, stride: int) -> str:
    return index if stride == 1 else f"{index} * {stride}"


def _both(tests: list[str]) -> str:
    return tests[0] if len(tests) == 1 else " & ".join(f"({test})" for test in tests)


def _literal(value: float) -> str:
    return repr(value) if math.isfinite(value) else f'float("{value}")'


def _section(spec: AttentionSpec, heads: int, over_keys: bool) -> int:
    """takes the number of heads, returns how many run side by side: what they share fits in L2."""
    shared = spec.q_len * spec.group if over_keys else spec.k_len / spec.group
    fitting = SECTION_BYTES / (2 * shared * spec.head_dim * spec.dtype.itemsize)
    sizes = (size for size in range(1, heads + 1) if heads % size == 0 and size <= fitting)
    section = max(sizes, default=1)
    return section if heads // section <= MAX_GRID_Z else heads


def _title(spec: AttentionSpec) -> str:
    """takes a spec, returns the kernel's docstring."""
    words = [f"attention B {spec.batch}", f"H {spec.heads}"]
    words += [f"over {spec.kv_heads} of keys"] * (spec.group > 1)
    words += [f"T {spec.q_len} x {spec.k_len}", f"D {spec.head_dim}", spec.dtype.name]
    words += ["causal"] * spec.causal
    if spec.mask is not None:
        words.append(f"{spec.mask.dtype.name} mask")
    words += [f"dropout {spec.dropout}"] * bool(spec.dropout)
    return ", ".join(words)
