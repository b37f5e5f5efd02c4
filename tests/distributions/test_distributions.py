"""Distributions against torch's: densities, moments, entropies, divergences, their gradients, draws, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad.distributions.constraints import Constraint
from tests.distributions.families import FAMILIES
from tests.support import compare, to_numpy

RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(3, 2))
POSITIVE = RNG.uniform(0.4, 2.0, (3, 2))
UNIT = RNG.uniform(0.1, 0.9, (3, 2))
RIGHT = RNG.uniform(0.3, 1.5, (4, 3, 2))
COUNTS = RNG.integers(0, 6, (4, 3, 2)).astype(np.float64)
BITS = RNG.integers(0, 2, (4, 3, 2)).astype(np.float64)
WEIGHTS = RNG.uniform(0.1, 1.0, (3, 2, 4))
PLACES = RNG.integers(0, 4, (4, 3, 2))
ONE_HOT = np.eye(4)[PLACES]
ROOT = np.tril(RNG.normal(size=(3, 2, 2))) * 0.5 + 1.5 * np.eye(2)
MATRIX = ROOT @ ROOT.swapaxes(-1, -2)

# name: (class, parameters, values inside the support, what else it can be asked)
ALL = "mean mode variance stddev entropy"
TABLE = {
    "normal": ("Normal", {"loc": REAL, "scale": POSITIVE}, RNG.normal(size=(4, 3, 2)), f"{ALL} cdf icdf"),
    "normal-broadcast": ("Normal", {"loc": REAL[:, :1], "scale": 0.7}, RNG.normal(size=(3, 1)), f"{ALL} cdf icdf"),
    "log-normal": ("LogNormal", {"loc": REAL, "scale": POSITIVE}, RIGHT, f"{ALL} cdf icdf"),
    "half-normal": ("HalfNormal", {"scale": POSITIVE}, RIGHT, f"{ALL} cdf icdf"),
    "laplace": ("Laplace", {"loc": REAL, "scale": POSITIVE}, RNG.normal(size=(4, 3, 2)), f"{ALL} cdf icdf"),
    "gumbel": ("Gumbel", {"loc": REAL, "scale": POSITIVE}, RNG.normal(size=(4, 3, 2)), f"{ALL} cdf icdf"),
    "cauchy": ("Cauchy", {"loc": REAL, "scale": POSITIVE}, RNG.normal(size=(4, 3, 2)), f"{ALL} cdf icdf"),
    "uniform": ("Uniform", {"low": REAL, "high": REAL + POSITIVE}, REAL + POSITIVE * 0.6, f"{ALL} cdf icdf"),
    "exponential": ("Exponential", {"rate": POSITIVE}, RIGHT, f"{ALL} cdf icdf"),
    "poisson": ("Poisson", {"rate": POSITIVE}, COUNTS, "mean mode variance stddev"),
    "bernoulli": ("Bernoulli", {"probs": UNIT}, BITS, f"{ALL} logits"),
    "bernoulli-logits": ("Bernoulli", {"logits": REAL}, BITS, f"{ALL} probs"),
    "geometric": ("Geometric", {"probs": UNIT}, COUNTS, f"{ALL} logits"),
    "geometric-logits": ("Geometric", {"logits": REAL}, COUNTS, f"{ALL} probs"),
    "categorical": ("Categorical", {"probs": WEIGHTS}, PLACES, f"{ALL} logits"),
    "categorical-logits": ("Categorical", {"logits": np.log(WEIGHTS)}, PLACES, f"{ALL} probs"),
    "one-hot": ("OneHotCategorical", {"probs": WEIGHTS}, ONE_HOT, f"{ALL} logits"),
    "one-hot-straight": ("OneHotCategoricalStraightThrough", {"logits": WEIGHTS}, ONE_HOT, f"{ALL} probs"),
    "mvn": (
        "MultivariateNormal",
        {"loc": REAL, "covariance_matrix": MATRIX},
        RNG.normal(size=(4, 3, 2)),
        f"{ALL} scale_tril precision_matrix",
    ),
    "mvn-root": (
        "MultivariateNormal",
        {"loc": REAL, "scale_tril": ROOT},
        RNG.normal(size=(4, 3, 2)),
        f"{ALL} covariance_matrix",
    ),
    "mvn-precision": (
        "MultivariateNormal",
        {"loc": REAL, "precision_matrix": MATRIX},
        RNG.normal(size=(4, 3, 2)),
        "mean variance entropy",
    ),
    **FAMILIES,
}


def both(name, requires_grad=False):
    """(torch's, lazygrad's) distribution, and their parameters."""
    kind, given, _, _ = TABLE[name]
    made = []
    for T in (torch, lg):
        parameters = {
            k: T.tensor(v, dtype=T.float64, requires_grad=requires_grad) if isinstance(v, np.ndarray) else v
            for k, v in given.items()
        }
        made.append((getattr(T.distributions, kind)(**parameters), list(parameters.values())))
    return made


def agree(got, want, what):
    """Equal up to float64's rounding: values, shape, dtype."""
    compare(got, want, "float64", what=what)


