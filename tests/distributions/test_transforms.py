"""Transforms, what they make of distributions, mixtures, gamma draws and divergences: beside torch's."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch

import lazygrad as lg
from lazygrad.distributions.gamma_draws import _slope
from tests.distributions.families import INSIDE, OTHER, POSITIVE, REAL, SIMPLEX, UNIT, WEIGHTS
from tests.support import compare, to_numpy

VALUES = np.random.default_rng(2).normal(size=(4, 3, 2))
SIX = np.random.default_rng(3).normal(size=(4, 6))
MATRIX = np.random.default_rng(4).normal(size=(2, 3, 3))


def agree(got, want, what):
    compare(got, want, "float64", what=what)


# name: (the transform, values of x, whether it has a Jacobian)
TRANSFORMS = {
    "exp": (lambda d, t: d.ExpTransform(), VALUES, True),
    "softplus": (lambda d, t: d.SoftplusTransform(), VALUES, True),
    "sigmoid": (lambda d, t: d.SigmoidTransform(), VALUES, True),
    "tanh": (lambda d, t: d.TanhTransform(), VALUES, True),
    "power": (lambda d, t: d.PowerTransform(t(OTHER)), np.exp(VALUES), True),
    "affine": (lambda d, t: d.AffineTransform(t(REAL), t(-POSITIVE)), VALUES, True),
    "affine-numbers": (lambda d, t: d.AffineTransform(1.5, -2.0), VALUES, True),
    "affine-events": (lambda d, t: d.AffineTransform(t(REAL), 2.0, event_dim=1), VALUES, True),
    "abs": (lambda d, t: d.AbsTransform(), np.abs(VALUES), False),
    "cdf": (lambda d, t: d.CumulativeDistributionTransform(d.Normal(t(REAL), 1.5)), VALUES, True),
    "inverse": (lambda d, t: d.ExpTransform().inv, np.exp(VALUES), True),
    "chain": (lambda d, t: d.ComposeTransform([d.AffineTransform(0.5, 2.0), d.TanhTransform()]), VALUES * 0.3, True),
    "chain-events": (lambda d, t: d.ComposeTransform([d.ExpTransform(), d.StickBreakingTransform()]), VALUES, True),
    "chain-inverse": (lambda d, t: d.ComposeTransform([d.AffineTransform(2.0, 3.0), d.ExpTransform()]).inv, np.exp(VALUES), True),
    "identity": (lambda d, t: d.identity_transform, VALUES, True),
    "independent": (lambda d, t: d.IndependentTransform(d.ExpTransform(), 1), VALUES, True),
    "reshape": (lambda d, t: d.ReshapeTransform((3, 2), (6,)), VALUES, True),
    "softmax": (lambda d, t: d.SoftmaxTransform(), VALUES, False),
    "stick": (lambda d, t: d.StickBreakingTransform(), VALUES, True),
    "lower": (lambda d, t: d.LowerCholeskyTransform(), MATRIX, False),
    "positive-definite": (lambda d, t: d.PositiveDefiniteTransform(), MATRIX, False),
    "correlations": (lambda d, t: d.CorrCholeskyTransform(), SIX, True),
    "cat": (lambda d, t: d.CatTransform([d.ExpTransform(), d.TanhTransform()], dim=0, lengths=[1, 3]), VALUES, True),
    "stack": (lambda d, t: d.StackTransform([d.ExpTransform(), d.TanhTransform()], dim=-1), VALUES, True),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms(name):
    make, values, jacobian = TRANSFORMS[name]
    found = []
    for T in (torch, lg):
        transform = make(T.distributions, T.tensor)
        x = T.tensor(values, requires_grad=True)
        y = transform(x)
        back = transform.inv(y)
        parts = [y, back]
        if jacobian:
            parts.append(transform.log_abs_det_jacobian(x, y))
        total = sum((part * part).sum() for part in parts)
        shapes = transform.forward_shape(x.shape), transform.inverse_shape(y.shape)
        parts += T.autograd.grad(total, [x])
        found.append((parts, [tuple(s) for s in shapes]))
        assert transform.bijective == (name in BIJECTIVE)
    assert transform.inv.inv == transform
    assert name == "cdf" or transform == make(lg.distributions, lg.tensor)  # two distributions are never equal
    (wanted, their_shapes), (got, my_shapes) = found
    assert my_shapes == their_shapes
    for want, mine in zip(wanted, got, strict=True):
        np.testing.assert_allclose(to_numpy(mine), to_numpy(want), rtol=1e-7, atol=1e-7)
        assert tuple(mine.shape) == tuple(want.shape)
    theirs, mine = (make(T.distributions, T.tensor) for T in (torch, lg))
    assert mine.domain.event_dim == theirs.domain.event_dim
    assert mine.codomain.event_dim == theirs.codomain.event_dim


BIJECTIVE = set(TRANSFORMS) - {"abs", "softmax", "lower", "positive-definite"}


def test_a_cache_gives_back_what_a_value_was_made_of():
    d = lg.distributions
    x = lg.tensor([20.0, 0.5])
    assert math.isinf(d.TanhTransform().inv(d.TanhTransform()(x))[0].item())
    transform = d.TanhTransform(cache_size=1)
    assert transform.inv(transform(x)) is x
    policy = d.TransformedDistribution(d.Normal(lg.zeros(2), 30.0), [d.TanhTransform(cache_size=1)])
    assert policy.log_prob(policy.rsample()).isfinite().all().item()
    assert pickle.loads(pickle.dumps(transform)) == transform
    with pytest.raises(ValueError, match="cache_size"):
        d.ExpTransform(cache_size=2)


MADE = {
    "log-normal": lambda d, t: (d.TransformedDistribution(d.Normal(t(REAL), t(POSITIVE)), d.ExpTransform()), np.exp(VALUES)),
    "falling": lambda d, t: (d.TransformedDistribution(d.Normal(t(REAL), t(POSITIVE)), [d.AffineTransform(1.0, -2.0)]), VALUES),
    "squashed": lambda d, t: (d.TransformedDistribution(d.Uniform(t(REAL * 0), 1.0), [d.SigmoidTransform().inv, d.AffineTransform(0.3, 2.0)]), VALUES),
    "stick": lambda d, t: (d.TransformedDistribution(d.Normal(t(REAL), t(POSITIVE)), [d.StickBreakingTransform()]), SIMPLEX[:, :, 0, :3] / SIMPLEX[:, :, 0, :3].sum(-1, keepdims=True)),
    "widened": lambda d, t: (d.TransformedDistribution(d.Normal(0.0, 1.0), [d.AffineTransform(t(REAL), 2.0)]), VALUES),
    "events": lambda d, t: (d.TransformedDistribution(d.Independent(d.Normal(t(REAL), 1.0), 1), [d.ExpTransform()]), np.exp(VALUES)),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_transformed_distributions(name):
    (theirs, values), (mine, _) = (MADE[name](T.distributions, lambda v, T=T: T.tensor(v.copy())) for T in (torch, lg))
    assert tuple(mine.batch_shape) == tuple(theirs.batch_shape) and tuple(mine.event_shape) == tuple(theirs.event_shape)
    x, y = torch.tensor(values), lg.tensor(values)
    if name == "widened":
        theirs, mine = theirs.expand((4, 3, 2)), mine.expand((4, 3, 2))
    compare(mine.log_prob(y), theirs.log_prob(x), str(theirs.log_prob(x).dtype)[6:], what=name)
    if name in ("log-normal", "falling"):
        agree(mine.cdf(y), theirs.cdf(x), "cdf")
        agree(mine.icdf(lg.tensor(UNIT)), theirs.icdf(torch.tensor(UNIT)), "icdf")
    assert mine.has_rsample and tuple(mine.rsample((5,)).shape) == tuple(theirs.rsample((5,)).shape)
    assert mine.support.check(mine.sample((5,))).all()


def test_registry():
    for registry in ("biject_to", "transform_to"):
        for make in (
            lambda c: c.positive,
            lambda c: c.unit_interval,
            lambda c: c.greater_than(2.0),
            lambda c: c.less_than(-1.0),
            lambda c: c.interval(-1.0, 3.0),
            lambda c: c.simplex,
            lambda c: c.real_vector,
            lambda c: c.independent(c.positive, 1),
            lambda c: c.stack([c.positive, c.real], -1),
        ):
            found = []
            for T in (torch, lg):
                constraint = make(T.distributions.constraints)
                found.append(getattr(T.distributions, registry)(constraint)(T.tensor(VALUES)))
                assert constraint.check(found[-1]).all()
            agree(found[1], found[0], repr(constraint))
    with pytest.raises(NotImplementedError, match="none is registered"):
        lg.distributions.biject_to(lg.distributions.constraints.boolean)
    with pytest.raises(TypeError):
        lg.distributions.biject_to.register(3, len)


def test_mixtures():
    found = []
    for T in (torch, lg):
        d, t = T.distributions, T.tensor
        choice = d.Categorical(t(WEIGHTS[:, 0]))
        parts = d.Normal(t(np.repeat(REAL, 2, 1)), t(np.repeat(POSITIVE, 2, 1)))
        flat = d.MixtureSameFamily(choice, parts)
        x = t(VALUES[:, :, 0])
        vectors = d.Independent(d.Normal(t(VALUES[:, :, None].repeat(4, 2) * WEIGHTS.swapaxes(1, 2)), 1.0), 1)
        wide = d.MixtureSameFamily(d.Categorical(t(WEIGHTS[:, 0])).expand((4, 3)), vectors)
        found.append([flat.log_prob(x), flat.cdf(x), flat.mean, flat.variance, wide.log_prob(t(VALUES)), wide.mean])
        assert tuple(flat.sample((7,)).shape) == (7, 3) and tuple(wide.sample((7,)).shape) == (7, 4, 3, 2)
        assert tuple(flat.expand((2, 3)).log_prob(x[:2]).shape) == (2, 3)
        with pytest.raises(ValueError):
            d.MixtureSameFamily(parts, choice)
        with pytest.raises(ValueError):
            d.MixtureSameFamily(d.Categorical(T.ones(3)), parts)
    for want, got in zip(*found, strict=True):
        agree(got, want, "mixture")


# -- gamma draws ---------------------------------------------------------------------------------------
SHAPES = np.exp(np.linspace(math.log(0.1), math.log(500), 400))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gamma_draws_move_with_their_shape(dtype):
    """torch's own derivative is an approximation: the worst of it lies at small shapes."""
    torch.manual_seed(0)
    a = torch.tensor(SHAPES)
    z = torch._standard_gamma(a).clamp(min=1e-20)
    want = torch._standard_gamma_grad(a, z).numpy()
    got = to_numpy(_slope(*(lg.tensor(v.numpy()).to(getattr(lg, dtype)) for v in (a, z))))
    error = np.abs(got - want) / np.abs(want)
    assert error.max() < 0.02 and np.median(error) < 1e-4


