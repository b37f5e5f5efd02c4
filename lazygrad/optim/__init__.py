"""torch.optim."""

from lazygrad.optim import lr_scheduler, swa_utils
from lazygrad.optim.adafactor import Adafactor
from lazygrad.optim.adam import Adam, Adamax, AdamW, NAdam, RAdam
from lazygrad.optim.adaptive import ASGD, Adadelta, Adagrad, RMSprop
from lazygrad.optim.lbfgs import LBFGS
from lazygrad.optim.muon import Muon
from lazygrad.optim.optimizer import Optimizer
from lazygrad.optim.sgd import SGD, Lion, Rprop
from lazygrad.optim.sparse_adam import SparseAdam
