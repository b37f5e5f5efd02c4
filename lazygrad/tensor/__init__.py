"""The user's Tensor: the mixins put together."""

from __future__ import annotations

from lazygrad.absent import add_absent_methods
from lazygrad.ir.node import Node
from lazygrad.tensor.activation import Activation
from lazygrad.tensor.aliases import add_aliases
from lazygrad.tensor.as_strided import AsStrided
from lazygrad.tensor.assembly import Assembly
from lazygrad.tensor.autograd import Autograd
from lazygrad.tensor.bessel import Bessel
from lazygrad.tensor.calculus import Calculus
from lazygrad.tensor.conversion import Conversion
from lazygrad.tensor.core import register_tensor_class, wrap
from lazygrad.tensor.creation import NewLike
from lazygrad.tensor.decompositions import Decompositions
from lazygrad.tensor.elementwise import Elementwise
from lazygrad.tensor.factorizations import Factorizations
from lazygrad.tensor.floats import Floats
from lazygrad.tensor.gamma import Gamma
from lazygrad.tensor.histograms import Histograms
from lazygrad.tensor.history import History
from lazygrad.tensor.indexing import Indexing
from lazygrad.tensor.inplace import InPlace
from lazygrad.tensor.interop import Interop
from lazygrad.tensor.keywords import name_arguments
from lazygrad.tensor.leaves import Leaves
from lazygrad.tensor.legacy import constructed
from lazygrad.tensor.linalg import Linalg
from lazygrad.tensor.movement import Movement
from lazygrad.tensor.operators import Operators
from lazygrad.tensor.properties import Properties
from lazygrad.tensor.reduce import Reduce
from lazygrad.tensor.sampling import Sampling
from lazygrad.tensor.scan import Scan
from lazygrad.tensor.selection import Selection
from lazygrad.tensor.sort import Sorting
from lazygrad.tensor.special import Special
from lazygrad.tensor.statistics import Statistics
from lazygrad.tensor.subclass import Subclassing
from lazygrad.tensor.windowed import Windowed


class Tensor(
    Elementwise,
    Special,
    Gamma,
    Bessel,
    Floats,
    Activation,
    Reduce,
    Scan,
    Sorting,
    Statistics,
    Histograms,
    Calculus,
    Linalg,
    Factorizations,
    Decompositions,
    Movement,
    Windowed,
    AsStrided,
    Assembly,
    Indexing,
    Selection,
    Sampling,
    InPlace,
    Operators,
    Autograd,
    Leaves,
    History,
    Properties,
    Conversion,
    NewLike,
    Interop,
    Subclassing,
):
    """An n-dimensional array whose value is computed when it is needed. See torch.Tensor."""

    __slots__ = ("__dict__",)  # a user's own attributes

    @staticmethod
    def _wrapped(node: Node) -> Tensor:
        return wrap(node)


name_arguments(Tensor)
add_aliases(Tensor)
add_absent_methods(Tensor)
register_tensor_class(Tensor, lambda *data: constructed(data).node)