@pytest.mark.parametrize("name", TABLE)
def test_densities_and_moments(name):
    _, _, values, asked = TABLE[name]
    (theirs, _), (mine, _) = both(name)
    assert tuple(mine.batch_shape) == tuple(theirs.batch_shape)
    assert tuple(mine.event_shape) == tuple(theirs.event_shape)
    dtype = "float64" if values.dtype.kind == "f" else "int64"
    x, y = torch.tensor(values), lg.tensor(values, dtype=getattr(lg, dtype))
    agree(mine.log_prob(y), theirs.log_prob(x), f"{name}.log_prob")
    for attribute in asked.split():
        if attribute == "icdf":
            agree(mine.icdf(lg.tensor(UNIT[:, :1])), theirs.icdf(torch.tensor(UNIT[:, :1])), f"{name}.icdf")
            continue
        got, want = getattr(mine, attribute), getattr(theirs, attribute)
        if attribute == "cdf":
            agree(got(y), want(x), f"{name}.cdf")
        else:
            agree(got() if callable(got) else got, want() if callable(want) else want, f"{name}.{attribute}")


@pytest.mark.parametrize("name", TABLE)
def test_gradients_of_log_prob(name):
    _, _, values, _ = TABLE[name]
    found = []
    for T, (made, parameters) in zip((torch, lg), both(name, requires_grad=True), strict=True):
        leaves = [p for p in parameters if not isinstance(p, (int, float))]
        loss = made.log_prob(T.tensor(values)).sum() ** 2
        found.append(T.autograd.grad(loss, leaves))
    for want, got in zip(*found, strict=True):
        np.testing.assert_allclose(to_numpy(got), to_numpy(want), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", TABLE)
def test_expand(name):
    _, _, values, _ = TABLE[name]
    (theirs, _), (mine, _) = both(name)
    shape = (5, *theirs.batch_shape)
    theirs, mine = theirs.expand(shape), mine.expand(shape)
    assert tuple(mine.batch_shape) == shape and tuple(mine.event_shape) == tuple(theirs.event_shape)
    x, y = torch.tensor(values), lg.tensor(values)
    one = values.ndim - len(shape) - len(theirs.event_shape) + 1
    if one == 1:  # values had a dimension of their own: take its first
        x, y = x[0], y[0]
    agree(mine.log_prob(y), theirs.log_prob(x), name)
    assert tuple(mine.sample((2,)).shape) == tuple(theirs.sample((2,)).shape)


MANY = 20000


@pytest.mark.parametrize("name", TABLE)
def test_draws_have_the_moments_they_should(name):
    """Means and variances of many draws lie within six standard errors of the formulas."""
    kind, given, _, _ = TABLE[name]
    lg.manual_seed(3)
    (theirs, _), (mine, _) = both(name)
    drawn = mine.sample((MANY,))
    few = theirs.sample((2,))
    assert tuple(drawn.shape[1:]) == tuple(few.shape[1:])
    assert drawn.dtype.name == str(few.dtype).removeprefix("torch.")
    assert not drawn.requires_grad
    assert bool(mine.support.check(drawn).all())
    if kind in ("HalfCauchy", "RelaxedBernoulli", "RelaxedOneHotCategorical", "LogisticNormal"):
        return  # no moments, or none in torch
    if kind == "Cauchy":
        middle = np.median(to_numpy(drawn), axis=0)
        assert np.all(np.abs(middle - given["loc"]) < 6 * given["scale"] * math.pi / 2 / math.sqrt(MANY))
    elif kind == "Categorical":
        counts = np.eye(4)[to_numpy(drawn).astype(int)].mean(0)
        probs = to_numpy(mine.probs)
        assert np.all(np.abs(counts - probs) < 6 * np.sqrt(probs * (1 - probs) / MANY))
    else:
        mean, variance = to_numpy(mine.mean), to_numpy(mine.variance)
        found = to_numpy(drawn)
        spread = found.std(0) / math.sqrt(MANY)
        assert np.all(np.abs(found.mean(0) - mean) < 6 * spread), kind
        fourth = ((found - found.mean(0)) ** 4).mean(0)
        assert np.all(np.abs(found.var(0) - variance) < 6 * np.sqrt(fourth / MANY) + 1e-12), kind


IMPLICIT = {"Gamma", "Chi2", "InverseGamma", "FisherSnedecor", "StudentT", "Dirichlet", "Beta"}  # test_transforms.py
REPARAMETERIZED = [
    n for n, (k, *_) in TABLE.items() if getattr(torch.distributions, k).has_rsample and k not in IMPLICIT
]


@pytest.mark.parametrize("name", REPARAMETERIZED)
def test_rsample_is_a_function_of_the_parameters(name):
    """The gradient of a draw for a parameter is the difference quotient with the same random numbers."""
    kind, given, _, _ = TABLE[name]
    (_, _), (made, parameters) = both(name, requires_grad=True)
    assert made.has_rsample
    leaves = [p for p in parameters if isinstance(p, lg.Tensor)]
    weight = lg.tensor(RNG.normal(size=tuple(made._extended_shape((2,)))))

    def drawn(distribution):
        lg.manual_seed(11)
        return (distribution.rsample((2,)) * weight).sum()

    grads = lg.autograd.grad(drawn(made), leaves)
    if kind == "OneHotCategoricalStraightThrough":  # not the derivative of the draw, but that of the probabilities
        want = lg.autograd.grad((made.probs * weight).sum(), leaves)
        np.testing.assert_allclose(to_numpy(grads[0]), to_numpy(want[0]), atol=1e-10)
        return
    steps = [RNG.normal(size=tuple(leaf.shape)) for leaf in leaves]
    steps = [s + s.swapaxes(-1, -2) if "matri" in k else s for s, k in zip(steps, given, strict=False)]
    values = []
    for sign in (1e-6, -1e-6):
        moved = iter([leaf.detach() + sign * lg.tensor(s) for leaf, s in zip(leaves, steps, strict=True)])
        arguments = {k: next(moved) if isinstance(v, np.ndarray) else v for k, v in given.items()}
        values.append(drawn(getattr(lg.distributions, kind)(**arguments, validate_args=False)).item())
    slope = sum((to_numpy(g) * s).sum() for g, s in zip(grads, steps, strict=True))
    np.testing.assert_allclose(slope, (values[0] - values[1]) / 2e-6, rtol=1e-5, atol=1e-6)


PAIRS = [
    ("Normal", {"loc": REAL, "scale": POSITIVE}, {"loc": REAL[::-1], "scale": POSITIVE[::-1]}),
    ("LogNormal", {"loc": REAL, "scale": POSITIVE}, {"loc": REAL[::-1], "scale": POSITIVE[::-1]}),
    ("HalfNormal", {"scale": POSITIVE}, {"scale": POSITIVE[::-1]}),
    ("Laplace", {"loc": REAL, "scale": POSITIVE}, {"loc": REAL[::-1], "scale": POSITIVE[::-1]}),
    ("Exponential", {"rate": POSITIVE}, {"rate": POSITIVE[::-1]}),
    ("Poisson", {"rate": POSITIVE}, {"rate": POSITIVE[::-1]}),
    ("Uniform", {"low": REAL, "high": REAL + 1}, {"low": REAL - POSITIVE * 0.5, "high": REAL + 0.8 + POSITIVE * 0.5}),
    ("Bernoulli", {"probs": UNIT}, {"logits": REAL}),
    ("Bernoulli", {"probs": np.array([0.0, 1.0, 0.0, 0.5])}, {"probs": np.array([0.0, 1.0, 0.3, 1.0])}),
    ("Geometric", {"probs": UNIT}, {"probs": UNIT[::-1]}),
    ("Categorical", {"probs": WEIGHTS}, {"logits": WEIGHTS[::-1]}),
    ("OneHotCategorical", {"probs": WEIGHTS}, {"probs": WEIGHTS[::-1]}),
    (
        "MultivariateNormal",
        {"loc": REAL, "covariance_matrix": MATRIX},
        {"loc": REAL[::-1], "covariance_matrix": MATRIX[::-1]},
    ),
]


@pytest.mark.parametrize(("kind", "p", "q"), PAIRS, ids=[f"{i}-{p[0]}" for i, p in enumerate(PAIRS)])
def test_kl_divergence(kind, p, q):
    results = []
    for T in (torch, lg):
        sides = [
            {k: T.tensor(np.ascontiguousarray(v), dtype=T.float64, requires_grad=True) for k, v in side.items()}
            for side in (p, q)
        ]
        value = T.distributions.kl_divergence(*(getattr(T.distributions, kind)(**side) for side in sides))
        leaves = [t for side in sides for t in side.values()]
        finite = value.masked_fill(~value.isfinite(), 0.0)
        smooth = kind != "Bernoulli" or "logits" in q
        grads = T.autograd.grad(finite.sum(), leaves, allow_unused=True) if smooth else []
        results.append((value, grads))
    (want, their_grads), (got, my_grads) = results
    agree(got, want, kind)
    for theirs, mine in zip(their_grads, my_grads, strict=True):
        zero = np.zeros(1)
        want, got = (zero if g is None else to_numpy(g) for g in (theirs, mine))
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-8)


