"""Numbers worked by hand for self-prediction, dynamic gating, learned dynamics and the meta neuron, in every engine."""

from __future__ import annotations

from typing import Any

import pytest

from cortexsnn.neurons import piece
from engines import record, record_together
from hand_worked import Cell, Example, example

# -- self-prediction: LIF with tau = 2, k = 1/2, soft reset, update rate 1/2 --------------------------------------------

PREDICTION_INPUT = {"x": [1.5, 1.5, 0.5, 1.0]}
PREDICTION: dict[str | None, dict[str, Any]] = {
    None: {"u_pre": [0.75, 1.125, 0.3125, 0.65625], "spikes": [0, 1, 0, 0], "u": [0.75, 0.125, 0.3125, 0.65625]},
    "A": {"u_pre": [0.75, 1.5, 0.8125, 1.1875], "spikes": [0, 1, 0, 1], "u": [0.75, 0.5, 0.8125, 0.1875], "p": [0.75, 0.625, 0.5625, 0.28125]},
    "B": {"u_pre": [0.75, 1.3125, 0.4375, 0.796875], "spikes": [0, 1, 0, 0], "u": [0.75, 0.3125, 0.4375, 0.796875], "p": [0.375, 0.0625, 0.15625, 0.328125]},
    "C": {"u_pre": [0.75, 0.9375, 0.4375, 0.515625], "spikes": [0, 0, 0, 0], "u": [0.75, 0.9375, 0.4375, 0.515625], "p": [-0.375, -0.5625, -0.40625, -0.453125]},
}  # fmt: skip


def _predictions() -> list[Example]:
    found = []
    for reading, expected in PREDICTION.items():
        pieces = {"lif": piece("lif")}
        if reading:
            pieces["prediction"] = piece("self_prediction", reading=reading)
        found.append(example(f"self-prediction {reading}", Cell(pieces, inputs=PREDICTION_INPUT), expected))
    x = {"x": [0.75, 0.75, 0.25, 0.5]}
    clif = {"clif": piece("complementary_lif")}
    found.append(example("CLIF", Cell(clif, inputs=x), {"u_pre": [0.75, 1.125, -0.053029, 0.473485]}, tolerance=6e-7))
    wrapped = {**clif, "prediction": piece("self_prediction", coefficients=(0.5, 0.25, -0.5))}
    numbers = {
        "u_pre": [0.75, 1.3125, -0.178029, 0.364110], "c": [0, 1, 0.477761, 0.260565],
        "p": [0.1875, -0.21875, -0.046875, 0.101562],
    }  # fmt: skip
    found.append(example("CLIF with prediction", Cell(wrapped, inputs=x), numbers, tolerance=6e-7))
    return found


# -- dynamic gating: lambda_s = 1/2, g_l = 0.1 -------------------------------------------------------------------------

GATING_INPUT = {"x": [[1, 1], [1, 0], [0, 1]]}
GATING_WEIGHTS = {"g_in": [[0.2], [0.1]], "h_in": [[0.8], [0.4]]}
TAU_S = 1.4426950408889634  # exp(-1/tau_s) = 1/2


def _gates() -> list[Example]:
    found = []
    for phi, numbers in {
        "clamp": {
            "g": [0.3, 0.35, 0.275],
            "rho": [0.6, 0.55, 0.625],
            "u_pre": [1.2, 1.06, 0.7625],
            "spikes": [1, 1, 0],
        },
        "sigmoid": {"u_pre": [1.2, 1.160963, 0.856199]},
    }.items():
        gate = {"gate": piece("dynamic_gating", tau_m=10.0, tau_s=TAU_S, phi=phi)}
        cell = Cell(gate, weights=GATING_WEIGHTS, inputs=GATING_INPUT, kind="spikes")
        found.append(example(f"gating {phi}", cell, numbers, tolerance=1e-12 if phi == "clamp" else 6e-7))
    return found


# -- learned dynamics --------------------------------------------------------------------------------------------------

POLYNOMIALS: list[tuple[tuple[float, ...], str, list[float], list[int]]] = [
    ((0, 0.5), "hard", [0.75, 1.125, 0.5, 0.5], [0, 1, 0, 0]),
    ((0, 0.5, 0.25), "hard", [0.75, 1.265625, 0.5, 0.5625], [0, 1, 0, 0]),
    ((0, 0.5, 0.25, -0.125), "hard", [0.75, 1.212890625, 0.5, 0.546875], [0, 1, 0, 0]),
    ((0.1, 0.5), "hard", [0.85, 1.275, 0.6, 0.65], [0, 1, 0, 0]),
    ((0, 0.5, 0.25), "soft", [0.75, 1.265625, 0.65045166015625, 0.68099767], [0, 1, 0, 0]),
    ((0, 0.5, 0.25, -0.125), "soft", [0.75, 1.212890625, 0.61656983, 0.62402523], [0, 1, 0, 0]),
]
NULL_INPUT = {
    "plain": [-0.01, 0.001275, -0.000159, 0.00002], "identity": [0.39, 0.379275, 0.367828, 0.355674],
}  # fmt: skip


