"""Text streams and windows: every symbol in its place, and one sentence for each thing that can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.grids import pairwise

import bptt
from bptt.data import TextStream, Vocabulary, Windows

TEXT = "the quick brown fox jumps over the lazy dog\n" * 5


@pytest.mark.parametrize("text", ["ab", "ba", "häß\n\t", "日本語 and \U0001f600", "\x00\ud800\uffff"])
def test_vocabulary_round_trip(text: str) -> None:
    vocabulary = Vocabulary.of(text)
    assert sorted(vocabulary.symbols) == sorted(set(text))
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int64
    assert [vocabulary.symbols[i] for i in ids] == list(text)
    assert vocabulary.decode(ids) == text
    assert vocabulary.decode(ids.reshape(1, -1).tolist()) == text
    assert vocabulary.decode([]) == vocabulary.decode(vocabulary.encode("")) == ""


def test_vocabulary_keeps_the_order_it_is_given() -> None:
    vocabulary = Vocabulary("zax")
    np.testing.assert_array_equal(vocabulary.encode("axz"), [1, 2, 0])
    assert vocabulary.decode([0, 1, 2]) == "zax"


@pytest.mark.parametrize(("batch_size", "steps"), [(1, 1), (1, 219), (4, 10), (7, 31), (3, 20)])
def test_stream_reads_each_row_on_where_it_stopped(batch_size: int, steps: int) -> None:
    stream = TextStream(TEXT, batch_size=batch_size, steps=steps)
    row = (len(TEXT) - 1) // batch_size
    for _ in range(2):  # once per epoch
        batches = list(stream)
        assert len(batches) == len(stream)
        assert all(x.shape == target.shape == (steps, batch_size) for x, target in batches[:-1])
        x, target = (np.concatenate(part) for part in zip(*batches, strict=True))
        assert x.shape == target.shape == (row, batch_size)
        for b in range(batch_size):
            assert stream.decode(x[:, b]) == TEXT[b * row : (b + 1) * row]
            assert stream.decode(target[:, b]) == TEXT[b * row + 1 : (b + 1) * row + 1]
    assert stream.carries_state


def test_split_shares_the_vocabulary_and_keeps_the_order() -> None:
    stream = TextStream(TEXT, batch_size=2, steps=5)
    train, validation = stream.split(0.25)
    assert train.decode(train.ids) + validation.decode(validation.ids) == TEXT
    assert len(validation.ids) == len(TEXT) // 4
    assert train.vocabulary is validation.vocabulary is stream.vocabulary


def test_stream_with_a_given_vocabulary() -> None:
    vocabulary = Vocabulary.of(TEXT + "!")
    stream = TextStream("fox dog\n" * 9, batch_size=2, steps=5, vocabulary=vocabulary)
    assert stream.vocabulary is vocabulary
    np.testing.assert_array_equal(stream.encode("fox"), vocabulary.encode("fox"))


def test_stream_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("één\r\ntwee\r\n".encode() * 9)
    for name in (path, str(path)):
        stream = TextStream(name, batch_size=2, steps=5)
        assert stream.decode(stream.ids) == "één\ntwee\n" * 9
    path.write_bytes("één".encode("latin-1") * 9)
    assert TextStream(path, batch_size=2, steps=5, encoding="latin-1").decode([0]) == "n"


EVERY_BYTE = bytes(range(256)) * 3 + b"\r\n\r\n\n\r"


def test_bytes_are_symbols_one_by_one(tmp_path: Path) -> None:
    """The same ids from bytes, from a binary file, and from the characters of the same code points."""
    streams = [
        TextStream(EVERY_BYTE, batch_size=2, steps=5),
        TextStream(file(tmp_path, EVERY_BYTE), batch_size=2, steps=5, encoding="latin-1"),
        TextStream(str(file(tmp_path, EVERY_BYTE)), batch_size=2, steps=5, encoding="ISO-8859-1"),
        TextStream(EVERY_BYTE.decode("latin-1"), batch_size=2, steps=5),
    ]
    for stream in streams:
        np.testing.assert_array_equal(stream.ids, list(EVERY_BYTE))
        assert stream.decode(stream.ids).encode("latin-1") == EVERY_BYTE
        assert stream.vocabulary.symbols == "".join(map(chr, range(256)))
        np.testing.assert_array_equal(stream.encode(b"\r\x00"), [13, 0])
    name = str(file(tmp_path, b"other text"))
    assert TextStream(name.encode() * 9, batch_size=2, steps=5).vocabulary.symbols == "".join(
        sorted(set(name))
    )


def file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "file.txt"
    path.write_bytes(content)
    return path


STREAM_ERRORS = {
    "missing path": (
        lambda tmp: TextStream(tmp / "none.txt", batch_size=1, steps=1),
        FileNotFoundError,
        "none.txt",
    ),
    "missing name": (
        lambda tmp: TextStream("none.txt", batch_size=1, steps=1),
        FileNotFoundError,
        "no file none.txt",
    ),
    "missing folder": (
        lambda tmp: TextStream("no/such/file", batch_size=1, steps=1),
        FileNotFoundError,
        "no file no/such/file",
    ),
    "a folder": (lambda tmp: TextStream(tmp, batch_size=1, steps=1), OSError, "directory|denied"),
    "not UTF-8": (
        lambda tmp: TextStream(file(tmp, b"abc\xff"), batch_size=1, steps=1),
        ValueError,
        "utf-8 text; .* byte at position 3",
    ),
    "empty file": (
        lambda tmp: TextStream(file(tmp, b""), batch_size=1, steps=1),
        ValueError,
        r"file.txt: .*an empty text",
    ),
    "empty text": (lambda tmp: TextStream("", batch_size=1, steps=1), ValueError, "an empty text"),
    "one symbol": (
        lambda tmp: TextStream("aaaa\n".replace("\n", "a") * 99, batch_size=2, steps=3),
        ValueError,
        "only 'a'",
    ),
    "too short": (
        lambda tmp: TextStream(TEXT, batch_size=20, steps=11),
        ValueError,
        "at least 221 symbols; got 220",
    ),
    "a missing name with spaces": (
        lambda tmp: TextStream("my file", batch_size=5, steps=5),
        ValueError,
        "no file of this name",
    ),
    "unknown symbol": (
        lambda tmp: TextStream("abc!", batch_size=1, steps=1, vocabulary=Vocabulary("abc")),
        ValueError,
        "got '!' at position 3",
    ),
    "no text": (
        lambda tmp: TextStream(["abc"], batch_size=1, steps=1),
        TypeError,
        "source must be a path, a str or bytes",
    ),
    "no bytes": (lambda tmp: TextStream(b"", batch_size=1, steps=1), ValueError, "bytes: .*an empty text"),
    "one byte": (lambda tmp: TextStream(b"aaa", batch_size=1, steps=1), ValueError, "only b'a'"),
    "an unknown byte": (
        lambda tmp: TextStream(b"ab\xff", batch_size=1, steps=1, vocabulary=Vocabulary(b"ab")),
        ValueError,
        r"got b'\\xff' at position 2",
    ),
    "no rows": (lambda tmp: TextStream(TEXT, batch_size=0, steps=5), ValueError, "batch_size must"),
    "steps a float": (lambda tmp: TextStream(TEXT, batch_size=2, steps=5.0), TypeError, "steps must"),
    "split of all": (
        lambda tmp: TextStream(TEXT, batch_size=2, steps=5).split(1.0),
        ValueError,
        "validation must",
    ),
    "validation too short": (
        lambda tmp: TextStream(TEXT, batch_size=4, steps=10).split(0.1),
        ValueError,
        "validation part of text: .*at least 41",
    ),
    "training too short": (
        lambda tmp: TextStream(TEXT, batch_size=4, steps=10).split(0.9),
        ValueError,
        "training part",
    ),
    "one symbol twice": (lambda tmp: Vocabulary("abca"), ValueError, "each once"),
    "a vocabulary of one": (lambda tmp: Vocabulary("a"), ValueError, "at least 2"),
    "a vocabulary of numbers": (lambda tmp: Vocabulary([1, 2]), TypeError, "symbols must"),
    "an id too large": (lambda tmp: Vocabulary("ab").decode([0, 2]), ValueError, r"0\.\.1; got 2"),
    "an id below 0": (lambda tmp: Vocabulary("ab").decode([-1]), ValueError, "got -1"),
    "ids of floats": (lambda tmp: Vocabulary("ab").decode([0.0]), TypeError, "ids must"),
}


def test_bad_text(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for name in STREAM_ERRORS:
        with subtests.test(name):
            call, error, message = STREAM_ERRORS[name]
            with pytest.raises(error, match=message):
                call(tmp_path)


@pairwise(
    ("ahead, stride, batch_size", [(1, 1, 4), (3, 2, 5), (2, 7, 100)]),
    ("features", [None, 1, 3]),
    ("last", [False, True]),
)
def test_windows(ahead: int, stride: int, batch_size: int, features: int | None, last: bool) -> None:
    series = np.arange(40.0) if features is None else np.arange(40.0 * features).reshape(40, features)
    windows = Windows(series, steps=6, batch_size=batch_size, ahead=ahead, stride=stride, last=last)
    batches = list(windows)
    assert len(batches) == len(windows)
    rows = series.reshape(40, -1)
    starts = range(0, 40 - 6 - ahead + 1, stride)
    x = np.concatenate([x for x, _ in batches], axis=1)
    target = np.concatenate([target for _, target in batches], axis=-2)
    assert x.shape[1] == target.shape[-2] == len(starts)
    for b, start in enumerate(starts):
        np.testing.assert_array_equal(x[:, b], rows[start : start + 6])
        later = rows[start + ahead : start + ahead + 6]
        np.testing.assert_array_equal(target[b] if last else target[:, b], later[-1] if last else later)
    assert not getattr(windows, "carries_state", False)


def test_windows_shuffle_anew_in_every_pass_from_the_seed() -> None:
    def passes(seed: int) -> list[list[float]]:
        windows = Windows(np.arange(50.0), steps=2, batch_size=7, shuffle=True, seed=seed)
        return [np.concatenate([x[0, :, 0] for x, _ in windows]).tolist() for _ in range(2)]

    first, second = passes(1)
    assert first != second
    assert sorted(first) == sorted(second) == list(range(48))
    assert passes(1) == [first, second]
    assert passes(2) != [first, second]


WINDOW_ERRORS = {
    "too short": (lambda: Windows(np.zeros(6), steps=6, batch_size=1), ValueError, "= 7 values; got 6"),
    "three axes": (
        lambda: Windows(np.zeros((9, 2, 2)), steps=2, batch_size=1),
        ValueError,
        "series must have shape",
    ),
    "text": (lambda: Windows("abc", steps=2, batch_size=1), TypeError, "series must"),
    "ahead 0": (lambda: Windows(np.zeros(9), steps=2, batch_size=1, ahead=0), ValueError, "ahead must"),
    "stride 0": (lambda: Windows(np.zeros(9), steps=2, batch_size=1, stride=0), ValueError, "stride must"),
    "last a number": (lambda: Windows(np.zeros(9), steps=2, batch_size=1, last=1), TypeError, "last must"),
}


@pytest.mark.parametrize("name", WINDOW_ERRORS)
def test_bad_series(name: str) -> None:
    call, error, message = WINDOW_ERRORS[name]
    with pytest.raises(error, match=message):
        call()


# Ragged


def sequences_of(*lengths, width=3, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((n, width)) for n in lengths]


def test_ragged_batches_hold_every_sequence_once_with_its_target():
    lengths = [5, 1, 9, 3, 3, 7, 2]
    sequences = sequences_of(*lengths)
    data = bptt.data.Ragged(sequences, np.arange(7), batch_size=3, shuffle=True, pool=1, seed=0)
    assert len(data) == 3
    for _ in range(2):
        seen = []
        for x, target, counts in data:
            assert x.shape == (counts.max(), len(counts), 3)
            for row, (i, n) in enumerate(zip(target, counts, strict=True)):
                np.testing.assert_array_equal(x[:n, row], sequences[i])
                assert not x[n:, row].any()
                seen.append(i)
        assert sorted(seen) == list(range(7))


def test_ragged_batches_are_of_about_one_length():
    lengths = np.random.default_rng(1).integers(1, 100, 640)
    data = bptt.data.Ragged(sequences_of(*lengths), np.zeros(640), batch_size=32, shuffle=True, seed=0)
    padded = sum(len(x) * len(counts) for x, _, counts in data)
    assert padded < 1.1 * lengths.sum()
    first, second = ([tuple(counts) for *_, counts in data] for _ in range(2))
    assert first != second
    ordered = bptt.data.Ragged(sequences_of(*lengths), np.zeros(640), batch_size=32)
    longest = [counts.max() for *_, counts in ordered]
    assert longest == sorted(longest)


def test_ragged_targets_per_step_and_ids():
    ids = [np.array([3, 1]), np.array([2, 2, 5])]
    (batch,) = bptt.data.Ragged(ids, [i + 1 for i in ids], batch_size=2, per_step=True)
    np.testing.assert_array_equal(batch[0], [[3, 2], [1, 2], [0, 5]])
    np.testing.assert_array_equal(batch[1], [[4, 3], [2, 3], [0, 6]])
    np.testing.assert_array_equal(batch[2], [2, 3])
    (batch,) = bptt.data.Ragged([[0.5], [1.5, 2.5]], [0, 1], batch_size=2)
    assert batch[0].shape == (2, 2, 1)


def test_a_model_trains_on_ragged_batches():
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 30, 60)
    labels = rng.integers(0, 2, 60)
    sequences = [rng.standard_normal((n, 2)) + label for n, label in zip(lengths, labels, strict=True)]
    model = bptt.Sequential(bptt.GRU(2, 8, seed=0), bptt.Last(), bptt.Linear(8, 2, seed=1))
    data = bptt.data.Ragged(sequences, labels, batch_size=16, shuffle=True, seed=0)
    trainer = bptt.Trainer(model, bptt.CrossEntropy(), bptt.Adam(1e-2), progress=False)
    before = trainer.evaluate(data)
    trainer.fit(data, epochs=10)
    assert trainer.evaluate(data) < 0.5 * before


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (([], []), {}, ValueError, "sequences must hold at least one"),
        ((sequences_of(3, 4), [1]), {}, ValueError, "one entry for each of the 2 sequences; got 1"),
        (
            ([np.ones((3, 2)), np.ones((3, 4))], [0, 1]),
            {},
            ValueError,
            r"sequences\[1\] must have as many values",
        ),
        (([np.ones((3, 2, 2))], [0]), {}, ValueError, r"sequences\[0\] must have shape \(T, F\)"),
        ((["text"], [0]), {}, TypeError, r"sequences\[0\] must be"),
        ((sequences_of(3), [[1, 2]]), {"per_step": True}, ValueError, r"targets\[0\] must have 3 entries"),
        ((sequences_of(3), [1]), {"per_step": True}, ValueError, r"targets\[0\]"),
        (
            (sequences_of(3, 2), [[1, 2, 3], [1, 2]]),
            {},
            ValueError,
            r"targets\[1\] must have the shape of targets\[0\].* Fix: pass per_step=True if each step",
        ),
        ((sequences_of(3), [1]), {"pool": 0}, ValueError, "pool"),
    ],
)
def test_ragged_says_what_is_wrong(arguments, options, error, message):
    with pytest.raises(error, match=message):
        bptt.data.Ragged(*arguments, batch_size=2, **options)


def test_sequences_with_channels_before_time() -> None:
    rows = [np.zeros((2, steps)) for steps in (5, 7, 4)]
    with pytest.raises(ValueError, match=r"the first axes agree: pass \[x.T for x in sequences\]"):
        bptt.data.Ragged(rows, [0, 1, 0], batch_size=2)