def test_kl_of_different_kinds_and_of_independents():
    values = []
    for T in (torch, lg):
        d = T.distributions
        low, high = T.tensor(REAL), T.tensor(REAL + POSITIVE)
        p = d.Independent(d.Normal(T.tensor(REAL), T.tensor(POSITIVE)), 1)
        q = d.Independent(d.Normal(T.tensor(REAL[::-1].copy()), T.tensor(POSITIVE)), 1)
        values.append((d.kl_divergence(p, q), d.kl_divergence(d.Uniform(low, high), d.Normal(low, 1.0))))
        with pytest.raises(NotImplementedError):
            d.kl_divergence(d.Normal(0.0, 1.0), d.LogNormal(0.0, 1.0))
    for want, got in zip(*values, strict=True):
        agree(got, want, "kl")


def test_a_registered_pair_serves_subclasses_nearest_first():
    d = lg.distributions

    class Mine(d.Normal):
        pass

    standard, mine = d.Normal(0.0, 1.0), Mine(0.0, 2.0)
    before = d.kl_divergence(mine, standard).item()
    assert before == d.kl_divergence(d.Normal(0.0, 2.0), standard).item()
    d.register_kl(Mine, d.Normal)(lambda p, q: p.loc * 0 + 42)
    assert d.kl_divergence(mine, standard).item() == 42
    assert d.kl_divergence(standard, mine).item() != 42
    with pytest.raises(TypeError):
        d.register_kl(int, d.Normal)


