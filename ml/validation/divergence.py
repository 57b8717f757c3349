"""How far two samples of one field lie apart, in bits, and how far equal samples would.

With p today's share of a cell and q the baseline's, the Kullback-Leibler divergence is
``sum(p * log2(p / q))``. Two samples of n and m rows from one and the same distribution over K cells
differ too: ``2 * n * m / (n + m)`` times the divergence in nats then follows, nearly, a chi-squared
distribution with K - 1 degrees of freedom (Wilks' likelihood ratio). So it averages ``(K - 1) / 2 * (1 / n
+ 1 / m)`` nats, which is taken off, and what chance adds to that is known too. Both hold for cells with
some ten expected rows; see `ml.validation.cells.pool_rare` and docs/adr/0004-divergence.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri, rel_entr

from ml.validation.cells import Cells
from ml.validation.histogram import Floats

PSEUDOCOUNT = 0.5
CHANCE = 0.001


@dataclass(frozen=True)
class Divergence:
    """What was measured for one field.

    Attributes:
        kl_bits: Kullback-Leibler divergence of today from the baseline.
        bias_bits: what it averages for samples from one distribution.
        noise_bits: how much more than that they reach by chance once in a thousand times.
        jsd_bits: Jensen-Shannon divergence, between 0 and 1; nothing is taken off.
        cells: how many cells were compared.
    """

    kl_bits: float
    bias_bits: float
    noise_bits: float
    jsd_bits: float
    cells: int

    @property
    def divergence_bits(self) -> float:
        """The Kullback-Leibler divergence without its bias, and not below 0."""
        return max(0.0, self.kl_bits - self.bias_bits)


def measure_divergence(cells: Cells) -> Divergence:
    """Compare two samples over the cells that they have in common.

    Half a row is added to every cell on both sides (Jeffreys' prior), so that a value which one side has
    never seen counts, and counts finitely.
    """
    today, baseline = _smoothed(cells.today), _smoothed(cells.baseline)
    middle = (today + baseline) / 2
    freedom = len(cells.names) - 1
    bits_of_chi_squared = (1 / cells.today.sum() + 1 / cells.baseline.sum()) / 2 / np.log(2)
    unlikely = float(chdtri(freedom, CHANCE)) if freedom else 0.0
    return Divergence(
        kl_bits=_relative_entropy(today, baseline),
        bias_bits=float(freedom * bits_of_chi_squared),
        noise_bits=float((unlikely - freedom) * bits_of_chi_squared),
        jsd_bits=(_relative_entropy(today, middle) + _relative_entropy(baseline, middle)) / 2,
        cells=len(cells.names),
    )


def _relative_entropy(shares: Floats, others: Floats) -> float:
    """In bits. Rounding can bring it below 0 by a hair, of which scipy's ``jensenshannon`` makes NaN."""
    return max(0.0, float(rel_entr(shares, others).sum() / np.log(2)))


def _smoothed(counts: Floats) -> Floats:
    smoothed: Floats = (counts + PSEUDOCOUNT) / (counts + PSEUDOCOUNT).sum()
    return smoothed
