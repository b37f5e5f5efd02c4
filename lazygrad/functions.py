"""Functions that are the methods themselves: lazygrad.sum(x, 1) is x.sum(1). One place lists them."""

from __future__ import annotations

from typing import Any

from lazygrad.tensor import Tensor
from lazygrad.tensor.keywords import function_of as _function_of
from lazygrad.tensor.keywords import refuse_out as _refuse_out

# pointwise
abs = Tensor.abs
absolute = Tensor.abs
acos = Tensor.acos
acosh = Tensor.acosh
add = Tensor.add
addcdiv = Tensor.addcdiv
addcmul = Tensor.addcmul
angle = Tensor.angle
arccos = Tensor.acos
arccosh = Tensor.acosh
arcsin = Tensor.asin
arcsinh = Tensor.asinh
arctan = Tensor.atan
arctan2 = Tensor.atan2
arctanh = Tensor.atanh
asin = Tensor.asin
asinh = Tensor.asinh
atan = Tensor.atan
atan2 = Tensor.atan2
atanh = Tensor.atanh
bitwise_and = Tensor.bitwise_and
bitwise_left_shift = Tensor.bitwise_left_shift
bitwise_not = Tensor.bitwise_not
bitwise_or = Tensor.bitwise_or
bitwise_right_shift = Tensor.bitwise_right_shift
bitwise_xor = Tensor.bitwise_xor
ceil = Tensor.ceil
clamp = Tensor.clamp
clamp_max = Tensor.clamp_max
clamp_min = Tensor.clamp_min
clip = Tensor.clip
conj = Tensor.conj
conj_physical = Tensor.conj_physical
copysign = Tensor.copysign
cos = Tensor.cos
cosh = Tensor.cosh
deg2rad = Tensor.deg2rad
digamma = Tensor.digamma
div = Tensor.div
divide = Tensor.div
erf = Tensor.erf
erfc = Tensor.erfc
erfinv = Tensor.erfinv
exp = Tensor.exp
exp2 = Tensor.exp2
expm1 = Tensor.expm1
fix = Tensor.trunc
floor = Tensor.floor
floor_divide = Tensor.floor_divide
fmax = Tensor.fmax
fmin = Tensor.fmin
fmod = Tensor.fmod
frac = Tensor.frac
frexp = Tensor.frexp
gcd = Tensor.gcd
heaviside = Tensor.heaviside
hypot = Tensor.hypot
i0 = Tensor.i0
igamma = Tensor.igamma
igammac = Tensor.igammac
lcm = Tensor.lcm
ldexp = Tensor.ldexp
lerp = Tensor.lerp
lgamma = Tensor.lgamma
log = Tensor.log
log10 = Tensor.log10
log1p = Tensor.log1p
log2 = Tensor.log2
logaddexp = Tensor.logaddexp
logaddexp2 = Tensor.logaddexp2
logical_and = Tensor.logical_and
logical_not = Tensor.logical_not
logical_or = Tensor.logical_or
logical_xor = Tensor.logical_xor
logit = Tensor.logit
masked_fill = Tensor.masked_fill
maximum = Tensor.maximum
minimum = Tensor.minimum
mul = Tensor.mul
multiply = Tensor.mul
mvlgamma = Tensor.mvlgamma
nan_to_num = Tensor.nan_to_num
neg = Tensor.neg
negative = Tensor.neg
nextafter = Tensor.nextafter
positive = Tensor.positive
rad2deg = Tensor.rad2deg
reciprocal = Tensor.reciprocal
relu = Tensor.relu
remainder = Tensor.remainder
round = Tensor.round
rsqrt = Tensor.rsqrt
rsub = Tensor.rsub
sgn = Tensor.sgn
sigmoid = Tensor.sigmoid
sign = Tensor.sign
signbit = Tensor.signbit
sin = Tensor.sin
sinc = Tensor.sinc
sinh = Tensor.sinh
softmax = Tensor.softmax
log_softmax = Tensor.log_softmax
sqrt = Tensor.sqrt
square = Tensor.square
sub = Tensor.sub
subtract = Tensor.sub
tan = Tensor.tan
tanh = Tensor.tanh
true_divide = Tensor.div
trunc = Tensor.trunc