def test_independent():
    pairs = []
    for T in (torch, lg):
        base = T.distributions.Normal(T.tensor(REAL), T.tensor(POSITIVE))
        pairs.append(T.distributions.Independent(base, 1))
    theirs, mine = pairs
    assert tuple(mine.batch_shape) == (3,) and tuple(mine.event_shape) == (2,) and mine.has_rsample
    x = RNG.normal(size=(4, 3, 2))
    agree(mine.log_prob(lg.tensor(x)), theirs.log_prob(torch.tensor(x)), "log_prob")
    for name in ("mean", "variance", "stddev", "mode"):
        agree(getattr(mine, name), getattr(theirs, name), name)
    agree(mine.entropy(), theirs.entropy(), "entropy")
    assert tuple(mine.expand((5, 3)).log_prob(lg.tensor(x[0])).shape) == (5, 3)
    assert tuple(mine.rsample((7,)).shape) == (7, 3, 2)
    with pytest.raises(ValueError, match="reinterpreted_batch_ndims"):
        lg.distributions.Independent(mine, 2)


def test_numbers_give_scalars_of_the_default_dtype():
    for kind, arguments in (("Normal", (0.0, 1.0)), ("Uniform", (0, 2)), ("Bernoulli", (0.5,)), ("Exponential", (2.0,))):
        theirs, mine = (getattr(T.distributions, kind)(*arguments) for T in (torch, lg))
        assert tuple(mine.batch_shape) == ()
        compare(mine.mean, theirs.mean, "float32", what=kind)
        assert mine.sample().dtype is lg.float32 and tuple(mine.sample((2, 3)).shape) == (2, 3)


