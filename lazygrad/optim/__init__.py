"""torch.optim."""

from lazygrad.optim import lr_scheduler
from lazygrad.optim.adam import Adam, Adamax, AdamW, NAdam, RAdam
from lazygrad.optim.adaptive import Adadelta, Adagrad, RMSprop
from lazygrad.optim.optimizer import Optimizer
from lazygrad.optim.sgd import SGD, Lion, Rprop
