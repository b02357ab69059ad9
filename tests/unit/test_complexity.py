"""Lempel-Ziv complexity: hand-parsed strings, a second parser, entropy rates of sources, and what it adds to a count."""

from __future__ import annotations

import numpy as np
import pytest

import cortexsnn as cx
from cortexsnn import analysis
from cortexsnn.recording import Events, from_events


def bits(text: str) -> np.ndarray:
    return np.array([int(c) for c in text])


@pytest.mark.parametrize(
    ("text", "words"),
    [("0001101001000101", 6), ("0" * 16, 2), ("01" * 8, 3), ("1001111011000010", 6), ("0", 1), ("1", 1), ("01", 2)],
)
def test_words_parsed_by_hand(text: str, words: int) -> None:
    """0 | 001 | 10 | 100 | 1000 | 101; LZ78 would give 7 for it."""
    assert analysis.lempel_ziv(bits(text)) == words


def test_the_normalised_form() -> None:
    found = [analysis.lempel_ziv(bits(t), normalised=True) for t in ("0001101001000101", "0" * 16, "01" * 8)]
    assert found == [1.5, 0.5, 0.75]


def kaspar_schuster(s: list[int]) -> int:
    """A second parser, by the published loops (Kaspar and Schuster 1987)."""
    n, i, k, longest, prefix, count = len(s), 0, 1, 1, 1, 1
    if n == 1:
        return 1
    while True:
        if s[i + k - 1] == s[prefix + k - 1]:
            k += 1
            if prefix + k > n:
                return count + 1
        else:
            longest = max(k, longest)
            i += 1
            if i == prefix:
                count += 1
                prefix += longest
                if prefix + 1 > n:
                    return count
                i, longest = 0, 1
            k = 1


def test_two_parsers_agree() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        string = random.random(random.integers(2, 120)) < random.random()
        assert analysis.lempel_ziv(string) == kaspar_schuster(string.astype(int).tolist())


def entropy(p: float) -> float:
    return float(-p * np.log2(p) - (1 - p) * np.log2(1 - p))


@pytest.mark.parametrize(
    ("p", "known"),
    [(0.02, (0.200, 0.152, 0.133)), (0.1, (0.563, 0.489, 0.467)), (0.5, (1.116, 1.057, 1.037))],
)
def test_the_bias_of_short_strings(p: float, known: tuple[float, ...]) -> None:
    """Against means of 10 strings in the method's sheet, as far as 10 strings can tell; falling towards the entropy."""
    random = np.random.default_rng(1)
    values = [analysis.lempel_ziv(random.random((60, n)) < p, normalised=True) for n in (256, 1024, 4096)]
    for found, expected in zip(values, known, strict=True):
        assert abs(found.mean() - expected) < 4 * found.std() / np.sqrt(10) + 5e-4
    assert values[0].mean() > values[1].mean() > values[2].mean() > entropy(p) - 0.02


@pytest.mark.parametrize(("p", "known"), [(0.02, 0.130), (0.1, 0.457), (0.5, 1.025)])
def test_the_bias_of_long_strings(p: float, known: float) -> None:
    """Means of 10 strings of 16 384, here and in the sheet; rare ones are below their entropy from 4 096 on."""
    found = analysis.lempel_ziv(np.random.default_rng(1).random((10, 16384)) < p, normalised=True)
    assert abs(found.mean() - known) < 4 * found.std(ddof=1) * np.sqrt(2 / 10) + 5e-4
    if p == 0.5:
        assert 1 < found.mean() < 1.037


def test_the_entropy_of_a_poisson_train() -> None:
    """20 Hz in bins of 1 ms: p = 0.019801, 0.14032 bit per bin, 140.3 bit/s; complexity is above it at 1 024 bins and below at 4 096."""
    p = 1 - np.exp(-20 * 1e-3)
    assert p == pytest.approx(0.019801, abs=5e-7)
    assert entropy(p) == pytest.approx(0.14032, abs=5e-6)
    assert entropy(p) / 1e-3 == pytest.approx(140.3, abs=0.05)
    random = np.random.default_rng(6)
    short, long = (analysis.lempel_ziv(random.random((200, n)) < p, normalised=True).mean() for n in (1024, 4096))
    assert 0.14032 < short < 1.1 * 0.14032
    assert 0.9 * 0.14032 < long < 0.14032


def markov(random: np.random.Generator, n_strings: int, n: int, p01: float, p10: float) -> np.ndarray:
    """Two-state chains from their stationary distribution."""
    found = np.zeros((n_strings, n), bool)
    found[:, 0] = random.random(n_strings) < p01 / (p01 + p10)
    for k in range(1, n):
        u = random.random(n_strings)
        found[:, k] = np.where(found[:, k - 1], u >= p10, u < p01)
    return found


