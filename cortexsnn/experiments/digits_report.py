"""The main job's results as a report."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..analysis import figures, spiking_populations
from ..lower import lower
from ..realise import realise
from ..recording import versions
from ..report import (
    AccuracyRow,
    Confusion,
    EpochRow,
    Fact,
    FidelityRow,
    Provenance,
    ReportContent,
    ReportFigure,
    TimingRow,
    Verdict,
)  # fmt: skip
from ..report.numbers import count
from ..spec import Circuit
from ..wiring import endpoint_name
from .evaluate import accuracy, confusion, predictions
from .rows import circuit_facts, dale_rows, rate_rows, verification_rows

if TYPE_CHECKING:
    from .digits import Results


def content(results: Results) -> ReportContent:
    """Tables and figures of the digits experiment."""
    first, verification = results.trained[0], results.verification
    assert verification is not None
    circuit, data, config = first.circuit, results.data, results.config
    reached = np.array([t.accuracy for t in results.trained])
    program = lower(circuit)
    names = list(verification.recordings)
    standalone = next((n for n in names if "standalone" in n), names[-1])
    shown = verification.recordings[standalone]
    predicted = predictions(shown, str(circuit.readout))
    n_images = len(data.test.labels)
    return ReportContent(
        title="One E/I circuit, trained and simulated",
        subtitle="Training in PyTorch, execution in Brian2: what is the same, what is not, and by how much.",
        verdict=_verdict(results),
        facts=[
            Fact(
                "Held-out accuracy",
                f"{100 * reached.mean():.2f} %",
                f"mean of {reached.size} training seeds, {n_images} images; the verified network, seed {first.seed}: "
                f"{100 * first.accuracy:.2f} % in every engine; logistic regression on the pixels: {100 * results.baseline:.2f} %",
            ),
            Fact("Spikes compared", count(verification.n_spikes), f"{len(names)} engines, {verification.met}"),
            Fact(
                "Predictions identical",
                "yes" if _identical(results) else "no",
                f"{n_images} images in {len(names)} engines",
            ),
            Fact(
                "Smallest magnitude", f"{_smallest(circuit, first.seed):g}", "Dale's law: no stored weight is negative"
            ),
        ],
        circuit=circuit_facts(circuit, first.seed, _task(results)),
        accuracy=_accuracy_rows(results),
        verification=verification_rows(verification),
        fidelity=_fidelity_rows(results),
        confusion=Confusion(
            counts=confusion(data.test.labels, predicted, program.population(str(circuit.readout)).size),
            labels=[str(k) for k in range(program.population(str(circuit.readout)).size)],
            engine=f"{standalone}, training seed {first.seed}",
        ),
        figures=_figures(results, names, standalone, predicted),
        rates=rate_rows(shown),
        dale=dale_rows(circuit, first.seed),
        program=str(program),
        training=[
            EpochRow(
                seed=t.seed,
                epoch=e + 1,
                loss=t.history.loss[e],
                validation_accuracy=t.history.validation_accuracy[e],
                validation_loss=t.history.validation_loss[e],
                chosen=e == t.history.best,
            )
            for t in results.trained
            for e in range(len(t.history.loss))
        ],
        timings=[TimingRow(stage, seconds) for stage, seconds in results.timings.items()],
        provenance=Provenance(
            command=config.command,
            versions={**versions(), "python": platform.python_version()},
            seeds={"training": ", ".join(map(str, config.seeds)), "shown and verified": first.seed},
            hashes={"circuit (trained)": circuit.hash, "StepProgram": program.hash},
            machine=f"{platform.system()} {platform.machine()}, {config.workers} training processes of one thread",
            config=json.dumps(config.model_dump(), indent=2),
        ),
        notes={
            "accuracy": f"{n_images} held-out images (a stratified quarter, fixed split); the checkpoint was chosen on "
            f"{len(data.validation.labels)} validation images of the training part. Engines other than torch ran the first seed's network.",
            "verification": f"{verification.n_trials} images as trials of {verification.n_steps} steps, float64, all states, spikes and "
            "outputs of all populations.",
            "fidelity": "Largest over populations; rows of other training seeds are the yardstick, their mean distance is "
            f"{results.rate_ks_seeds or float('nan'):.3f}. Spikes are compared only where the network is the same. Activity: equivalent where the "
            "simultaneous 95 % intervals over images of mean rate and spread of rates lie within 5 % and 0.05, different where one lies "
            "outside, else inconclusive; a statement about these networks.",
            "rates": "The circuit is given in discrete time and a step only called 1 ms: 1000 Hz is a spike in every step, and trials of "
            f"{results.config.n_steps} steps are too short for an ISI CV.",
        },
    )


def _verdict(results: Results) -> Verdict | None:
    """One sentence about the agreement; left to the report's own rule where there is none."""
    verification = results.verification
    if verification is None or not (verification.agree and _identical(results)):
        return None
    smallest = _smallest(results.trained[0].circuit, results.trained[0].seed)
    return Verdict(
        level="pass" if smallest >= 0 else "fail",
        headline=f"{len(verification.recordings)} engines emitted the same {count(verification.n_spikes)} spikes on "
        f"{verification.n_trials} held-out images and gave the same predictions ({verification.met}).",
        findings=[
            f"All {len(verification.comparisons)} pairs of engines were compared: spikes, states and outputs of every population.",
            f"Dale's law: the smallest stored magnitude is {smallest:g}; signs belong to the source populations.",
        ],
    )


