"""Settings of the digits experiment by cross-validation within the training images; the held-out quarter is not touched.

``make bench NAME=digits_settings`` trains on four fifths of the 1 347 training images and scores the rest, three of five
stratified folds per setting, and writes the mean over folds of the final and of the best epoch's accuracy.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedKFold

import cortexsnn as cx
from cortexsnn.recording import versions
from cortexsnn.train.data import Part, digits
from cortexsnn.train.fit import fit, use_one_thread
from cortexsnn.train.settings import Settings

SETTINGS = {"label smoothing 0.1": Settings(label_smoothing=0.1), "no label smoothing": Settings()}
FOLDS = 3


def main() -> None:
    use_one_thread()
    data = digits()
    images = np.concatenate([data.train.images, data.validation.images])
    labels = np.concatenate([data.train.labels, data.validation.labels])
    folds = list(StratifiedKFold(5, shuffle=True, random_state=1).split(images, labels))[:FOLDS]
    rows = []
    for name, settings in SETTINGS.items():
        reached = []
        for seed, (rest, held) in enumerate(folds):
            network = cx.to_torch(cx.load("lateral_inhibition"), seed=seed, surrogate="sigmoid(4)")
            part = Part(images[rest], labels[rest]), Part(images[held], labels[held])
            history = fit(network, *part, settings, seed)
            reached.append((history.validation_accuracy[-1], max(history.validation_accuracy)))
        for what, value in zip(("final epoch", "best epoch"), np.mean(reached, axis=0), strict=True):
            rows.append({"case": f"{name}, {what}", "value": float(value), "unit": "share correct"})
            print(rows[-1])
    result = {"machine": platform.platform(), "versions": versions(), "rows": rows}
    path = Path(__file__).parent / "results" / "digits_settings.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