def test_order_is_seen_and_shuffling_hides_it() -> None:
    """p01 = 0.05, p10 = 0.2: entropy rate 0.3735, that of the shuffled string 0.7219."""
    random = np.random.default_rng(2)
    chains = markov(random, 40, 1024, 0.05, 0.2)
    rate = 0.8 * entropy(0.05) + 0.2 * entropy(0.2)
    assert rate == pytest.approx(0.3735, abs=1e-4)
    assert analysis.lempel_ziv(chains, normalised=True).mean() == pytest.approx(0.383, abs=0.02)
    shuffled = random.permuted(chains, axis=1)
    assert analysis.lempel_ziv(shuffled, normalised=True).mean() == pytest.approx(0.723, abs=0.03)


def test_swapping_the_symbols_changes_nothing_but_time_has_a_direction() -> None:
    strings = np.random.default_rng(3).random((300, 64)) < 0.5
    found = analysis.lempel_ziv(strings)
    assert (analysis.lempel_ziv(~strings) == found).all()
    assert 150 < (analysis.lempel_ziv(strings[:, ::-1]) != found).sum() < 260


def _accuracy(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Nearest mean on half of the strings, measured on the other: by complexity and by count."""
    half = len(first) // 2
    labels = np.repeat([0, 1], half)
    found = []
    for feature in (lambda s: analysis.lempel_ziv(s, normalised=True), lambda s: s.sum(1)):
        train = np.concatenate([feature(first[:half]), feature(second[:half])])[:, None]
        test = np.concatenate([feature(first[half:]), feature(second[half:])])[:, None]
        found.append(float((analysis.nearest_mean(train, labels, test) == labels).mean()))
    return found[0], found[1]


def test_what_it_adds_to_a_count() -> None:
    """Rates apart (20 and 30 Hz, 1 024 bins): less than the count. Equal rates, different order: everything.

    Over 6 000 strings complexity gets 0.805 right and the count 0.842; the method's sheet has 0.850 and 0.853.
    """
    random = np.random.default_rng(4)
    slow, fast = (random.random((1200, 1024)) < 1 - np.exp(-r / 1000) for r in (20, 30))
    by_complexity, by_count = _accuracy(slow, fast)
    four = 4 * np.sqrt(0.85 * 0.15 / 1200)  # standard errors
    assert by_complexity == pytest.approx(0.805, abs=four)
    assert by_count == pytest.approx(0.842, abs=four)
    assert by_count > by_complexity
    chains = markov(random, 200, 1024, 0.05, 0.2)
    by_complexity, by_count = _accuracy(chains, random.random((200, 1024)) < 0.2)
    assert by_complexity > 0.99
    assert abs(by_count - 0.5) < 0.12


def test_of_a_recording() -> None:
    random = np.random.default_rng(5)
    dense = random.random((3, 200, 4)) < 0.1
    recording = from_events({"E": Events.from_dense(dense)}, {"E": 4}, dt_ms=0.5, n_steps=200, n_trials=3)
    found = analysis.lempel_ziv_complexity(recording, "E", bin_ms=1.0, start_ms=10.0)
    binned = dense[:, 20:].reshape(3, 90, 2, 4).any(2)
    expected = analysis.lempel_ziv(binned.transpose(0, 2, 1), normalised=True)
    assert np.array_equal(found.values, expected)
    assert found.attrs["n_bins"] == 90
    assert found.attrs["units"] == "bit"
    words = analysis.lempel_ziv_complexity(recording, "E", normalised=False)
    assert words.attrs["units"] == "1"
    assert (words.values == analysis.lempel_ziv(dense.transpose(0, 2, 1))).all()


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: analysis.lempel_ziv([0, 2]), "expected 0 and 1"),
        (lambda: analysis.lempel_ziv([]), "n >= 1"),
        (lambda: analysis.nearest_mean([[0.0], [1.0]], [0, 0], [[1.0]]), "at least two classes"),
        (lambda: analysis.nearest_mean([[0.0], [np.nan]], [0, 1], [[1.0]]), "NaN or infinity"),
        (lambda: analysis.nearest_mean([0.0, 1.0], [0, 1], [[1.0]]), "expected \\(sample, feature\\)"),
        (lambda: analysis.lempel_ziv([[0, 1], [1]]), "strings: expected an array, got rows of different lengths"),
        (lambda: analysis.nearest_mean([[0.0], [0.0]], [0, 1], [[1.0]]), "all are constant or there are none"),
        (
            lambda: analysis.nearest_mean(np.zeros((2, 0)), [0, 1], np.zeros((1, 0))),
            "all are constant or there are none",
        ),
        (lambda: analysis.nearest_mean([[0.0], [1.0]], [0.0, 0.5], [[1.0]]), "labels: expected whole numbers or names"),
        (lambda: analysis.nearest_mean([[0.0], [1.0, 2.0]], [0, 1], [[1.0]]), "features: expected an array, got rows"),
        (lambda: analysis.nearest_mean([["a"], ["b"]], [0, 1], [[1.0]]), "features: expected real numbers"),
    ],
)
def test_bad_input_is_named(call: object, expected: str) -> None:
    with pytest.raises(cx.InputError, match=expected):
        call()  # type: ignore[operator]
