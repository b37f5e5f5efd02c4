"""torch.backends: settings of the libraries behind torch. They hold what they are set to and change nothing."""

from lazygrad.backends import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp
