"""torch's files of layers: torch.nn.modules.batchnorm is one of ours under the name that programs import from."""

from __future__ import annotations

import sys

from lazygrad.nn import containers, module, modules
from lazygrad.nn.modules import activation, convolution, embedding, layout, linear, normalization, recurrent, utils
from lazygrad.nn.modules.synchronized import SyncBatchNorm
from lazygrad.nn.modules.transformer import MultiheadAttention

FILES = {
    "batchnorm": normalization,
    "channelshuffle": layout,
    "container": containers,
    "conv": convolution,
    "distance": linear,
    "flatten": linear,
    "fold": layout,
    "instancenorm": normalization,
    "module": module,
    "padding": layout,
    "pixelshuffle": layout,
    "rnn": recurrent,
    "sparse": embedding,
    "upsampling": layout,
    "utils": utils,
}

for _name, _file in FILES.items():
    setattr(modules, _name, _file)
    sys.modules[f"{modules.__name__}.{_name}"] = _file

# layers that stand above the file in which torch has them
for _file, _layer in ((activation, MultiheadAttention), (normalization, SyncBatchNorm)):
    setattr(_file, _layer.__name__, _layer)
