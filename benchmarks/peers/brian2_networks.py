"""The reference circuits as a Brian2 user writes them by hand, for C++ standalone with Brian2's own settings.

``python -m benchmarks.peers.brian2_networks NAME FOLDER SECONDS`` generates and compiles a program in FOLDER; its result is
``FOLDER/main``. Nothing of the package is used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import brian2 as b2
import numpy as np
from brian2 import Hz, Network, NeuronGroup, PoissonInput, SpikeMonitor, Synapses, ms, mV, pA


def cuba() -> list[object]:
    """Brian2's example of that name."""
    group = NeuronGroup(
        4000,
        """dv/dt = (ge + gi - (v + 49*mV))/(20*ms) : volt (unless refractory)
        dge/dt = -ge/(5*ms) : volt
        dgi/dt = -gi/(10*ms) : volt""",
        threshold="v > -50*mV", reset="v = -60*mV", refractory=5 * ms, method="exact",
    )  # fmt: skip
    group.v = "-60*mV + rand()*10*mV"
    excitatory = Synapses(group[:3200], group, on_pre="ge += 1.62*mV")
    inhibitory = Synapses(group[3200:], group, on_pre="gi -= 9*mV")
    excitatory.connect(p=0.02)
    inhibitory.connect(p=0.02)
    return [group, excitatory, inhibitory, SpikeMonitor(group)]


def coba() -> list[object]:
    """Benchmark 1 of Brette et al. 2007."""
    group = NeuronGroup(
        4000,
        """dv/dt = (ge*(0*mV - v) + gi*(-80*mV - v) - 10*nS*(v + 60*mV))/(200*pF) : volt (unless refractory)
        dge/dt = -ge/(5*ms) : siemens
        dgi/dt = -gi/(10*ms) : siemens""",
        threshold="v > -50*mV", reset="v = -60*mV", refractory=5 * ms, method="exponential_euler",
    )  # fmt: skip
    group.v = "-60*mV + (randn()*5 - 5)*mV"
    group.ge = "(randn()*1.5 + 4)*10*nS"
    group.gi = "(randn()*12 + 20)*10*nS"
    excitatory = Synapses(group[:3200], group, on_pre="ge += 6*nS")
    inhibitory = Synapses(group[3200:], group, on_pre="gi += 67*nS")
    excitatory.connect(p=0.02)
    inhibitory.connect(p=0.02)
    return [group, excitatory, inhibitory, SpikeMonitor(group)]


def brunel2000() -> list[object]:
    """State C of Brunel 2000, as in Brian2's example."""
    group = NeuronGroup(
        12500, "dv/dt = -v/(20*ms) : volt (unless refractory)",
        threshold="v > 20*mV", reset="v = 10*mV", refractory=2 * ms, method="exact",
    )  # fmt: skip
    group.v = "rand()*20*mV"
    excitatory = Synapses(group[:10000], group, on_pre="v += 0.1*mV", delay=1.5 * ms)
    inhibitory = Synapses(group[10000:], group, on_pre="v -= 0.5*mV", delay=1.5 * ms)
    excitatory.connect(p=0.1)
    inhibitory.connect(p=0.1)
    drive = PoissonInput(group, "v", N=1000, rate=20 * Hz, weight=0.1 * mV)
    return [group, excitatory, inhibitory, drive, SpikeMonitor(group)]


SIZES = np.array([20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948])
PROBABILITIES = np.array(
    [
        [0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0, 0.0076, 0.0],
        [0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0, 0.0042, 0.0],
        [0.0077, 0.0059, 0.0497, 0.1350, 0.0067, 0.0003, 0.0453, 0.0],
        [0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0, 0.1057, 0.0],
        [0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0],
        [0.0548, 0.0269, 0.0257, 0.0022, 0.0600, 0.3158, 0.0086, 0.0],
        [0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252],
        [0.0364, 0.0010, 0.0034, 0.0005, 0.0277, 0.0080, 0.0658, 0.1443],
    ]
)
EXTERNAL = np.array([1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100])
RATES = np.array([0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829])
PSC = 87.8


def potjans_diesmann2014(scale: float) -> list[object]:
    """The microcircuit: one group, a ``Synapses`` for every pair of populations, Poisson drive."""
    root = np.sqrt(scale)
    sizes = np.rint(SIZES * scale).astype(int)
    ends = np.cumsum(sizes)
    group = NeuronGroup(
        int(ends[-1]),
        """dv/dt = (-65*mV - v)/(10*ms) + (I + I_dc)/(250*pF) : volt (unless refractory)
        dI/dt = -I/(0.5*ms) : amp
        I_dc : amp (constant)""",
        threshold="v > -50*mV", reset="v = -65*mV", refractory=2 * ms, method="exact",
    )  # fmt: skip
    group.v = "-58*mV + 10*mV*randn()"
    parts = [group[int(e - n) : int(e)] for n, e in zip(sizes, ends, strict=True)]
    pairs = np.outer(SIZES, SIZES).astype(float)
    full = np.log1p(-PROBABILITIES) / np.log1p(-1 / pairs)
    signs = np.array([1, -4] * 4) * PSC
    means = np.tile(signs, (8, 1))
    means[0, 2] *= 2
    lost = (1 - root) * ((means * full / SIZES[:, None] * RATES).sum(1) + PSC * EXTERNAL * 8)
    objects: list[object] = [group, SpikeMonitor(group)]
    for i in range(8):
        parts[i].I_dc = float(lost[i] * 0.5e-3) * pA
        external = round(EXTERNAL[i] * scale)
        objects.append(PoissonInput(parts[i], "I", N=external, rate=8 * Hz, weight=PSC / root * pA))
        for j in range(8):
            n = round(full[i, j] * scale * scale)
            if n:
                synapses = Synapses(parts[j], parts[i], "w : amp (constant)", on_pre="I += w")
                if scale == 1:  # lists of 299 million connections would take 22 GB in Python alone
                    synapses.connect(p=float(n / (sizes[i] * sizes[j])))
                else:
                    pre, post = np.random.randint(0, sizes[j], n), np.random.randint(0, sizes[i], n)
                    synapses.connect(i=pre, j=post)
                mean = float(means[i, j] / root)
                bounds = ("0", "inf") if mean > 0 else ("-inf", "0")
                synapses.w = f"clip({mean!r} + {abs(mean) * 0.1!r}*randn(), {bounds[0]}, {bounds[1]})*pA"
                delay, spread = (1.5, 0.75) if j % 2 == 0 else (0.75, 0.375)
                synapses.delay = f"clip({delay} + {spread}*randn(), 0.1, inf)*ms"
                objects.append(synapses)
    return objects


NETWORKS: dict[str, Callable[[], list[object]]] = {
    "cuba": cuba,
    "coba": coba,
    "brunel2000": brunel2000,
    "potjans_diesmann2014": lambda: potjans_diesmann2014(0.1),
    "potjans_diesmann2014_full": lambda: potjans_diesmann2014(1.0),
}


def main(name: str, folder: str, seconds: float) -> None:
    """Generate and compile."""
    b2.set_device("cpp_standalone", directory=folder, build_on_run=False)
    b2.prefs.devices.cpp_standalone.extra_make_args_unix = ["-j2"]
    b2.defaultclock.dt = 0.1 * ms
    network = Network(NETWORKS[name]())
    network.run(seconds * b2.second)
    b2.device.build(directory=folder, compile=True, run=False, with_output=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