def test_enumerate_support():
    for name in ("bernoulli", "categorical", "one-hot"):
        (theirs, _), (mine, _) = both(name)
        for expand in (True, False):
            agree(mine.enumerate_support(expand), theirs.enumerate_support(expand), name)


def test_policy_gradient_is_that_of_torch():
    """What reinforcement learning does: log_prob of an action, times a return, backward."""
    grads = []
    for T in (torch, lg):
        logits = T.tensor(WEIGHTS[:, 0], requires_grad=True)
        policy = T.distributions.Categorical(logits=logits)
        loss = -(policy.log_prob(T.tensor(PLACES[0, :, 0])) * T.tensor(RIGHT[0, :, 0])).mean() - policy.entropy().mean()
        loss.backward()
        grads.append(to_numpy(logits.grad))
    np.testing.assert_allclose(grads[1], grads[0], rtol=1e-10)


BAD = {
    "scale": lambda T: T.distributions.Normal(T.zeros(2), T.tensor([1.0, -1.0])),
    "scale-number": lambda T: T.distributions.Normal(0.0, 0.0),
    "nan": lambda T: T.distributions.Normal(T.tensor([math.nan]), 1.0),
    "probs": lambda T: T.distributions.Bernoulli(T.tensor([0.5, 1.5])),
    "neither": lambda T: T.distributions.Bernoulli(),
    "both": lambda T: T.distributions.Categorical(T.ones(2), T.ones(2)),
    "0-d": lambda T: T.distributions.Categorical(T.tensor(1.0)),
    "simplex": lambda T: T.distributions.Categorical(T.tensor([0.5, -0.5, 1.0])),
    "low": lambda T: T.distributions.Uniform(T.tensor([0.0, 2.0]), T.tensor([1.0, 1.0])),
    "string": lambda T: T.distributions.Normal("0", 1.0),
    "covariance": lambda T: T.distributions.MultivariateNormal(T.zeros(2), T.tensor([[1.0, 2.0], [2.0, 1.0]])),
    "asymmetric": lambda T: T.distributions.MultivariateNormal(T.zeros(2), T.tensor([[1.0, 0.5], [0.0, 1.0]])),
    "root": lambda T: T.distributions.MultivariateNormal(T.zeros(2), scale_tril=T.ones(2, 2)),
    "forms": lambda T: T.distributions.MultivariateNormal(T.zeros(2)),
    "value-outside": lambda T: T.distributions.Bernoulli(0.5).log_prob(T.tensor(0.5)),
    "value-negative": lambda T: T.distributions.Exponential(1.0).log_prob(T.tensor(-1.0)),
    "value-category": lambda T: T.distributions.Categorical(T.ones(3)).log_prob(T.tensor(3)),
    "value-uniform": lambda T: T.distributions.Uniform(0.0, 1.0).log_prob(T.tensor(2.0)),
    "value-shape": lambda T: T.distributions.Normal(T.zeros(3), 1.0).log_prob(T.zeros(2)),
    "value-event": lambda T: T.distributions.OneHotCategorical(T.ones(3)).log_prob(T.zeros(2)),
    "value-one-hot": lambda T: T.distributions.OneHotCategorical(T.ones(3)).log_prob(T.ones(3)),
    "value-number": lambda T: T.distributions.Normal(0.0, 1.0).log_prob(1.0),
    "no-rsample": lambda T: T.distributions.Bernoulli(0.5).rsample(),
    "no-entropy": lambda T: T.distributions.Poisson(1.0).cdf(T.tensor(1.0)),
}


