"""Softmax over many classes of which few are frequent."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from lazygrad.dtype import DType
from lazygrad.errors import at_user_line
from lazygrad.nn import functional as F
from lazygrad.nn.containers import ModuleList, Sequential
from lazygrad.nn.module import Module
from lazygrad.nn.modules.linear import Linear
from lazygrad.tensor import Tensor
from lazygrad.tensor.assembly import cat


class ASMoutput(NamedTuple):
    """Each sample's log-probability of its target, and the mean of -output."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Grave et al. 2017: a head of the frequent classes and one entry for each cluster of rarer ones.

    Cluster i holds the classes from cutoffs[i] on and works in in_features / div_value^(i + 1) dimensions. Every
    cluster is computed for every sample: which samples need it is a value, and shapes don't depend on values here.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        bounds = list(cutoffs)
        if not bounds or bounds != sorted(set(bounds)) or bounds[0] <= 0 or bounds[-1] > n_classes - 1:
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where each "
                "value is between 1 and n_classes-1"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*bounds, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = bounds[0]
        self.n_clusters = len(bounds)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, head_bias, device, dtype)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(itertools.pairwise(self.cutoffs)):
            width = int(in_features // div_value ** (i + 1))
            first = Linear(in_features, width, False, device, dtype)
            self.tail.append(Sequential(first, Linear(width, high - low, False, device, dtype)))

    def reset_parameters(self) -> None:
        for module in (self.head, *(layer for cluster in self.tail for layer in cluster)):
            module.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> ASMoutput:
        """Input (N, in_features) or (in_features,), targets (N,) or 0-d. IndexError for a target that is no class."""
        if (input_.ndim, target_.ndim) not in ((2, 1), (1, 0)) or input_.shape[:-1] != target_.shape:
            raise RuntimeError(
                at_user_line(
                    f"Input (N, in_features) and target (N,) should have the same size in the batch dimension, got "
                    f"{list(input_.shape)} and {list(target_.shape)}"
                )
            )
        x, target = (input_, target_) if target_.ndim else (input_.unsqueeze(0), target_.unsqueeze(0))
        entry = target
        output = x.new_zeros(target.shape[0])
        for i, (low, high) in enumerate(itertools.pairwise(self.cutoffs)):
            inside = (target >= low) & (target < high) if high < self.n_classes else target >= low
            entry = entry.masked_fill(inside, self.shortlist_size + i)
            place = (target - low).masked_fill(inside.logical_not(), 0)
            local = F.log_softmax(self.tail[i](x), 1).gather(1, place.unsqueeze(1)).squeeze(1)
            output = output + local.masked_fill(inside.logical_not(), 0)
        output = output + F.log_softmax(self.head(x), 1).gather(1, entry.unsqueeze(1)).squeeze(1)
        loss = (-output).mean()
        return ASMoutput(output if target_.ndim else output.squeeze(0), loss)

    def log_prob(self, input: Tensor) -> Tensor:
        """(N, n_classes): the log-probabilities of all classes."""
        head = F.log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]
        for i, cluster in enumerate(self.tail):
            entry = head[:, self.shortlist_size + i].unsqueeze(1)
            parts.append(F.log_softmax(cluster(input), 1) + entry)
        return cat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:
        """(N,): the most probable class, looked for in the clusters where the head says so."""
        first = self.head(input).argmax(1)
        return first.where(first < self.shortlist_size, self.log_prob(input).argmax(1))
