"""Data sets in the formats in which they are published, from files that the user has; nothing is downloaded.

Images: MNIST and its relatives (idx files, also gzipped), CIFAR-10 (binary version). Events: N-MNIST (one .bin per sample), the Heidelberg
digits SHD and SSC (HDF5), DVS128 Gesture (AEDAT 3.1 with a table of labels).
"""

from __future__ import annotations

import csv
import gzip
import math
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..errors import InputError
from .data import Part
from .events import EventData

_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CIFAR_RECORD = 1 + 3 * 32 * 32
NMNIST_SIZE, DVS_SIZE, SHD_CHANNELS = 34, 128, 700


def _bytes(path: Path) -> bytes:
    """Content of a file, unpacked if it is gzipped."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None


def idx(path: Path | str) -> np.ndarray:
    """An array of the idx format (LeCun's MNIST page).

    Raises
    ------
    InputError
        Cannot be read, is of another format, or has another length than its header says.
    """
    path = Path(path)
    content = _bytes(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES:
        raise InputError(
            f"{path}: not an idx file (it begins with {content[:4].hex(' ')}, expected 00 00 08 and so on)"
        )
    dims = content[3]
    shape = struct.unpack(f">{dims}I", content[4 : 4 + 4 * dims]) if len(content) >= 4 + 4 * dims else ()
    dtype = np.dtype(_IDX_TYPES[content[2]])
    expected = 4 + 4 * dims + math.prod(shape) * dtype.itemsize
    if not 1 <= dims <= 3:
        raise InputError(f"{path}: an array of {dims} dimensions; images have 3, labels 1")
    if len(shape) != dims or len(content) != expected:
        raise InputError(f"{path}: expected {expected} bytes for {' x '.join(map(str, shape))}, got {len(content)}")
    return np.frombuffer(content, dtype, offset=4 + 4 * dims).reshape(shape)


def mnist(folder: Path | str, train: bool = True) -> Part:
    """MNIST, Fashion-MNIST or another set under its file names: images (sample, 784) in [0, 1]."""
    name = "train" if train else "t10k"
    found = []
    for what, dims in (("images", 3), ("labels", 1)):
        path = _one_of(Path(folder), f"{name}-{what}-idx{dims}-ubyte", f"{name}-{what}.idx{dims}-ubyte")
        found.append(idx(path))
        if found[-1].ndim != dims or found[-1].dtype.kind != "u":
            raise InputError(
                f"{path}: expected {what}, bytes of {dims} dimensions, got {found[-1].dtype} of {found[-1].ndim}"
            )
    images, labels = found
    if len(images) != len(labels) or not len(images):
        raise InputError(
            f"{folder}: {len(images)} images and {len(labels)} labels; expected as many of each, at least one"
        )
    return Part(images.reshape(len(images), -1) / 255.0, labels.astype(np.int64))


def _one_of(folder: Path, *names: str) -> Path:
    for name in names:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    raise InputError(f"{folder}: holds none of {', '.join(names)} (.gz); put the published files there")


def cifar10(folder: Path | str, train: bool = True) -> Part:
    """CIFAR-10, binary version: images (sample, 3072) in [0, 1], channel by channel as in the file."""
    names = [f"data_batch_{k}.bin" for k in range(1, 6)] if train else ["test_batch.bin"]
    parts = []
    for name in names:
        path = Path(folder) / name
        content = _bytes(path)
        if not content or len(content) % _CIFAR_RECORD:
            raise InputError(f"{path}: expected records of {_CIFAR_RECORD} bytes, got {len(content)} bytes")
        parts.append(np.frombuffer(content, np.uint8).reshape(-1, _CIFAR_RECORD))
        if parts[-1][:, 0].max() > 9:
            raise InputError(f"{path}: a label {parts[-1][:, 0].max()}, expected 0 to 9; CIFAR-100 has another layout")
    records = np.concatenate(parts)
    return Part(records[:, 1:] / 255.0, records[:, 0].astype(np.int64))


# -- events ---------------------------------------------------------------------------------------------------------------


def nmnist(folder: Path | str) -> EventData:
    """N-MNIST (Orchard et al. 2015, doi:10.3389/fnins.2015.00437): a folder ``Train`` or ``Test`` with folders 0 to 9.

    40 bits an event: x, y, then polarity and microseconds in 1 + 23 bits. Channel = (polarity * 34 + y) * 34 + x.
    """
    times, channels, labels = [], [], []
    for label in range(10):
        for path in sorted((Path(folder) / str(label)).glob("*.bin")):
            raw = np.frombuffer(_bytes(path), np.uint8)
            if raw.size % 5:
                raise InputError(f"{path}: expected 5 bytes for each event, got {raw.size} bytes")
            x, y, high, middle, low = raw.reshape(-1, 5).T.astype(np.int64)
            if x.size and (x.max() >= NMNIST_SIZE or y.max() >= NMNIST_SIZE):
                raise InputError(f"{path}: an event outside of {NMNIST_SIZE} x {NMNIST_SIZE} pixels")
            times.append((((high & 0x7F) << 16) | (middle << 8) | low) * 1e-3)
            channels.append(((high >> 7) * NMNIST_SIZE + y) * NMNIST_SIZE + x)
            labels.append(label)
    return _event_data(folder, times, channels, labels, 2 * NMNIST_SIZE**2)


def shd(path: Path | str) -> EventData:
    """The Heidelberg digits or speech commands (Cramer et al. 2022, doi:10.1109/TNNLS.2020.3044364): an HDF5 file as published.

    Needs h5py.
    """
    try:
        import h5py
    except ImportError:
        raise InputError(f"{path}: reading HDF5 needs h5py: pip install h5py") from None
    try:
        with h5py.File(path) as file:
            times = [np.asarray(t, float) * 1e3 for t in file["spikes/times"]]
            channels = [np.asarray(u, np.int64) for u in file["spikes/units"]]
            labels = np.asarray(file["labels"]).astype(np.int64).tolist()
            if not isinstance(labels, list):
                raise TypeError("labels are no list")
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a file of the Heidelberg data sets ({error!s:.100})") from None
    return _event_data(path, times, channels, labels, SHD_CHANNELS)


def dvs_gesture(paths: Iterable[Path | str]) -> EventData:
    """DVS128 Gesture (Amir et al. 2017): ``userNN_light.aedat`` files, each with its ``…_labels.csv`` beside it.

    A sample is one gesture; labels count from 0. Channel = (polarity * 128 + y) * 128 + x.
    """
    times, channels, labels = [], [], []
    for given in paths:
        path = Path(given)
        at, channel = _aedat(path)
        for label, start, stop in _gestures(path.with_name(f"{path.stem}_labels.csv")):
            inside = (at >= start) & (at < stop)
            times.append((at[inside] - start) * 1e-3)
            channels.append(channel[inside])
            labels.append(label)
    return _event_data("DVS128 Gesture", times, channels, labels, 2 * DVS_SIZE**2)


def _gestures(path: Path) -> list[tuple[int, int, int]]:
    """Label from 0, begin and end in microseconds, of each gesture."""
    try:
        with path.open(newline="") as file:
            found = [
                (int(row["class"]) - 1, int(row["startTime_usec"]), int(row["endTime_usec"]))
                for row in csv.DictReader(file)
            ]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: expected columns class, startTime_usec, endTime_usec ({error!s:.100})") from None
    for label, start, stop in found:
        if label < 0 or not 0 <= start < stop:
            raise InputError(
                f"{path}: class {label + 1} from {start} to {stop} us; classes count from 1, times rise from 0"
            )
    if not found:
        raise InputError(f"{path}: holds no gesture")
    return found


def _aedat(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Microseconds and channels of the polarity events of an AEDAT 3.1 file."""
    content = _bytes(path)
    end = content.find(b"#!END-HEADER\r\n")
    if not content.startswith(b"#!AER-DAT3") or end < 0:
        raise InputError(f"{path}: not an AEDAT 3 file")
    place, found = end + len(b"#!END-HEADER\r\n"), []
    while place < len(content):
        if place + 28 > len(content):
            raise InputError(f"{path}: the packet at byte {place} is cut off")
        kind, _, size, _, _, _, number, _ = struct.unpack_from("<hhiiiiii", content, place)
        place += 28
        if size <= 0 or number < 0 or place + size * number > len(content):
            raise InputError(f"{path}: a packet at byte {place - 28} is cut off or damaged")
        if kind == 1 and (size < 8 or size % 4):
            raise InputError(f"{path}: polarity events of {size} bytes in the packet at byte {place - 28}, expected 8")
        if kind == 1:
            found.append(np.frombuffer(content, "<u4", size * number // 4, place).reshape(number, size // 4)[:, :2])
        place += size * number
    events = np.concatenate(found) if found else np.zeros((0, 2), np.uint32)
    events = events[events[:, 0] & 1 == 1].astype(np.int64)
    polarity, y, x = events[:, 0] >> 1 & 1, events[:, 0] >> 2 & 0x7FFF, events[:, 0] >> 17 & 0x7FFF
    if x.size and (x.max() >= DVS_SIZE or y.max() >= DVS_SIZE):
        raise InputError(f"{path}: an event outside of {DVS_SIZE} x {DVS_SIZE} pixels")
    return events[:, 1], (polarity * DVS_SIZE + y) * DVS_SIZE + x


def _event_data(
    where: object, times: list[np.ndarray], channels: list[np.ndarray], labels: list[int], n_channels: int
) -> EventData:
    if not labels:
        raise InputError(f"{where}: holds no sample; put the published files there")
    try:
        return EventData.of(times, channels, np.array(labels, np.int64), n_channels)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
