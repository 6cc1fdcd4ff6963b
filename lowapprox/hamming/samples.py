"""How many pattern positions to sample: bounds on the tails of the hypergeometric distribution.

At a shift with D mismatches in p positions, the mismatches among s positions drawn without
replacement, X, are hypergeometric with mean s q, q = D / p. What holds for independent draws holds
for these too if it was proved by the exponential moments (Hoeffding 1963, Theorem 4,
doi:10.1080/01621459.1963.10500830), so with kl(a, b) the divergence of coins of chances a and b,
P(X >= s a) <= exp(-s kl(a, q)) for a >= q, and P(X <= s a) <= exp(-s kl(a, q)) for a <= q.
"""

from __future__ import annotations

import math

__all__ = ["additive_sample", "multiplicative_sample"]


def additive_sample(eps: float, nats: float, size: int) -> int:
    """Return a sample of `size` positions with P(abs(X / s - q) > eps) <= exp(-nats) for every q.

    By the inequality of Serfling (1974, doi:10.1214/aos/1176342611), which improves Hoeffding's by
    the share that is left: the chance is at most 2 exp(-2 s eps^2 / (1 - (s - 1) / p)).
    """
    nats += math.log(2.0)
    return min(math.ceil(nats * (size + 1) / (2.0 * eps * eps * size + nats)), size)


def multiplicative_sample(eps: float, nats: float, threshold: float) -> int:
    """Return a sample that is good wherever X / s reaches a threshold, 0 < threshold < 1.

    It is the least s for which P(X / s >= threshold and abs(X / s - q) > eps q) <= exp(-nats) is
    proved for every q. Let q0 = threshold / (1 + eps). If q < q0, X / s reaches the threshold with
    a chance of at most exp(-s kl((1 + eps) q0, q)) <= exp(-s kl((1 + eps) q0, q0)). If q >= q0, the
    chance of an error is at most exp(-s kl((1 + eps) q, q)) + exp(-s kl((1 - eps) q, q)), and both
    exponents grow with q: the derivative of kl(a q, q) is a (x - 1 - log x) >= 0 with
    x = (1 - a q) / (a - a q). So the two terms at q0 bound the chance of failure for every q.
    """
    q = threshold / (1.0 + eps)
    over, under = _divergence(eps, q), _divergence(-eps, q)

    def enough(s: int) -> bool:
        return math.exp(nats - s * over) + math.exp(nats - s * under) <= 1.0

    few = math.floor(nats / min(over, under))  # not even enough for one of the terms alone
    many = math.ceil((nats + math.log(2.0)) / min(over, under))  # enough for both
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many


def _divergence(e: float, q: float) -> float:
    """Return kl((1 + e) q, q), without loss for small e."""
    a = (1.0 + e) * q
    return max(a * math.log1p(e) + (1.0 - a) * math.log1p(-e * q / (1.0 - q)), 1e-300)
