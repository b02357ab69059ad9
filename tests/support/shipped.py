"""The circuits that come with the package, with the shortest runs that hold at least a thousand spikes each."""

from __future__ import annotations

DURATIONS = {
    "izhikevich": "1350 ms",
    "conductance_ei": "220 ms",
    "adaptive_exponential": "700 ms",
    "two_compartment": "720 ms",
}
MINIMUM_STEPS = 500
MINIMUM_SPIKES = 1000