def _identical(results: Results) -> bool:
    recordings = results.verification.recordings.values() if results.verification else ()
    readout = str(results.trained[0].circuit.readout)
    return len({predictions(r, readout).tobytes() for r in recordings}) == 1


def _smallest(circuit: Circuit, seed: int) -> float:
    return float(min(e.values.min(initial=np.inf) for e in realise(circuit, seed).edges.values()))


def _task(results: Results) -> str:
    data = results.data
    return (
        f"scikit-learn's handwritten digits, 8 x 8 pixels: {len(data.train.labels)} images to train, {len(data.validation.labels)} to "
        f"choose the checkpoint, {len(data.test.labels)} held out; each shown for {results.config.n_steps} steps as constant input."
    )


def _accuracy_rows(results: Results) -> list[AccuracyRow]:
    first, labels = results.trained[0], results.data.test.labels
    readout = str(first.circuit.readout)
    reference = predictions(first.recording, readout)
    rows = [
        AccuracyRow(engine="torch", accuracy=t.accuracy, n_images=len(labels), seed=t.seed) for t in results.trained
    ]
    for name, recording in results.verification.recordings.items() if results.verification else ():
        if name != "torch":
            found = predictions(recording, readout)
            rows.append(
                AccuracyRow(
                    engine=name, accuracy=accuracy(found, labels), n_images=len(labels), seed=first.seed,
                    predictions_equal=accuracy(found, reference),
                )
            )  # fmt: skip
    return rows


def _fidelity_rows(results: Results) -> list[FidelityRow]:
    first = results.trained[0]
    rows = [
        FidelityRow(
            setting="reference: torch, float64", accuracy=first.accuracy, spikes_differing=0.0, rate_ks=0.0,
            predictions_equal=1.0, note=f"trained with {first.surrogate}, seed {first.seed}",
        )
    ]  # fmt: skip
    return rows + [FidelityRow(**vars(v)) for v in results.variations]