@pytest.mark.parametrize("shape", [0.3, 1.0, 4.0, 60.0])
def test_gamma_draws_and_their_gradient_have_the_right_means(shape):
    """E[x] = a / b, so that the gradients of draws have means 1 / b and -a / b^2."""
    lg.manual_seed(1)
    a, b = lg.tensor(shape, requires_grad=True), lg.tensor(2.0, requires_grad=True)
    drawn = lg.distributions.Gamma(a, b).rsample((20000,))
    (da, db) = lg.autograd.grad(drawn.mean(), [a, b])
    assert drawn.mean().item() == pytest.approx(shape / 2, rel=0.06)
    assert da.item() == pytest.approx(0.5, rel=0.06)
    assert db.item() == pytest.approx(-shape / 4, rel=0.06)


def test_gradients_of_beta_and_dirichlet_draws():
    lg.manual_seed(2)
    a = lg.tensor([0.8, 2.0, 3.0], requires_grad=True)
    weight = lg.tensor([1.0, -1.0, 0.5])
    (got,) = lg.autograd.grad((lg.distributions.Dirichlet(a).rsample((20000,)) * weight).sum(-1).mean(), [a])
    (want,) = lg.autograd.grad((lg.distributions.Dirichlet(a).mean * weight).sum(), [a])
    np.testing.assert_allclose(to_numpy(got), to_numpy(want), atol=0.01)
    p, q = lg.tensor(0.7, requires_grad=True), lg.tensor(1.8, requires_grad=True)
    beta = lg.distributions.Beta(p, q)
    got = lg.autograd.grad(beta.rsample((20000,)).mean(), [p, q])
    want = lg.autograd.grad(beta.mean, [p, q])
    np.testing.assert_allclose([g.item() for g in got], [w.item() for w in want], atol=0.01)


