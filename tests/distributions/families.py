"""Rows of the table of distributions: those made of gamma draws, of inversions, of trials and relaxations."""

from __future__ import annotations

import numpy as np

RNG = np.random.default_rng(1)
REAL = RNG.normal(size=(3, 2))
POSITIVE = RNG.uniform(0.4, 3.0, (3, 2))
OTHER = RNG.uniform(0.5, 2.5, (3, 2))
UNIT = RNG.uniform(0.1, 0.9, (3, 2))
RIGHT = RNG.uniform(0.3, 1.5, (4, 3, 2))
INSIDE = RNG.uniform(0.05, 0.95, (4, 3, 2))
COUNTS = RNG.integers(0, 6, (4, 3, 2)).astype(np.float64)
WEIGHTS = RNG.uniform(0.1, 1.0, (3, 2, 4))
SIMPLEX = RNG.dirichlet(np.ones(4), (4, 3, 2))
MANY = RNG.multinomial(5, np.full(4, 0.25), (4, 3, 2)).astype(np.float64)
LARGE = POSITIVE + 4.5  # degrees of freedom at which all moments exist

ALL = "mean mode variance stddev entropy"
MOMENTS = "mean mode variance stddev"
# name: (class, parameters, values inside the support, what else it can be asked)
FAMILIES = {
    "gamma": ("Gamma", {"concentration": POSITIVE, "rate": OTHER}, RIGHT, f"{ALL} cdf"),
    "gamma-numbers": ("Gamma", {"concentration": POSITIVE[:, :1], "rate": 2.0}, RIGHT[0, :, :1], ALL),
    "chi2": ("Chi2", {"df": POSITIVE}, RIGHT, f"{ALL} cdf"),
    "inverse-gamma": ("InverseGamma", {"concentration": LARGE, "rate": OTHER}, RIGHT, f"{ALL} cdf"),
    "inverse-gamma-heavy": ("InverseGamma", {"concentration": LARGE - 0.5, "rate": OTHER}, RIGHT, ALL),
    "fisher": ("FisherSnedecor", {"df1": POSITIVE, "df2": LARGE * 4}, RIGHT, MOMENTS),
    "student": ("StudentT", {"df": LARGE * 2, "loc": REAL, "scale": POSITIVE}, RNG.normal(size=(4, 3, 2)), ALL),
    "dirichlet": ("Dirichlet", {"concentration": WEIGHTS * 4}, SIMPLEX, ALL),
    "beta": ("Beta", {"concentration1": POSITIVE, "concentration0": OTHER}, INSIDE, ALL),
    "weibull": ("Weibull", {"scale": POSITIVE, "concentration": OTHER + 1}, RIGHT, f"{ALL} cdf icdf"),
    "pareto": ("Pareto", {"scale": POSITIVE, "alpha": LARGE}, POSITIVE + RIGHT, f"{ALL} cdf icdf"),
    # without mode: torch's takes the log of a negative number
    "kumaraswamy": (
        "Kumaraswamy",
        {"concentration1": POSITIVE, "concentration0": OTHER},
        INSIDE,
        "mean variance stddev entropy cdf icdf",
    ),
    "half-cauchy": ("HalfCauchy", {"scale": POSITIVE}, RIGHT, f"{ALL} cdf icdf"),
    "binomial": ("Binomial", {"total_count": np.full((3, 2), 6.0), "probs": UNIT}, COUNTS, f"{ALL} logits"),
    "binomial-logits": ("Binomial", {"total_count": 6, "logits": REAL}, COUNTS, f"{ALL} probs"),
    "negative-binomial": ("NegativeBinomial", {"total_count": POSITIVE, "probs": UNIT}, COUNTS, f"{MOMENTS} logits"),
    "negative-binomial-logits": ("NegativeBinomial", {"total_count": 3, "logits": REAL}, COUNTS, f"{MOMENTS} probs"),
    "multinomial": ("Multinomial", {"total_count": 5, "probs": WEIGHTS}, MANY, "mean variance logits"),
    "multinomial-logits": ("Multinomial", {"total_count": 5, "logits": WEIGHTS}, MANY, "mean variance probs"),
    "relaxed-bernoulli": ("RelaxedBernoulli", {"temperature": np.array(0.7), "probs": UNIT}, INSIDE, "logits"),
    "relaxed-one-hot": ("RelaxedOneHotCategorical", {"temperature": np.array(0.7), "logits": WEIGHTS}, SIMPLEX, "probs"),
    "logistic-normal": ("LogisticNormal", {"loc": REAL, "scale": POSITIVE}, RNG.dirichlet(np.ones(3), (4, 3)), ""),
}
