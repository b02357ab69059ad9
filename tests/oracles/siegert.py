"""Diffusion theory of a leaky integrate-and-fire cell in white noise: Siegert's rate, and the irregularity of its intervals.

Brunel 2000, J. Comput. Neurosci. 8:183, equations 21 (rate), A1-A3 (CV), solved self-consistently for his model A.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import erfcx


@dataclass(frozen=True)
class Network:
    """Model A: times in s, voltages in mV."""

    g: float
    eta: float
    c_e: int = 1000
    c_i: int = 250
    j: float = 0.1
    tau: float = 0.020
    theta: float = 20.0
    reset: float = 10.0
    refractory: float = 0.002

    def moments(self, rate: float) -> tuple[float, float]:
        """Mean and standard deviation of the input [mV] at ``rate`` of every cell."""
        external = self.eta * self.theta / (self.j * self.c_e * self.tau)
        mean = self.j * self.tau * (self.c_e * (external + rate) - self.g * self.c_i * rate)
        variance = self.j**2 * self.tau * (self.c_e * (external + rate) + self.g**2 * self.c_i * rate)
        return mean, float(np.sqrt(variance))

    def bounds(self, rate: float) -> tuple[float, float]:
        mean, sd = self.moments(rate)
        return (self.reset - mean) / sd, (self.theta - mean) / sd

    def response(self, rate: float) -> float:
        """Rate of a cell in a network where all have ``rate``."""
        low, high = self.bounds(rate)
        integral = quad(lambda x: erfcx(-x), low, high)[0]
        return float(1 / (self.refractory + self.tau * np.sqrt(np.pi) * integral))

    def rate(self) -> float:
        """The self-consistent rate [1/s]."""
        return float(brentq(lambda rate: self.response(rate) - rate, 0.01, 400))

    def cv(self) -> float:
        """Coefficient of variation of the intervals at the self-consistent rate."""
        rate = self.rate()
        low, high = self.bounds(rate)

        def inner(x: float) -> float:
            # exp(x^2) * integral of exp(u^2) (1 + erf u)^2 up to x, with (1 + erf u) exp(u^2) = erfcx(-u)
            return quad(lambda u: float(erfcx(-u)) ** 2 * np.exp(x * x - u * u), x - 12, x, limit=200)[0]

        variance = 2 * np.pi * (rate * self.tau) ** 2 * quad(inner, low, high)[0]
        return float(np.sqrt(variance))