@pytest.mark.parametrize("name", BAD)
def test_errors_are_of_torchs_type_and_name_the_line(name):
    with pytest.raises(Exception) as want:
        BAD[name](torch)
    with pytest.raises(type(want.value)) as got:
        BAD[name](lg)
    if isinstance(got.value, ValueError):
        assert "test_distributions.py:" in str(got.value)


def test_validation_can_be_switched_off():
    lg.distributions.Normal(0.0, -1.0, validate_args=False)
    lg.distributions.Distribution.set_default_validate_args(False)
    try:
        unchecked = lg.distributions.Uniform(0.0, 1.0)
        assert unchecked.log_prob(lg.tensor(2.0)).item() == -math.inf
    finally:
        lg.distributions.Distribution.set_default_validate_args(True)
    with pytest.raises(ValueError):
        lg.distributions.Normal(0.0, -1.0)


def test_unchecked_distributions_compute_nothing():
    loc = lg.randn(3, requires_grad=True)
    made = lg.distributions.Normal(loc.tanh(), loc.exp(), validate_args=False)
    loss = made.log_prob(made.rsample()).sum()
    assert loss.node.computed is None and made.loc.node.computed is None


def test_constraints_agree_with_torch():
    names = "boolean one_hot nonnegative_integer positive_integer real real_vector positive nonnegative unit_interval "
    names += "simplex lower_cholesky symmetric positive_definite"
    values = [
        np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]),
        np.array([[2.0, 0.0], [0.0, 1.0]]),
        np.array([[1.0, math.nan], [math.inf, -1.0]]),
        MATRIX,
        ROOT,
    ]
    for name in names.split():
        theirs, mine = (getattr(T.distributions.constraints, name) for T in (torch, lg))
        assert isinstance(mine, Constraint) and mine.is_discrete == theirs.is_discrete, name
        assert mine.event_dim == theirs.event_dim, name
        for value in values:
            if mine.event_dim == 2 and value.shape[-1] != value.shape[-2]:
                continue
            if name in ("positive_definite", "lower_cholesky") and not np.isfinite(value).all():
                continue
            got, want = mine.check(lg.tensor(value)), theirs.check(torch.tensor(value))
            compare(got, want, "bool", what=f"{name} of {value}")


def test_repr():
    for T in (torch, lg):
        d = T.distributions
        assert repr(d.Normal(0.0, 1.0)) == "Normal(loc: 0.0, scale: 1.0)"
        assert repr(d.Independent(d.Normal(0.0, 1.0), 0)) == "Independent(Normal(loc: 0.0, scale: 1.0), 0)"
        assert repr(d.Categorical(T.ones(3))).startswith("Categorical(probs: ")
        assert repr(d.constraints.unit_interval) == "Interval(lower_bound=0.0, upper_bound=1.0)"
