"""Published formats, from files written here byte by byte as their descriptions say; what is damaged is named."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import cortexsnn as cx
from cortexsnn.train import files
from cortexsnn.train.encode import delta_spikes
from cortexsnn.train.events import EventData
from cortexsnn.train.fit import fit
from cortexsnn.train.settings import Settings


def _idx(array: np.ndarray) -> bytes:
    return (
        bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()
    )


def test_mnist(tmp_path: Path) -> None:
    images = np.arange(2 * 28 * 28).reshape(2, 28, 28) % 256
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(_idx(images)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(_idx(np.array([7, 3])))
    found = files.mnist(tmp_path)
    assert np.array_equal(found.images * 255, images.reshape(2, -1))
    assert found.labels.tolist() == [7, 3]
    with pytest.raises(cx.InputError, match="holds none of t10k-images"):
        files.mnist(tmp_path, train=False)


def test_a_damaged_idx_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(_idx(np.zeros((2, 3)))[:-1])
    with pytest.raises(cx.InputError, match="expected 18 bytes for 2 x 3, got 17"):
        files.idx(path)
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(cx.InputError, match="not an idx file"):
        files.idx(path)
    with pytest.raises(cx.InputError, match="cannot be read"):
        files.idx(tmp_path / "nothing")


def test_cifar10(tmp_path: Path) -> None:
    records = np.arange(2 * 3073).reshape(2, 3073) % 256
    records[:, 0] = [9, 4]
    (tmp_path / "test_batch.bin").write_bytes(records.astype(np.uint8).tobytes())
    found = files.cifar10(tmp_path, train=False)
    assert found.images.shape == (2, 3072)
    assert np.array_equal(found.images * 255, records[:, 1:])
    assert found.labels.tolist() == [9, 4]


def test_nmnist(tmp_path: Path) -> None:
    (tmp_path / "3").mkdir()
    events = [(5, 6, 1, 70_000), (33, 0, 0, 5)]  # x, y, polarity, microseconds
    content = b"".join(bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255]) for x, y, p, t in events)
    (tmp_path / "3" / "00001.bin").write_bytes(content)
    found = files.nmnist(tmp_path)
    assert found.labels.tolist() == [3]
    assert found.times.tolist() == [70.0, 0.005]
    assert found.channels.tolist() == [(34 + 6) * 34 + 5, 33]
    rows = found.binned(0, 100, 1.0)
    assert sorted(zip(*np.nonzero(rows), strict=True)) == [(0, 33), (70, (34 + 6) * 34 + 5)]


def test_shd(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "shd.h5", "w") as file:
        floats, units = h5py.vlen_dtype(np.float32), h5py.vlen_dtype(np.uint16)
        times = file.create_dataset("spikes/times", (2,), floats)
        channels = file.create_dataset("spikes/units", (2,), units)
        times[0], times[1] = [0.0, 0.5], [0.25]
        channels[0], channels[1] = [3, 699], [10]
        file["labels"] = [17, 2]
    found = files.shd(tmp_path / "shd.h5")
    rows = found.encoder(100, 10.0, coarser=5)(torch.tensor([[1.0], [0.0]]))
    assert rows.shape == (100, 2, 140)
    assert rows.nonzero().tolist() == [[0, 1, 0], [25, 0, 2], [50, 1, 139]]
    (tmp_path / "no.h5").write_text("x")
    with pytest.raises(cx.InputError, match="not a file of the Heidelberg"):
        files.shd(tmp_path / "no.h5")


def test_dvs_gesture(tmp_path: Path) -> None:
    def event(x: int, y: int, polarity: int, time: int, valid: int = 1) -> bytes:
        return struct.pack("<II", x << 17 | y << 2 | polarity << 1 | valid, time)

    events = [event(5, 7, 1, 1000), event(6, 8, 0, 2500), event(1, 1, 1, 2600, valid=0), event(9, 9, 1, 90_000)]
    packet = struct.pack("<hhiiiiii", 1, 0, 8, 4, 0, len(events), len(events), 3) + b"".join(events)
    other = struct.pack("<hhiiiiii", 0, 0, 8, 4, 0, 1, 1, 1) + bytes(8)
    path = tmp_path / "user01_lab.aedat"
    path.write_bytes(b"#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n" + other + packet)
    (tmp_path / "user01_lab_labels.csv").write_text("class,startTime_usec,endTime_usec\n4,500,3000\n11,80000,95000\n")
    found = files.dvs_gesture([path])
    assert found.labels.tolist() == [3, 10]
    assert found.times.tolist() == [0.5, 2.0, 10.0]
    assert found.channels.tolist() == [(128 + 7) * 128 + 5, 8 * 128 + 6, (128 + 9) * 128 + 9]
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(cx.InputError, match="cut off or damaged"):
        files.dvs_gesture([path])


def _damaged_gz() -> bytes:
    content = bytearray(gzip.compress(_idx(np.zeros((2, 28, 28)))))
    content[10] ^= 0xFF
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (_damaged_gz(), "cannot be read"),
        (bytes([0, 0, 8, 70]) + bytes(4 * 70), "an array of 70 dimensions"),
        (bytes([0, 0, 8, 0]), "an array of 0 dimensions"),
        (bytes([0, 0, 8, 2]) + struct.pack(">2I", 2**31, 2**31), "expected 4611686018427387916 bytes"),
    ],
    ids=["damaged", "dimensions", "none", "short"],
)  # the content of the first holds the time, which a name must not: workers would collect different tests
def test_odd_idx_files_are_named(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(cx.InputError, match=f"x: .*{expected}"):
        files.idx(tmp_path / "x")


def test_images_and_labels_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(_idx(np.zeros(3)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(_idx(np.zeros((3, 2, 2))))
    with pytest.raises(cx.InputError, match="train-images-idx3-ubyte: expected images, bytes of 3 dimensions"):
        files.mnist(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(_idx(np.zeros((0, 2, 2))))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(_idx(np.zeros(0)))
    with pytest.raises(cx.InputError, match="0 images and 0 labels"):
        files.mnist(tmp_path)
    (tmp_path / "test_batch.bin").write_bytes(bytes([77]) + bytes(3072))
    with pytest.raises(cx.InputError, match="a label 77, expected 0 to 9"):
        files.cifar10(tmp_path, train=False)


@pytest.mark.parametrize(
    ("packets", "table", "expected"),
    [
        (struct.pack("<hhiiiiii", 1, 0, 6, 4, 0, 1, 1, 1) + bytes(6), "4,500,3000", "polarity events of 6 bytes"),
        (bytes(20), "4,500,3000", "the packet at byte 42 is cut off"),
        (b"", "0,500,3000", "class 0 from 500 to 3000"),
        (b"", "4,3000,500", "class 4 from 3000 to 500"),
        (b"", "", "holds no gesture"),
        (b"", "9" * 200_000, "expected columns class"),
    ],
)
def test_odd_recordings_of_gestures_are_named(tmp_path: Path, packets: bytes, table: str, expected: str) -> None:
    path = tmp_path / "u.aedat"
    path.write_bytes(b"#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n" + packets)
    (tmp_path / "u_labels.csv").write_text(f"class,startTime_usec,endTime_usec\n{table}\n")
    with pytest.raises(cx.InputError, match=f"u.*: .*{expected}"):
        files.dvs_gesture([path])


@pytest.mark.parametrize(
    ("times", "labels", "expected"),
    [
        ("strings", [0], "not a file of the Heidelberg"),
        ([[0.1, 0.2]], [0], "s.h5: events: sample 0 has 2 times but 1"),
        ([[np.nan]], [0], "are no numbers"),
    ],
)
def test_odd_heidelberg_files_are_named(tmp_path: Path, times: object, labels: list[int], expected: str) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        if isinstance(times, str):
            file["spikes/times"] = [b"a"]
        else:
            rows = file.create_dataset("spikes/times", (1,), h5py.vlen_dtype(np.float64))
            rows[0] = times[0]  # type: ignore[index]
        units = file.create_dataset("spikes/units", (1,), h5py.vlen_dtype(np.uint16))
        units[0] = [1]
        file["labels"] = labels
    with pytest.raises(cx.InputError, match=expected):
        files.shd(tmp_path / "s.h5")


def test_delta_spikes() -> None:
    signal = np.array([0.0, 0.3, 0.6, 0.6, 0.2, 0.9])[None, :, None]
    spikes = delta_spikes(signal, 0.5)
    assert spikes.shape == (1, 6, 2)
    assert spikes[0, :, 0].tolist() == [0, 0, 1, 0, 0, 0]
    assert spikes[0, :, 1].tolist() == [0] * 6
    # 0.9 to 0.2 is a fall of 0.7, and the level 0.4 from then on: 0.0 is only 0.4 below it.
    assert delta_spikes(signal[:, ::-1], 0.5)[0, :, 1].tolist() == [0, 1, 0, 0, 0, 0]


def test_events_train(tmp_path: Path) -> None:
    """From a file to an accuracy above chance: two classes that fire in different halves of the channels."""
    random = np.random.default_rng(0)
    with h5py.File(tmp_path / "shd.h5", "w") as file:
        times = file.create_dataset("spikes/times", (80,), h5py.vlen_dtype(np.float32))
        units = file.create_dataset("spikes/units", (80,), h5py.vlen_dtype(np.uint16))
        labels = random.integers(0, 2, 80)
        for s, label in enumerate(labels):
            times[s] = np.sort(random.uniform(0, 0.1, 200))
            units[s] = random.integers(350 * label, 350 * (label + 1), 200)
        file["labels"] = labels
    data = files.shd(tmp_path / "shd.h5")
    encode = data.encoder(10, 10.0, coarser=10)
    circuit = cx.load("feedforward", n_inputs=70, hidden=(20,), n_classes=2, spikes=True, gain=2.0)
    network = cx.to_torch(circuit)
    part = data.part()
    train, validation = part._replace(images=part.images[:60], labels=part.labels[:60]), part._replace(images=part.images[60:], labels=part.labels[60:])  # fmt: skip
    history = fit(network, train, validation, Settings(epochs=8, batch=20, learning_rate=1e-2), 0, encode=encode)
    assert max(history.validation_accuracy) > 0.9


def test_a_validation_part_from_another_file() -> None:
    """Samples by number mean another file's samples under another encoder."""

    def made(labels: list[int]) -> EventData:
        random = np.random.default_rng(len(labels))
        times = [np.sort(random.uniform(0, 100, 100)) for _ in labels]
        channels = [random.integers(20 * label, 20 * (label + 1), 100) for label in labels]
        return EventData.of(times, channels, np.array(labels), 40)

    train, test = made([0, 1] * 30), made([1] * 12 + [0] * 18)
    network = cx.to_torch(cx.load("feedforward", n_inputs=40, hidden=(20,), n_classes=2, spikes=True, gain=2.0))
    encoders = [d.encoder(10, 10.0) for d in (train, test)]
    settings = Settings(epochs=6, batch=4, learning_rate=1e-2)  # so that the validation part is run in parts
    history = fit(network, train.part(), test.part(), settings, 0, encode=encoders[0], encode_validation=encoders[1])
    assert max(history.validation_accuracy) == 1.0