def test_gamma_draws_in_a_kernel(backend):
    lg.manual_seed(3)
    drawn = lg.distributions.Gamma(lg.tensor([0.2, 1.0, 9.0]), 1.0, validate_args=False).sample((500,))
    np.testing.assert_allclose(drawn.mean(0).numpy(force=True), [0.2, 1.0, 9.0], rtol=0.35)
    assert (drawn > 0).all().item()


# -- divergences ---------------------------------------------------------------------------------------
KINDS = {
    "Normal": lambda d, a, b: d.Normal(a - 1.0, b),
    "Laplace": lambda d, a, b: d.Laplace(a - 1.0, b),
    "Gumbel": lambda d, a, b: d.Gumbel(a - 1.0, b),
    "Cauchy": lambda d, a, b: d.Cauchy(a - 1.0, b),
    "Exponential": lambda d, a, b: d.Exponential(a),
    "Gamma": lambda d, a, b: d.Gamma(a, b),
    "Beta": lambda d, a, b: d.Beta(a, b),
    "Dirichlet": lambda d, a, b: d.Dirichlet(a),
    "Pareto": lambda d, a, b: d.Pareto(a, b),
    "Binomial": lambda d, a, b: d.Binomial(7, logits=a - b),
    "Uniform": lambda d, a, b: d.Uniform(a, a + b),
    "Transformed": lambda d, a, b: d.TransformedDistribution(d.Normal(a, b), [d.ExpTransform()]),
}
PAIRS = [(k, k) for k in KINDS if k not in ("Normal", "Laplace", "Exponential", "Uniform")] + [
    ("Exponential", "Gamma"),
    ("Gamma", "Exponential"),
    ("Laplace", "Normal"),
    ("Gumbel", "Normal"),
    ("Exponential", "Normal"),
    ("Gamma", "Normal"),
    ("Normal", "Laplace"),
    ("Normal", "Gumbel"),
    ("Exponential", "Gumbel"),
    ("Gamma", "Gumbel"),
    ("Uniform", "Exponential"),
    ("Uniform", "Gamma"),
]


