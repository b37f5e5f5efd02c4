"""torch.version: which lazygrad this is. `cuda` is None: CuPy brings its own, whatever it is."""

__version__ = "0.1.0"
cuda = None
hip = None
debug = False
