"""The examples run: on data made up to look like theirs, and on theirs where it is installed."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
SPEAKERS, CHANNELS = 9, 12


def example(name: str) -> ModuleType:
    spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def vowels() -> ModuleType:
    return example("japanese_vowels")


def utterances(count: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """
    `count` of each speaker, of 7 to 29 steps: two sounds, one after the other.

    Speakers 0 and 1 have the same two in another order, 2 and 3 too, and so on: their means are alike.
    """
    sounds = np.random.default_rng(100).standard_normal((SPEAKERS + 1, CHANNELS))
    rng = np.random.default_rng(seed)
    made, speakers = [], np.repeat(np.arange(SPEAKERS), count)
    for speaker in speakers:
        pair = sounds[speaker - speaker % 2 :][:2][:: 1 - 2 * (speaker % 2)]
        half = rng.integers(4, 15)
        steps = np.repeat(pair, [half, half], axis=0)[rng.integers(2) :]
        made.append(3 + 2 * (steps + 0.5 * rng.standard_normal(steps.shape)))
    return made, speakers


def test_vowels_learns_what_a_mean_cannot_tell(
    vowels: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    (train, train_speakers), (test, test_speakers) = utterances(20, 0), utterances(10, 1)
    train, test = vowels.standardised(train, test)
    assert np.allclose(np.concatenate(train).std(0), 1)
    model = vowels.trained(train, train_speakers, 20, np.random.default_rng(0))
    counts = vowels.confusion(model, test, test_speakers)
    assert counts.sum(1).tolist() == [10] * SPEAKERS
    assert np.trace(counts) > 0.95 * counts.sum()
    assert vowels.baseline((train, train_speakers), (test, test_speakers)) < 0.75
    shown = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in shown] == ["epoch 10 of 20", "epoch 20 of 20"]


def test_vowels_from_the_command_line(
    vowels: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(vowels, "load", lambda split: utterances(5, ("train", "test").index(split)))
    picture = tmp_path / "confusion.png"
    vowels.main(["--epochs", "2", "--seed", "3", "--picture", str(picture)])
    first = capsys.readouterr().out
    assert "45 utterances to train on, 45 to test on, " in first
    assert "test accuracy" in first
    assert "without time" in first
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    picture.unlink(missing_ok=True)
    vowels.main(["--epochs", "2", "--seed", "3", "--picture", str(picture)])
    again = capsys.readouterr().out
    assert not picture.exists()
    assert "bptt[examples]" in again
    right = [
        line.split(",")[0] for text in (first, again) for line in text.splitlines() if "accuracy" in line
    ]
    assert right[0] == right[1]


def test_vowels_draws_in_greys(vowels: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    from matplotlib.image import imread

    path = tmp_path / "confusion.png"
    counts = np.diag([30] * SPEAKERS)
    counts[0, 1] = 2
    assert vowels.draw(counts, path)
    pixels = imread(path)[..., :3]
    assert np.array_equal(pixels.min(-1), pixels.max(-1))
    assert pixels.min() < 0.1


def test_vowels_says_what_is_missing(vowels: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aeon.datasets", None)
    with pytest.raises(SystemExit, match=r"aeon.*pip install 'bptt\[examples\]'"):
        vowels.main([])


def test_vowels_on_the_real_data(
    vowels: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("aeon", reason="needs the extra 'examples'")
    vowels.main(["--picture", str(tmp_path / "confusion.png")])
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("test accuracy"))
    assert float(line.split()[2].rstrip("%")) >= 95