# comparison
allclose = Tensor.allclose
eq = Tensor.eq
equal = Tensor.equal
ge = Tensor.ge
greater = Tensor.gt
greater_equal = Tensor.ge
gt = Tensor.gt
isclose = Tensor.isclose
isfinite = Tensor.isfinite
isinf = Tensor.isinf
isnan = Tensor.isnan
isneginf = Tensor.isneginf
isposinf = Tensor.isposinf
isreal = Tensor.isreal
le = Tensor.le
less = Tensor.lt
less_equal = Tensor.le
lt = Tensor.lt
ne = Tensor.ne
not_equal = Tensor.ne

# reductions and scans
all = Tensor.all
amax = Tensor.amax
amin = Tensor.amin
aminmax = Tensor.aminmax
any = Tensor.any
argmax = Tensor.argmax
argmin = Tensor.argmin
count_nonzero = Tensor.count_nonzero
cummax = Tensor.cummax
cummin = Tensor.cummin
cumprod = Tensor.cumprod
cumsum = Tensor.cumsum
diff = Tensor.diff
dist = Tensor.dist
logcumsumexp = Tensor.logcumsumexp
logsumexp = Tensor.logsumexp
max = Tensor.max
mean = Tensor.mean
median = Tensor.median
min = Tensor.min
mode = Tensor.mode
nanmean = Tensor.nanmean
nanmedian = Tensor.nanmedian
nanquantile = Tensor.nanquantile
nansum = Tensor.nansum
norm = Tensor.norm
prod = Tensor.prod
quantile = Tensor.quantile
std = Tensor.std
sum = Tensor.sum
var = Tensor.var

# order and statistics
argsort = Tensor.argsort
bincount = Tensor.bincount
corrcoef = Tensor.corrcoef
cov = Tensor.cov
cumulative_trapezoid = Tensor.cumulative_trapezoid
gradient = Tensor.gradient
histc = Tensor.histc
histogram = Tensor.histogram
kthvalue = Tensor.kthvalue
msort = Tensor.msort
renorm = Tensor.renorm
sort = Tensor.sort
topk = Tensor.topk
trapezoid = Tensor.trapezoid
unique = Tensor.unique
unique_consecutive = Tensor.unique_consecutive

# linear algebra
addbmm = Tensor.addbmm
addmm = Tensor.addmm
addmv = Tensor.addmv
addr = Tensor.addr
adjoint = Tensor.adjoint
baddbmm = Tensor.baddbmm
bmm = Tensor.bmm
cdist = Tensor.cdist
cross = Tensor.cross
dot = Tensor.dot
ger = Tensor.ger
cholesky = Tensor.cholesky
cholesky_inverse = Tensor.cholesky_inverse
cholesky_solve = Tensor.cholesky_solve
det = Tensor.det
inner = Tensor.inner
inverse = Tensor.inverse
kron = Tensor.kron
logdet = Tensor.logdet
lu = Tensor.lu
lu_solve = Tensor.lu_solve
matmul = Tensor.matmul
matrix_exp = Tensor.matrix_exp
matrix_power = Tensor.matrix_power
mm = Tensor.mm
spmm = Tensor.mm  # no layout is sparse: torch's for dense matrices
mv = Tensor.mv
orgqr = Tensor.orgqr
outer = Tensor.outer
pinverse = Tensor.pinverse
qr = Tensor.qr
slogdet = Tensor.slogdet
svd = Tensor.svd
trace = Tensor.trace
triangular_solve = Tensor.triangular_solve
vdot = Tensor.vdot

