"""autograd.Function inside vmap where the user wrote the rule for a batch, since forward() can't be batched."""

from __future__ import annotations

from typing import Any, NamedTuple

from lazygrad.errors import at_user_line
from lazygrad.ir import build
from lazygrad.ir.batching import batched, innermost
from lazygrad.tensor import tree
from lazygrad.tensor.core import TensorBase, wrap
from lazygrad.tensor.examples import open_vmaps


class VmapInfo(NamedTuple):
    """What a rule is told about the vmap it is called in."""

    batch_size: int
    randomness: str


def by_rule(function: Any, args: tuple[Any, ...]) -> Any:
    """What function.vmap(info, in_dims, *args), returning (outputs, out_dims), says of one example of the innermost
    vmap that an argument depends on; None where none does. RuntimeError where out_dims doesn't fit the outputs, and for
    a function that asks for a generated rule besides."""
    found = innermost([a.node for a in args if isinstance(a, TensorBase)])
    if found is None:
        return None
    if function.generate_vmap_rule:
        raise RuntimeError(
            at_user_line(
                f"You tried to vmap over {function.__name__}, but it has both generate_vmap_rule=True and an "
                "overridden vmap staticmethod. Please delete one of them to avoid ambiguity."
            )
        )
    level, size = found
    wholes = [batched([a.node], *found)[0] if isinstance(a, TensorBase) else None for a in args]
    in_dims = tuple(None if w is None else 0 for w in wholes)
    given = [a if w is None else wrap(w) for a, w in zip(args, wholes, strict=True)]
    randomness = next(e.randomness for e in open_vmaps() if e.index.arg[0] == level)
    returned = function.vmap(VmapInfo(size, randomness), in_dims, *given)
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise RuntimeError(at_user_line(f"vmap: {function.__name__}.vmap should return a tuple (outputs, out_dims)"))
    outputs, out_dims = returned
    dims = tree.spread(out_dims, outputs)
    if dims is None:
        raise RuntimeError(
            at_user_line(f"vmap: out_dims={out_dims} doesn't fit the outputs of {function.__name__}.vmap")
        )
    pairs = zip(tree.leaves(outputs), dims, strict=True)
    ones = [o if d is None else wrap(build.example(o.node, level, d % o.ndim)) for o, d in pairs]
    return tree.filled(outputs, ones)
