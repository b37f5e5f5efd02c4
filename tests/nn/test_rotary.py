"""Rotary positions, grouped queries, the options of MultiheadAttention."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad import nn
from lazygrad.nn import functional as F

RNG = np.random.default_rng(0)


def numbers(*shape):
    return RNG.normal(size=shape)


def rotated(x, positions, dim, base, interleaved):
    """The definition in complex numbers, for (..., length, head_dim) in NumPy or torch."""
    rates = base ** (-np.arange(0, dim, 2) / dim)
    turns = torch.polar(torch.ones(1, dtype=torch.float64), torch.tensor(np.asarray(positions)[..., None] * rates))
    head, rest = x[..., :dim], x[..., dim:]
    if interleaved:
        pairs = torch.view_as_complex(head.reshape(*head.shape[:-1], dim // 2, 2).contiguous())
        return torch.cat([torch.view_as_real(pairs * turns).flatten(-2), rest], -1)
    turned = torch.complex(head[..., : dim // 2], head[..., dim // 2 :]) * turns
    return torch.cat([turned.real, turned.imag, rest], -1)


@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("dim", [8, 4])
def test_rotary(compare, interleaved, dim):
    layer = nn.RotaryEmbedding(dim, 64, 100.0, interleaved=interleaved, seq_dim=-2)

    def program(lib, x):
        return rotated(x, range(5), dim, 100.0, interleaved) if lib.t is torch else layer(x)

    compare(program, numbers(2, 3, 5, 8))
    token_major = nn.RotaryEmbedding(dim, 64, 100.0, interleaved=interleaved)
    x = lg.tensor(numbers(2, 5, 3, 8))
    expected = layer(x.transpose(1, 2)).transpose(1, 2)
    np.testing.assert_allclose(token_major(x).numpy(force=True), expected.numpy(force=True), rtol=1e-12)


def test_rotary_at_given_positions(compare):
    layer = nn.RotaryEmbedding(8, 64, seq_dim=-2)
    for positions in ([3, 60, 7], [[1, 2, 3], [63, 0, 0]]):

        def program(lib, x, positions=positions):
            if lib.t is not torch:
                return layer(x, lg.tensor(positions))
            return rotated(x, np.asarray(positions)[..., None, :] if np.ndim(positions) == 2 else positions, 8, 1e4, True)

        compare(program, numbers(2, 3, 3, 8))


def test_rotary_tables_stay_exact():
    layer = copy.deepcopy(nn.RotaryEmbedding(4, 4096).to(lg.bfloat16))
    assert not layer.state_dict()
    x = np.ones((1, 4096, 1, 4), np.float32)
    expected = rotated(torch.tensor(x, dtype=torch.float64).transpose(1, 2), range(4096), 4, 1e4, True)
    np.testing.assert_allclose(layer(lg.tensor(x)).numpy(force=True)[0, :, 0], expected[0, 0].numpy(force=True), atol=3e-7)
    assert layer(lg.tensor(x).to(lg.bfloat16)).dtype is lg.bfloat16


def test_rotary_errors():
    with pytest.raises(ValueError, match="even"):
        nn.RotaryEmbedding(5)
    with pytest.raises(ValueError, match="max_seq_len=4"):
        nn.RotaryEmbedding(4, 4)(lg.zeros(1, 5, 1, 4))
    with pytest.raises(RuntimeError, match="need 8 features"):
        nn.RotaryEmbedding(8)(lg.zeros(1, 5, 1, 4))


@pytest.mark.parametrize("shared", [1, 2, 4])
def test_grouped_queries(sides, shared):
    layer = nn.GroupedQueryAttention(8, 4, shared, bias=True).double()
    names = ("q_proj", "k_proj", "v_proj", "o_proj")
    parameters = [p for n in names for p in (getattr(layer, n).weight, getattr(layer, n).bias)]

    def program(lib, x, *w):
        q, k, v = (lib.F.linear(x, w[i], w[i + 1]).reshape(2, 5, -1, 2).transpose(1, 2) for i in (0, 2, 4))
        y = lib.F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return lib.F.linear(y.transpose(1, 2).reshape(2, 5, 8), *w[6:])

    x = numbers(2, 5, 8)
    outcome, close, THEIRS, OURS = sides
    theirs, their_grads = outcome(THEIRS, program, [x, *(p.detach().numpy(force=True) for p in parameters)])
    mine, my_grads = outcome(OURS, lambda lib, x: layer(x, is_causal=True), [x], [layer])
    close(mine, theirs)
    for a, b in zip([my_grads[0], *(p.grad for p in parameters)], their_grads):
        close(a, b)
    moved = nn.GroupedQueryAttention(8, 4, shared, rotary=nn.RotaryEmbedding(2, 16, seq_dim=-2)).double()
    y = moved(lg.tensor(x), is_causal=True)
    shifted = moved(lg.tensor(x), is_causal=True, input_pos=lg.arange(3, 8))
    np.testing.assert_allclose(shifted.numpy(force=True), y.numpy(force=True), rtol=1e-9)  # distances alone count
    with pytest.raises(ValueError, match="divisible"):
        nn.GroupedQueryAttention(8, 4, 3)


# -- the options of MultiheadAttention ----------------------------------------------------------------
@pytest.mark.parametrize("options", [{"add_bias_kv": True}, {"add_zero_attn": True}, {"add_bias_kv": True, "add_zero_attn": True, "bias": False}])
@pytest.mark.parametrize("need", [True, False])
def test_multihead_attention_with_more_keys(compare_modules, options, need):
    padding = np.array([[False] * 4 + [True], [False] * 5])

    def call(module, x, mask, hidden):
        return module(x, x, x, key_padding_mask=hidden, attn_mask=mask, need_weights=need)[0]

    compare_modules(
        lambda n: n.MultiheadAttention(8, 2, batch_first=True, **options),
        numbers(2, 5, 8),
        np.triu(np.ones((5, 5), bool), 1),
        padding,
        call=call,
    )


def test_multihead_attention_masks_per_head_and_hints(compare_modules):
    mask = RNG.random((4, 5, 5)) > 0.7
    mask[:, :, 0] = False

    def call(module, x, mask):
        return module(x, x, x, attn_mask=mask, average_attn_weights=False)[1]

    compare_modules(lambda n: n.MultiheadAttention(8, 2, batch_first=True), numbers(2, 5, 8), mask, call=call)

    def causal(module, x, mask):
        return module(x, x, x, attn_mask=mask, need_weights=False, is_causal=True)[0]

    compare_modules(
        lambda n: n.MultiheadAttention(8, 2), numbers(5, 8), np.triu(np.ones((5, 5), bool), 1), call=causal
    )
    layer, x = nn.MultiheadAttention(8, 2), lg.zeros(5, 2, 8)
    with pytest.raises(RuntimeError, match="is_causal hint"):
        layer(x, x, x, is_causal=True)
    with pytest.raises(RuntimeError, match="attn_mask"):
        layer(x, x, x, attn_mask=lg.zeros(4, 4))
    with pytest.raises(AssertionError, match="key_padding_mask"):
        layer(x, x, x, key_padding_mask=lg.zeros(5, 2))


@pytest.mark.parametrize("separate", [True, False])
def test_multi_head_attention_forward(compare, separate):
    w = [numbers(8, 8), numbers(8, 6), numbers(8, 4)] if separate else [numbers(24, 8)]
    key, value = (numbers(3, 2, 6), numbers(3, 2, 4)) if separate else (numbers(3, 2, 8), numbers(3, 2, 8))

    def program(lib, q, k, v, b, out, out_b, *w):
        named = {"use_separate_proj_weight": True, **dict(zip(("q_proj_weight", "k_proj_weight", "v_proj_weight"), w))}
        result, weights = lib.F.multi_head_attention_forward(
            q, k, v, 8, 2, None if separate else w[0], b, None, None, False, 0.0, out, out_b, **(named if separate else {})
        )
        return result + weights.sum()

    compare(program, numbers(5, 2, 8), key, value, numbers(24), numbers(8, 8), numbers(8), *w)


def test_sdpa_kernel_is_accepted():
    from lazygrad.nn.attention import SDPBackend, sdpa_kernel

    x = lg.randn(1, 2, 3, 4)
    with sdpa_kernel([SDPBackend.MATH, SDPBackend.FLASH_ATTENTION]):
        y = F.scaled_dot_product_attention(x, x, x)
    np.testing.assert_array_equal(y.numpy(force=True), F.scaled_dot_product_attention(x, x, x).numpy(force=True))
    with pytest.raises(TypeError), sdpa_kernel(["math"]):
        pass


@pytest.mark.parametrize("name", ["causal_upper_left", "causal_lower_right"])
def test_causal_masks_of_other_lengths(compare, name):
    from torch.nn.attention import bias as theirs

    from lazygrad.nn.attention import bias as ours

    def program(lib, q, k):
        mask = getattr(theirs if lib.t is torch else ours, name)(3, 5)
        return lib.F.scaled_dot_product_attention(q, k, k, attn_mask=mask)

    compare(program, numbers(1, 2, 3, 4), numbers(1, 2, 5, 4))
    with pytest.raises(AssertionError):
        getattr(ours, name)(3)
