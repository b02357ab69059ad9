"""A zero-delay projection may deliver a reduction of its source, in every engine."""

import pytest

import cortexsnn as cx


@pytest.mark.parametrize("op", ["sum", "mean", "max", "min_positive"])
def test_reduction_of_a_spiking_source_is_delivered(op: str) -> None:
    pulse = {"kind": "pulse"}
    circuit = cx.Circuit(
        name="delivered",
        dt="1 ms",
        neurons={
            "p": {
                "update": "u = 0.75*u + x",
                "ports": {"x": pulse},
                "reductions": {"m": {"op": op, "of": "u + 0.25"}},
                "threshold": "u >= 1",
                "reset": "u = 0",
            },
            "q": {"update": "y = 0.5*y + g", "ports": {"g": pulse}, "threshold": "y > 1", "reset": "y = 0"},
        },
        populations={
            "E": {"size": 3, "neuron": "p", "transmitter": "excitatory"},
            "X": {"size": 3, "neuron": "q", "transmitter": "excitatory"},
        },
        inputs={"c": {"size": 3, "kind": "current"}},
        projections={
            "a": {"pre": "c", "post": "E", "port": "x", "connect": "one_to_one", "weight": 1.0},
            "b": {"pre": "E", "post": "X", "deliver": {"g": "m*2.0"}, "connect": "all", "weight": 0.75},
        },
    )
    report = cx.verify(circuit, duration="200 ms", engines=("numpy", "torch", "brian2"))
    assert report.agree, str(report)
    assert report.n_spikes >= 100
    assert int(report.recordings["numpy"]["X"]["spikes"].sum()) >= 20
