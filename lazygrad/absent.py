"""What torch has and lazygrad can't follow: each name is there, and says so when it is used."""

from __future__ import annotations

from typing import Any, NoReturn

from lazygrad.errors import at_user_line


def _absent(name: str, what: str) -> Any:
    def function(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(at_user_line(f"{name}(): {what}"))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"NotImplementedError: {what}."
    return function


_COMPLEX = "lazygrad has no complex numbers; keep real and imaginary parts in a last dimension of size 2"
_SPARSE = "lazygrad has no sparse layouts; every tensor is dense (.to_dense() of torch's, then lazygrad.tensor)"
_QUANTIZED = "lazygrad has no quantized dtypes"
_BESSEL = "of Bessel's functions lazygrad has special.i0, i0e, i1 and i1e only"
_EIG = (
    "eigenvalues of a general matrix are complex, and lazygrad has no complex numbers; eigh and eigvalsh do symmetric"
)
_LDL = "there is no such factorization; use cholesky, eigh or lu_factor, or solve right away"
_RAW_QR = "there is no QR in reflections; use linalg.qr, whose Q is a matrix"

complex = _absent("complex", _COMPLEX)
polar = _absent("polar", _COMPLEX)
view_as_complex = _absent("view_as_complex", _COMPLEX)
view_as_real = _absent("view_as_real", _COMPLEX)
stft = _absent("stft", _COMPLEX)
istft = _absent("istft", _COMPLEX)
sparse_coo_tensor = _absent("sparse_coo_tensor", _SPARSE)
sparse_csr_tensor = _absent("sparse_csr_tensor", _SPARSE)
sparse_csc_tensor = _absent("sparse_csc_tensor", _SPARSE)
sparse_bsr_tensor = _absent("sparse_bsr_tensor", _SPARSE)
sparse_bsc_tensor = _absent("sparse_bsc_tensor", _SPARSE)
quantize_per_tensor = _absent("quantize_per_tensor", _QUANTIZED)
quantize_per_channel = _absent("quantize_per_channel", _QUANTIZED)
eig = _absent("linalg.eig", _EIG)
eigvals = _absent("linalg.eigvals", _EIG)
ldl_factor = _absent("linalg.ldl_factor", _LDL)
ldl_factor_ex = _absent("linalg.ldl_factor_ex", _LDL)
ldl_solve = _absent("linalg.ldl_solve", _LDL)
geqrf = _absent("geqrf", _RAW_QR)
ormqr = _absent("ormqr", _RAW_QR)
functionalize = _absent(
    "func.functionalize", "what is traced here holds no writes in place: the function is one already"
)
lobpcg = _absent("lobpcg", "there is no iteration for a few eigenvalues; use linalg.eigh")

airy_ai = _absent("airy_ai", _BESSEL)
bessel_j0 = _absent("bessel_j0", _BESSEL)
bessel_j1 = _absent("bessel_j1", _BESSEL)
bessel_y0 = _absent("bessel_y0", _BESSEL)
bessel_y1 = _absent("bessel_y1", _BESSEL)
modified_bessel_k0 = _absent("modified_bessel_k0", _BESSEL)
modified_bessel_k1 = _absent("modified_bessel_k1", _BESSEL)
scaled_modified_bessel_k0 = _absent("scaled_modified_bessel_k0", _BESSEL)
scaled_modified_bessel_k1 = _absent("scaled_modified_bessel_k1", _BESSEL)

# why a name that could only be asked for as an attribute isn't there
REASONS = {
    **dict.fromkeys(("complex32", "complex64", "complex128", "chalf", "cfloat", "cdouble", "fft"), _COMPLEX),
    **dict.fromkeys(("sparse", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc"), _SPARSE),
    **dict.fromkeys(("quantization", "qint8", "quint8", "qint32"), _QUANTIZED),
    **dict.fromkeys(("uint16", "uint32", "uint64"), "its unsigned dtype is uint8; use int32 or int64"),
    **dict.fromkeys(("float8_e4m3fn", "float8_e5m2"), "its narrowest floating dtypes are float16 and bfloat16"),
    **dict.fromkeys(("jit", "onnx", "fx", "export"), "lazygrad runs Python: there is no program to script or export"),
}


def missing(name: str) -> NoReturn:
    """AttributeError that says why lazygrad has no such name, where there is a reason."""
    reason = f": {REASONS[name]}" if name in REASONS else ""
    raise AttributeError(at_user_line(f"module 'lazygrad' has no attribute {name!r}{reason}"))


_STORAGE = "values live in buffers that plans share; use clone(), copy_() or data_ptr() instead"
METHODS = {
    **dict.fromkeys(("to_sparse", "to_sparse_coo", "to_sparse_csr", "coalesce", "sparse_mask"), _SPARSE),
    **dict.fromkeys(("cfloat", "cdouble", "chalf", "stft", "istft"), _COMPLEX),
    **dict.fromkeys(("storage", "untyped_storage", "set_"), _STORAGE),
    **dict.fromkeys(("geqrf", "ormqr"), _RAW_QR),
    **dict.fromkeys(("q_scale", "dequantize", "int_repr"), _QUANTIZED),
}


def add_absent_methods(cls: Any) -> None:
    """Give the class every method that says why it can't be followed."""
    for name, reason in METHODS.items():
        setattr(cls, name, _absent(name, reason))