def _polynomials() -> list[Example]:
    found = []
    for c, reset, u_pre, spikes in POLYNOMIALS:
        neuron = {"cell": piece("polynomial", degree=len(c) - 1, coefficients=c, reset=reset, guard=2.0)}
        numbers = {"u_pre": u_pre, "spikes": spikes}
        found.append(
            example(f"{c} {reset}", Cell(neuron, inputs={"x": [0.75, 0.75, 0.5, 0.25]}), numbers, tolerance=6e-9)
        )
    for reading, u in NULL_INPUT.items():
        neuron = {"cell": {**piece("quadratic", reading=reading), "initial": {"u": 0.4}}}
        cell = Cell(neuron, inputs={"x": [0.0] * 4})
        found.append(example(f"quadratic {reading}", cell, {"u": u}, tolerance=6e-7))
    return found


# -- meta neuron of second order: the reset of the last spike, then v and u both from what they were ---------------------

META = {
    "update": "v_old = v*(1 - s) + c*s\nu_old = u + d*s\nv = v_old + v_old*v_old - v_old - u_old + x\nu = u_old + a*(b*v_old - u_old)\ns = 0",
    "ports": {"x": {"kind": "pulse"}}, "threshold": "v > 0.5", "reset": "s = 1",
    "parameters": {"a": 0.02, "b": 0.2, "c": 0.0, "d": 0.08}, "initial": {"u": 0.08},
}  # fmt: skip


def _meta() -> list[Example]:
    numbers = {
        "v": [0.52, 0.4416, 0.63978, 0.36611, 0.50482, 0.2939], "u": [0.0784, 0.15523, 0.15389, 0.22922, 0.2261, 0.29997],
        "spikes": [1, 0, 1, 0, 1, 0],
    }  # fmt: skip
    return [example("meta neuron", Cell({"meta": META}, inputs={"x": [0.6] * 6}), numbers, tolerance=5.1e-6)]


EXAMPLES = {e.name: e for e in (*_predictions(), *_gates(), *_polynomials(), *_meta())}


@pytest.mark.parametrize("engine", ["numpy", "torch", "brian2"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_number(name: str, engine: str) -> None:
    EXAMPLES[name].check(record(EXAMPLES[name].job(), engine))


@pytest.mark.slow
@pytest.mark.compiled
def test_every_number_in_one_compiled_program() -> None:
    for found, recording in zip(
        EXAMPLES.values(), record_together([e.job() for e in EXAMPLES.values()], "cpp_standalone"), strict=True
    ):
        found.check(recording)


def test_a_wrong_order_changes_the_numbers() -> None:
    """Negative control: a prediction formed from the spike of the step before gives other numbers."""
    late = {
        "lif": piece("lif"),
        "prediction": {
            **piece("self_prediction", reading="A"), "after_reset": "p = (1 - 1/(tau))*p + al_p*x - al_p*z\nz = spiked"
        },
    }  # fmt: skip
    shifted = example("late", Cell(late, inputs=PREDICTION_INPUT), PREDICTION["A"])
    with pytest.raises(AssertionError):
        shifted.check(record(shifted.job(), "numpy"))


def test_reset_before_decay_is_another_gate() -> None:
    """Negative control: subtract, then decay would give 1.2, 1.51, 1.41875 and three spikes."""
    early = {**piece("dynamic_gating", tau_m=10.0, tau_s=TAU_S), "reset": "u -= v_th", "after_reset": "z = 0"}
    cell = Cell({"gate": early}, weights=GATING_WEIGHTS, inputs=GATING_INPUT, kind="spikes")
    numbers = {"u_pre": [1.2, 1.51, 1.41875], "spikes": [1, 1, 1]}
    example("early", cell, numbers, tolerance=1e-12).check(record(example("early", cell, numbers).job(), "numpy"))


@pytest.mark.parametrize("reading", ["A", "B"])
def test_a_prediction_formed_before_the_threshold_gives_other_numbers(reading: str) -> None:
    fields = piece("self_prediction", reading=reading)
    (line,) = [fields.pop("after_reset")]
    early = {
        "lif": piece("lif"),
        "prediction": {**fields, "update": line.replace("spiked", "s_last"), "after_reset": "s_last = spiked"},
    }
    changed = example("early", Cell(early, inputs=PREDICTION_INPUT), PREDICTION[reading])
    with pytest.raises(AssertionError):
        changed.check(record(changed.job(), "numpy"))


EARLY = {
    "A": {"u_pre": [0.75, 1.5, 0.5625, 1.0625], "spikes": [0, 1, 0, 1]},
    "B": {"u_pre": [0.75, 1.3125, 0.3125, 0.734375], "spikes": [0, 1, 0, 0]},
    "C": {"u_pre": [0.75, 0.9375, 0.5625, 0.578125], "spikes": [0, 0, 0, 0]},
}
"""PREDICTION with p[t] made from x[t+1] in place of x[t], by hand; the last step is followed by silence."""


@pytest.mark.parametrize("engine", ["numpy", "torch", "brian2"])
@pytest.mark.parametrize("reading", EARLY)
def test_a_prediction_that_knows_the_next_input_gives_other_numbers(reading: str, engine: str) -> None:
    knowing = piece("self_prediction", reading=reading, history="x_next")
    pieces = {"lif": piece("lif"), "prediction": {**knowing, "ports": {"x_next": {"kind": "pulse"}}}}
    x = PREDICTION_INPUT["x"]
    cell = Cell(pieces, weights={"x": [[1.0]], "x_next": [[1.0]]}, inputs={"x": x, "x_x_next": [*x[1:], 0.0]})
    shifted = example(f"{reading}, next input", cell, EARLY[reading])
    recording = record(shifted.job(), engine)
    shifted.check(recording)
    with pytest.raises(AssertionError):
        example("as published", cell, PREDICTION[reading]).check(recording)