def _figures(results: Results, names: list[str], standalone: str, predicted: np.ndarray) -> list[ReportFigure]:
    first, verification, data = results.trained[0], results.verification, results.data
    assert verification is not None
    shown = verification.recordings[standalone]
    other = verification.recordings["numpy"] if "numpy" in names else verification.recordings[names[0]]
    labels = data.test.labels
    readout = str(first.circuit.readout)
    seeds = ", ".join(str(t.seed) for t in results.trained)
    per_engine: dict[str, float | list[float]] = {f"torch, seeds {seeds}": [t.accuracy for t in results.trained]}
    per_engine |= {
        f"{n}, seed {first.seed}": accuracy(predictions(r, readout), labels) for n, r in verification.recordings.items()
    }
    edges = realise(first.circuit, first.seed).edges
    sources = {**first.circuit.populations, **first.circuit.inputs}
    weights = []
    for name, projection in first.circuit.projections.items():
        transmitter = sources[endpoint_name(projection.pre)].transmitter  # type: ignore[attr-defined]
        weights.append(
            figures.ProjectionWeights(
                name, edges[name].values * (-1 if transmitter == "inhibitory" else 1), transmitter, "1"
            )
        )
    history: dict[str, dict[str, Sequence[float]]] = {
        f"seed {t.seed}": {
            "epoch": list(range(1, len(t.history.loss) + 1)), "loss": t.history.loss, "validation_accuracy": t.history.validation_accuracy
        }
        for t in results.trained
    }  # fmt: skip
    smoothing, n_classes = results.config.training.label_smoothing, len(np.unique(labels))
    floor = _smoothed_floor(smoothing, n_classes)
    trials = _examples(labels, predicted)
    n_wrong = int((labels[trials] != predicted[trials]).sum())
    images = data.test.images[trials].reshape(len(trials), 8, 8)
    return [
        ReportFigure(
            f"Held-out accuracy, n = {len(labels)} images. Dots: one network per training seed, the bar their mean. Below, the network of "
            f"seed {first.seed}, which was verified, in every engine; the line is the 95 % interval of Wilson. Dashed: chance.",
            figures.accuracy_bars(per_engine, n_images=len(labels), chance=0.1),
            "accuracy",
        ),
        ReportFigure(
            f"Spikes of the first held-out image in {other.attrs['engine']} (open circles) and {standalone} (dots). Every circle holds its dot "
            "where the engines agree; crosses would mark spikes that only one of them has. Up to 40 evenly spaced neurons of each population.",
            figures.raster_overlay(other, shown, labels=(str(other.attrs["engine"]), standalone)),
            "verification",
        ),
        ReportFigure(
            "Firing rates over neurons, mean over all held-out images; the thick bar spans the quartiles, the tick is the median.",
            figures.rate_distributions(shown),
            "rates",
        ),
        ReportFigure(
            "Weights after training with the sign of their source; zeros are counted in words. Hatched: the side of zero that the source does "
            "not permit. Weights of the interneurons act twice, subtracted and in the divisor.",
            figures.dale_audit(weights),
            "dale",
        ),
        ReportFigure(
            "Course of training, one line per seed; rings: epoch whose weights are reported, chosen on validation images."
            + (
                f" Label smoothing of {smoothing:g} leaves a loss of {floor:.2f} to a perfect classifier."
                if smoothing
                else ""
            ),
            figures.training_curve(history, chosen={f"seed {t.seed}": t.history.best + 1 for t in results.trained}),
            "training",
        ),
        ReportFigure(
            f"Held-out images, the spikes they cause in {standalone}, and the predicted class; the last {n_wrong} are chosen among the "
            f"{int((labels != predicted).sum())} of {len(labels)} that are misclassified. Up to 40 evenly spaced neurons of each population.",
            figures.example_images(
                images,
                shown,
                trials=trials,
                true=labels[trials].tolist(),
                predicted=predicted[trials].tolist(),
                populations=spiking_populations(shown),
            ),
        ),
    ]


def _smoothed_floor(smoothing: float, n_classes: int) -> float:
    """Least cross-entropy against smoothed labels: the entropy of the smoothed label itself."""
    if not smoothing:
        return 0.0
    p = np.array([1 - smoothing + smoothing / n_classes, *([smoothing / n_classes] * (n_classes - 1))])
    return float(-(p * np.log(p)).sum())


def _examples(labels: np.ndarray, predicted: np.ndarray) -> list[int]:
    """Two images that are classified correctly and up to two that are not."""
    right, wrong = np.flatnonzero(labels == predicted)[:2], np.flatnonzero(labels != predicted)[:2]
    return [int(k) for k in (*right, *wrong)]
