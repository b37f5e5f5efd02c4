"""What a forward pass keeps: the cut with the fewest bytes between what must not be done twice and what is read."""

from __future__ import annotations

import lazygrad as lg
from lazygrad.nn import functional as F
from lazygrad.schedule.remat import _minimum_cut, saved_for_backward

POINTWISE, COSTLY = False, True


def test_the_smaller_of_two_values_on_the_way_is_kept():
    # product of 100 bytes -> pointwise of 50, which the gradient reads
    assert _minimum_cut(((100, COSTLY, False, ()), (50, POINTWISE, True, (0,)))) == (1,)
    assert _minimum_cut(((50, COSTLY, False, ()), (100, POINTWISE, True, (0,)))) == (0,)


def test_what_two_readers_share_is_kept_once():
    rows = ((60, COSTLY, False, ()), (50, POINTWISE, True, (0,)), (50, POINTWISE, True, (0,)))
    assert _minimum_cut(rows) == (0,)


def test_views_are_no_place_to_cut():
    assert _minimum_cut(((100, COSTLY, False, ()), (None, POINTWISE, True, (0,)))) == (0,)


def test_nothing_is_kept_where_nothing_is_costly_or_read():
    assert _minimum_cut(((100, POINTWISE, True, ()),)) == ()
    assert _minimum_cut(((100, COSTLY, False, ()),)) == ()


def test_equal_graphs_are_cut_alike():
    """The second step of a loop gets the answer of the first."""
    x, w = lg.randn(4, 5).realize(), lg.randn(3, 5, requires_grad=True).realize()
    kept = []
    before = _minimum_cut.cache_info().misses
    for _ in range(3):
        loss = (F.gelu(F.linear(x, w)) ** 2).sum()
        (gradient,) = lg.autograd.grad(loss, w, retain_graph=True)
        kept.append([n.op.name for n in saved_for_backward(loss.node, [gradient.node])])
    assert kept[0] and kept[0] == kept[1] == kept[2]
    assert _minimum_cut.cache_info().misses == before + 1
