"""Every public name of torch.nn, torch.nn.functional and torch.nn.utils is here, with torch's parameters and defaults."""

from __future__ import annotations

import inspect

import pytest
import torch

from lazygrad import nn

# old names, what serves torch's own machinery, one-device wrappers, and what has no counterpart yet
LEFT_OUT = {
    torch.nn: "Container DataParallel factory_kwargs",
    torch.nn.functional: "Callable DType Optional ScalingType SwizzleType Tensor assert_int_or_pair boolean_dispatch "
    "grouped_mm handle_torch_function has_torch_function has_torch_function_unary has_torch_function_variadic "
    "scaled_grouped_mm scaled_mm",
    torch.nn.utils: "",
}
OURS = {torch.nn: nn, torch.nn.functional: nn.functional, torch.nn.utils: nn.utils}
# two deprecated spellings of min_val and max_val; a buffer that could require gradients; an out= argument
DIFFER = {"Hardtanh", "UninitializedBuffer", "normalize", "Buffer"}


def names(module):
    found = [n for n in dir(module) if not n.startswith("_") and callable(getattr(module, n))]
    return [n for n in found if n not in LEFT_OUT[module].split()]


def parameters(function):
    """[(name, default)], or None where Python can't say."""
    try:
        given = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in given):
        return None
    return [(p.name, "a function" if inspect.isfunction(p.default) else p.default) for p in given]


@pytest.mark.parametrize("module", OURS, ids=lambda m: m.__name__)
def test_names_and_parameters(module):
    mine = OURS[module]
    missing = [name for name in names(module) if not hasattr(mine, name)]
    assert not missing
    for name in names(module):
        theirs, ours = parameters(getattr(module, name)), parameters(getattr(mine, name))
        if name in DIFFER or theirs is None or ours is None:
            continue
        assert ours == theirs, name