# shape
broadcast_to = Tensor.broadcast_to
as_strided = Tensor.as_strided
as_strided_scatter = Tensor.as_strided_scatter
chunk = Tensor.chunk
clone = Tensor.clone
detach = Tensor.detach
diag = Tensor.diag
diag_embed = Tensor.diag_embed
diagflat = Tensor.diagflat
diagonal = Tensor.diagonal
flatten = Tensor.flatten
flip = Tensor.flip
fliplr = Tensor.fliplr
flipud = Tensor.flipud
dsplit = Tensor.dsplit
hsplit = Tensor.hsplit
moveaxis = Tensor.moveaxis
movedim = Tensor.movedim
narrow = Tensor.narrow
numel = Tensor.numel
permute = Tensor.permute
ravel = Tensor.ravel
repeat_interleave = Tensor.repeat_interleave
reshape = Tensor.reshape
roll = Tensor.roll
rot90 = Tensor.rot90
select = Tensor.select
split = Tensor.split
split_with_sizes = Tensor.split
squeeze = Tensor.squeeze
swapaxes = Tensor.swapaxes
swapdims = Tensor.swapdims
t = Tensor.t
tensor_split = Tensor.tensor_split
tile = Tensor.tile
transpose = Tensor.transpose
tril = Tensor.tril
triu = Tensor.triu
unbind = Tensor.unbind
unflatten = Tensor.unflatten
unsafe_chunk = Tensor.chunk
unsafe_split = Tensor.split
unsafe_split_with_sizes = Tensor.split
unsqueeze = Tensor.unsqueeze
vsplit = Tensor.vsplit

# indexing
argwhere = Tensor.argwhere
diagonal_scatter = Tensor.diagonal_scatter
gather = Tensor.gather
index_add = Tensor.index_add
index_copy = Tensor.index_copy
index_fill = Tensor.index_fill
index_put = Tensor.index_put
index_reduce = Tensor.index_reduce
index_select = Tensor.index_select
masked_scatter = Tensor.masked_scatter
masked_select = Tensor.masked_select
put = Tensor.put
nonzero = Tensor.nonzero
scatter = Tensor.scatter
scatter_add = Tensor.scatter_add
scatter_reduce = Tensor.scatter_reduce
select_scatter = Tensor.select_scatter
slice_scatter = Tensor.slice_scatter
take = Tensor.take
take_along_dim = Tensor.take_along_dim

# sampling
multinomial = Tensor.multinomial

# about a tensor
is_complex = Tensor.is_complex
get_device = Tensor.get_device
is_conj = Tensor.is_conj
is_inference = Tensor.is_inference
is_neg = Tensor.is_neg
resolve_conj = Tensor.resolve_conj
resolve_neg = Tensor.resolve_neg
is_floating_point = Tensor.is_floating_point
is_nonzero = Tensor.is_nonzero
is_signed = Tensor.is_signed
is_same_size = Tensor.is_same_size

# in place: torch's functions of one tensor that also write to it
IN_PLACE = (
    "abs acos acosh addmv arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh ceil clamp clamp_max "
    "clamp_min clip cos cosh deg2rad detach erf erfc exp exp2 expm1 fill fix floor frac gcd i0 index_put lcm ldexp log "
    "log10 log1p log2 logit nan_to_num neg negative rad2deg reciprocal relu resize_as round rsqrt sigmoid sin sinc "
    "sinh sqrt square tan tanh trunc xlogy zero "
)
for _name in IN_PLACE.split():
    globals()[_name + "_"] = getattr(Tensor, _name + "_")

# methods as functions: what is self to them has a name
NUMBERS_TOO = (  # torch.add(2, x)
    "add bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor div divide floor_divide mul "
    "multiply remainder rsub sub subtract true_divide "
)
FIRST = {"cdist": "x1", "cumulative_trapezoid": "y", "trapezoid": "y"}  # for `input`
for _name, _method in list(globals().items()):
    if hasattr(Tensor, _name) and _method is getattr(Tensor, _name):
        globals()[_name] = _function_of(_method, FIRST.get(_name, "input"), _name in NUMBERS_TOO.split())
trapz = trapezoid


# torch's twins of views that share no memory
def _copying(name: str) -> Any:
    def function(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        _refuse_out(kwargs, name + "_copy")
        view = getattr(input, name)(*args, **kwargs)
        return tuple(v.clone() for v in view) if isinstance(view, tuple) else view.clone()

    function.__name__ = function.__qualname__ = name + "_copy"
    function.__doc__ = f"A copy of what {name}() views."
    return function


COPIES = (
    "as_strided detach diagonal expand narrow permute select split split_with_sizes squeeze t transpose unbind unfold "
    "unsqueeze view "
)
for _name in COPIES.split():
    globals()[_name + "_copy"] = _copying(_name)


def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor like `input` that holds one value."""
    return input.clone().fill_(value)