@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_divergences(p, q):
    found = []
    for T in (torch, lg):
        leaves = [T.tensor(v.copy(), requires_grad=True) for v in (POSITIVE, OTHER, OTHER[::-1], POSITIVE[::-1])]
        first, second = KINDS[p](T.distributions, *leaves[:2]), KINDS[q](T.distributions, *leaves[2:])
        value = T.distributions.kl_divergence(first, second)
        finite = value.masked_fill(~value.isfinite(), 0.0).sum()
        grads = T.autograd.grad(finite, leaves, allow_unused=True)
        found.append((value, [T.zeros_like(leaf) if g is None else g for g, leaf in zip(grads, leaves, strict=True)]))
    (want, their_grads), (got, my_grads) = found
    agree(got, want, f"{p} {q}")
    for theirs, mine in zip(their_grads, my_grads, strict=True):
        if np.isfinite(to_numpy(theirs)).all():  # torch's own has NaN where the divergence is infinite
            np.testing.assert_allclose(to_numpy(mine), to_numpy(theirs), rtol=1e-8, atol=1e-8)


def test_entropy_of_multinomials():
    """torch keeps the count in float32."""
    theirs, mine = (T.distributions.Multinomial(5, T.tensor(WEIGHTS)).entropy() for T in (torch, lg))
    np.testing.assert_allclose(to_numpy(mine), to_numpy(theirs), rtol=1e-6)


def test_mode_of_kumaraswamy_is_the_highest_point():
    made = lg.distributions.Kumaraswamy(lg.tensor(2.5), lg.tensor(3.0))
    grid = lg.linspace(0.001, 0.999, 999)
    assert grid[made.log_prob(grid).argmax()].item() == pytest.approx(made.mode.item(), abs=1e-3)
    assert lg.distributions.Kumaraswamy(0.5, 3.0).mode.isnan().item()


def test_constraints():
    values = [np.tril(MATRIX), MATRIX, MATRIX @ MATRIX.swapaxes(-1, -2), np.eye(3), INSIDE[0], np.ones((2, 3))]
    names = "lower_triangular square positive_semidefinite corr_cholesky half_open_interval multinomial"
    for name in names.split():
        for value in values:
            if value.shape[-1] != value.shape[-2] and name in ("positive_semidefinite", "corr_cholesky"):
                continue
            got = []
            for T in (torch, lg):
                found = getattr(T.distributions.constraints, name)
                if name == "half_open_interval":
                    found = found(0.0, 1.0)
                if name == "multinomial":
                    found = found(3)
                got.append(found.check(T.tensor(value)))
            compare(got[1], got[0], "bool", what=f"{name} of {value}")
