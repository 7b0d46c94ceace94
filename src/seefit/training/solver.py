"""The convex problem behind the head: weighted multinomial logistic regression with a ridge penalty, by L-BFGS.

    minimise over W, b:   sum_i w_i CE(t_i, softmax(z_i W + b)) / sum_i w_i  +  strength / 2 · |W|²

z_i are standardised rows, t_i one-hot or soft targets. When there are fewer rows n than columns D the rows are
first rotated exactly into n columns: Z Zᵀ = L Lᵀ, so Z = L Qᵀ with orthonormal Q, and a ridge penalty does not see
a rotation. The minimum is that of scikit-learn's ``LogisticRegression(C = 1 / (strength · sum_i w_i))``; with two
classes, where scikit-learn fits one column instead of two, C is twice that.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Double = NDArray[np.float64]

SPREAD_FLOOR = 0.3  # of the median spread: what hardly varies is noise, and full standardisation would blow it up
MEMORY = 10  # corrections that L-BFGS keeps
MAX_ITERATIONS = 500
BLOCK = 2_048  # rows that one thread multiplies at a time


@dataclass(frozen=True)
class Standardised:
    """Mean and spread of each feature, small spreads raised to a floor; a constant feature is left out by a zero factor."""

    mean: Float
    factor: Float

    @classmethod
    def of(cls, features: Float) -> Standardised:
        """Measure the columns of (N, D) features, a block of rows at a time in float64."""
        return cls.of_blocks(features[start : start + 4096] for start in range(0, len(features), 4096))

    @classmethod
    def of_blocks(cls, blocks: Iterable[Float]) -> Standardised:
        """Measure the columns of features that come (n, D) at a time; at least one row."""
        count, total, squares = 0, np.zeros(1), np.zeros(1)
        for rows in blocks:
            block = rows.astype(np.float64)
            count += len(block)
            total = total + block.sum(0)
            squares = squares + (block * block).sum(0)
        mean = total / count
        variance = np.maximum(squares / count - mean**2, 0)
        spread = np.sqrt(variance)
        usable = spread > 1e-5 * (1 + np.abs(mean))
        floor = SPREAD_FLOOR * float(np.median(spread[usable])) if usable.any() else 1.0
        factor = np.where(usable, 1 / np.maximum(spread, floor), 0)
        return cls(mean.astype(np.float32), factor.astype(np.float32))

    def apply(self, features: Float) -> Float:
        """Return standardised features."""
        scaled = features - self.mean
        scaled *= self.factor
        return scaled

    def raw(self, weight: Double, bias: Double) -> tuple[Float, Float]:
        """Turn (D, C) weights and (C,) bias for standardised features into (C, D) and (C,) for raw ones."""
        raw = (weight * self.factor[:, None]).T
        return np.ascontiguousarray(raw, np.float32), (bias - raw @ self.mean.astype(np.float64)).astype(np.float32)


@dataclass(frozen=True)
class Rotation:
    """The exact rotation of n standardised rows in D > n columns into n columns."""

    rows: Float  # (n, n): what to fit on
    _standardised: Float
    _triangle: Double

    @classmethod
    def of(cls, standardised: Float) -> Rotation:
        """Rotate (n, D) rows.

        The product is taken in float64. Centred rows make it singular, and equal rows too: a hundred-millionth
        of its mean is added to the diagonal.
        """
        wide = standardised.astype(np.float64)
        gram = wide @ wide.T
        gram[np.diag_indices_from(gram)] += 1e-8 * np.trace(gram) / len(gram) + 1e-12
        triangle = np.asarray(np.linalg.cholesky(gram), np.float64)
        return cls(triangle.astype(np.float32), standardised, triangle)

    def back(self, weight: Double) -> Double:
        """Return the (D, C) weights that act on standardised rows as (n, C) ``weight`` acts on rotated ones."""
        from scipy.linalg import solve_triangular

        dual = solve_triangular(self._triangle, weight, lower=True, trans="T")
        return np.asarray(self._standardised.T @ np.asarray(dual, np.float32), np.float64)


@dataclass(frozen=True)
class Rows:
    """Rows to fit on: ready ones, or raw ones that are standardised inside the products and never copied.

    With a pool, blocks of rows are multiplied side by side: the same numbers come out whatever the number of threads, which the
    threads of the BLAS library itself do not promise.
    """

    array: Float
    scale: Standardised | None = None
    pool: Executor | None = None

    def times(self, weight: Float) -> Float:
        """Return rows · weight, (n, C)."""
        if self.scale is None:
            return self._product(weight)
        scaled = weight * self.scale.factor[:, None]
        return self._product(scaled) - self.scale.mean @ scaled

    def transposed_times(self, residual: Float) -> Float:
        """Return rowsᵀ · residual, (D, C)."""
        product = self._transposed_product(residual)
        if self.scale is None:
            return product
        return (product - np.outer(self.scale.mean, residual.sum(0))) * self.scale.factor[:, None]

    def _product(self, weight: Float) -> Float:
        if self.pool is None:
            return self.array @ weight
        return np.concatenate(list(self.pool.map(lambda block: self.array[block] @ weight, self._blocks())))

    def _transposed_product(self, residual: Float) -> Float:
        if self.pool is None:
            return self.array.T @ residual
        total = np.zeros((self.array.shape[1], residual.shape[1]), np.float32)
        for part in self.pool.map(lambda block: self.array[block].T @ residual[block], self._blocks()):
            total += part
        return total

    def _blocks(self) -> list[slice]:
        return [slice(start, start + BLOCK) for start in range(0, len(self.array), BLOCK)]


def minimise(rows: Rows, targets: Float, weights: Double, strength: float, start: Double, *, tolerance: float) -> Double:
    """Return the (D + 1, C) solution: weights on the rows and, last, the bias.

    Several problems that differ in their weights alone, such as folds, can be solved side by side: a product with many columns takes
    much less time than many with few. They share the steps, so the sum of their objectives decides when to stop.

    Args:
        rows: (n, D).
        targets: (n, C), rows summing to 1.
        weights: (n,), or (n, K) for K problems; at least 0, no column all 0.
        strength: Of the penalty, above 0.
        start: (D + 1, C), or (D + 1, K C), to start from; the solution has the same form.
        tolerance: Relative decrease of the objective at which to stop.
    """
    from scipy.optimize import minimize

    share = (weights / weights.sum(0)).astype(np.float32).reshape(len(targets), -1, 1)
    wanted = targets[:, None]

    def objective(flat: Double) -> tuple[float, Double]:
        solution = flat.reshape(start.shape).astype(np.float32)
        weight = solution[:-1]
        logits = rows.times(weight) + solution[-1]
        log_probabilities = log_softmax(logits.reshape(*share.shape[:2], -1))
        residual = ((np.exp(log_probabilities) - wanted) * share).reshape(logits.shape)
        gradient = np.vstack([rows.transposed_times(residual) + strength * weight, residual.sum(0)])
        penalty = 0.5 * strength * float(np.vdot(weight, weight))
        return penalty - float(np.sum(share * wanted * log_probabilities, dtype=np.float64)), gradient.ravel().astype(np.float64)

    options = {"maxiter": MAX_ITERATIONS, "maxcor": MEMORY, "ftol": tolerance, "gtol": 1e-6}
    found = minimize(objective, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(found.x, np.float64).reshape(start.shape)


def log_softmax(logits: Float) -> Float:
    """Return the logarithm of the softmax over the last axis, stable for any logits."""
    shifted: Float = logits - logits.max(-1, keepdims=True)
    found: Float = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return found


def cross_entropy(logits: Float, targets: Float, weights: Double) -> float:
    """Return the weighted mean of CE(targets, softmax(logits)) in nats."""
    losses = -(targets * log_softmax(logits)).sum(1, dtype=np.float64)
    return float(np.average(losses, weights=weights)) if weights.sum() > 0 else float(np.mean(losses))
