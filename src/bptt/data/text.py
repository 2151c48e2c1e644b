"""Texts as streams of characters or bytes."""

from __future__ import annotations

import codecs
import copy
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bptt.arguments import real, size
from bptt.arrays import as_ids

Ids = npt.NDArray[np.int64]


class Vocabulary:
    """The symbols of a character-level model. The id of a symbol is its position in `symbols`.

    Byte n is the same symbol as the character with code point n, as in Latin-1. A text may also be bytes, and
    `decode(ids).encode("latin-1")` returns these bytes.

    Parameters
    ----------
    symbols : str or bytes
        At least two characters, each once.

    Attributes
    ----------
    symbols : str

    Raises
    ------
    TypeError, ValueError
        `symbols` is neither str nor bytes, has fewer than two characters, or has a character twice.

    Examples
    --------
    >>> import bptt
    >>> vocabulary = bptt.data.Vocabulary("abcdr")
    >>> ids = vocabulary.encode("abracadabra")
    >>> ids.tolist()
    [0, 1, 4, 0, 2, 0, 3, 0, 1, 4, 0]
    >>> vocabulary.decode(ids)
    'abracadabra'
    """

    def __init__(self, symbols: str | bytes) -> None:
        if not isinstance(symbols, (str, bytes)):
            raise TypeError(
                f'symbols must be str or bytes; got {type(symbols).__name__}. Fix: pass "".join(symbols).'
            )
        self._codes = _codes(symbols)
        self.symbols = _text(self._codes)
        self._order = np.argsort(self._codes)
        self._sorted = self._codes[self._order]
        if len(symbols) < 2 or (self._sorted[1:] == self._sorted[:-1]).any():
            raise ValueError(
                f"symbols must be at least 2 characters, each once; got {symbols!r:.80}. "
                "Fix: use Vocabulary.of(text)."
            )

    @classmethod
    def of(cls, text: str | bytes) -> Vocabulary:
        """Collect the characters or bytes of `text` in the order of their code points.

        Raises
        ------
        ValueError
            The text is empty, or has only one symbol.
        """
        symbols = np.unique(_codes(text))
        if len(symbols) < 2:
            actual = f"only {text[:1]!r}" if text else "an empty text"
            raise ValueError(
                f"text must hold at least 2 different symbols; got {actual}. Fix: pass a text with at least "
                "2 symbols."
            )
        return cls(_text(symbols))

    def encode(self, text: str | bytes) -> Ids:
        """Return the ids (len(text),), int64, of the characters or bytes of a text.

        Raises
        ------
        TypeError
            `text` is neither str nor bytes.
        ValueError
            The vocabulary lacks a character; the message names it and its position.
        """
        codes = _codes(text)
        sorted_index = np.minimum(np.searchsorted(self._sorted, codes), len(self) - 1)
        unknown = np.flatnonzero(self._sorted[sorted_index] != codes)
        if len(unknown):
            position = int(unknown[0])
            symbol = text[position : position + 1]
            raise ValueError(
                f"text must hold only the {len(self)} symbols of the vocabulary; got {symbol!r} "
                f"at position {position}. Fix: remove {symbol!r}, or make the vocabulary from a text that "
                "contains it."
            )
        return self._order[sorted_index].astype(np.int64, copy=False)

    def decode(self, ids: npt.ArrayLike) -> str:
        """Return the text of integer ids of any shape, read in C order.

        Raises
        ------
        TypeError, ValueError
            `ids` does not hold integers, or an id is outside 0 ... len - 1.
        """
        flat = as_ids(ids, "ids", empty=True).reshape(-1)
        outside = flat[(flat < 0) | (flat >= len(self))]
        if len(outside):
            raise ValueError(
                f"ids must lie in 0..{len(self) - 1}; got {outside[0]}. "
                "Fix: decode with the vocabulary that encoded the text."
            )
        return _text(self._codes[flat])

    def to_dict(self) -> dict[str, str]:
        """Return the symbols as JSON values."""
        return {"symbols": self.symbols}

    @classmethod
    def from_dict(cls, values: Mapping[str, str]) -> Vocabulary:
        """Return the vocabulary that `to_dict` described.

        Raises
        ------
        TypeError, ValueError
            `values` is not what `to_dict` returns.
        """
        if not isinstance(values, Mapping) or set(values) != {"symbols"}:
            actual = sorted(map(str, values)) if isinstance(values, Mapping) else type(values).__name__
            raise TypeError(
                f"values must be a mapping with symbols; got {actual!s:.100}. "
                "Fix: pass what to_dict() returned."
            )
        return cls(**values)

    def __len__(self) -> int:
        return len(self.symbols)

    def __repr__(self) -> str:
        return f"Vocabulary({self.symbols!r})"


class TextStream:
    """Cut a text into `batch_size` rows that are read side by side. The target is the next character.

    Row b holds the symbols from b*n to (b+1)*n - 1, where n = (symbols - 1) // batch_size. A batch is
    `(x, target)`, both int64 (T, B), T = `steps` except in the last batch, which holds the rest of the rows.

    Parameters
    ----------
    source : str, bytes or os.PathLike
        A PathLike names a file. A str names a file if that file exists. Otherwise the str is the text itself,
        unless it looks like a file name (a folder or a suffix, no white space): then FileNotFoundError is
        raised. bytes are always the text itself, one symbol per byte.
    steps, batch_size : int
        Number of time steps per batch, T, and number of rows, B.
    vocabulary : Vocabulary, optional
        Vocabulary to use, for instance that of a trained model. Default: the symbols of the text.
    encoding : str
        Encoding of the file. All line ends become LF, except with "latin-1": this encoding reads every byte
        of any file as one symbol, carriage returns included.

    Attributes
    ----------
    vocabulary : Vocabulary
    ids : ndarray of int64 (symbols,)
        The whole text.

    Raises
    ------
    TypeError
        An argument has the wrong type.
    LookupError
        Python does not know the encoding.
    OSError
        The file is missing or cannot be read.
    ValueError
        The file has another encoding. The text is empty, has only one symbol, a symbol that `vocabulary`
        lacks, or fewer symbols than steps * batch_size + 1.

    Examples
    --------
    >>> import bptt
    >>> data = bptt.data.TextStream("abracadabra, said the magician. " * 9, steps=16, batch_size=4)
    >>> x, target = next(iter(data))
    >>> x.shape, data.vocabulary.decode(x[:, 0])
    ((16, 4), 'abracadabra, sai')
    """

    carries_state = True
    time_first = True
    per_step = True

    def __init__(
        self,
        source: str | bytes | os.PathLike[str],
        *,
        steps: int,
        batch_size: int,
        vocabulary: Vocabulary | None = None,
        encoding: str = "utf-8",
    ) -> None:
        if vocabulary is not None and not isinstance(vocabulary, Vocabulary):
            raise TypeError(
                f"vocabulary must be a Vocabulary; got {type(vocabulary).__name__}. "
                "Fix: pass Vocabulary(symbols)."
            )
        text, self._source = _read(source, encoding)
        self.batch_size = size(batch_size, "batch_size")
        self.steps = size(steps, "steps")
        try:
            self.vocabulary = Vocabulary.of(text) if vocabulary is None else vocabulary
            self._set_ids(self.vocabulary.encode(text))
        except ValueError as error:
            raise ValueError(f"{self._source}: {error}") from None

    def _set_ids(self, ids: Ids) -> None:
        need = self.batch_size * self.steps + 1
        if len(ids) < need:
            raise ValueError(
                f"steps {self.steps} x batch_size {self.batch_size} needs a text of at least {need} symbols; "
                f"got {len(ids)}. Fix: pass a smaller batch_size, fewer steps, or more text."
            )
        self.ids = ids
        self._row = (len(ids) - 1) // self.batch_size

    def split(self, validation: float = 0.1) -> tuple[TextStream, TextStream]:
        """Split the text into two streams, for training and validation. The validation part comes last.

        Parameters
        ----------
        validation : float
            Fraction of the symbols in the validation part, in (0, 1).

        Raises
        ------
        TypeError, ValueError
            `validation` is not a number in (0, 1), or a part has fewer than steps * batch_size + 1 symbols.
        """
        fraction = real(validation, "validation", 0.0, 1.0, above=True)
        cut = len(self.ids) - round(len(self.ids) * fraction)
        return self._part("training", self.ids[:cut]), self._part("validation", self.ids[cut:])

    def _part(self, name: str, ids: Ids) -> TextStream:
        part = copy.copy(self)
        part._source = f"{name} part of {self._source}"
        try:
            part._set_ids(ids)
        except ValueError as error:
            raise ValueError(f"{part._source}: {error}") from None
        return part

    def encode(self, text: str | bytes) -> Ids:
        """Return the ids of a text: see `Vocabulary.encode`."""
        return self.vocabulary.encode(text)

    def decode(self, ids: npt.ArrayLike) -> str:
        """Return the text of ids: see `Vocabulary.decode`."""
        return self.vocabulary.decode(ids)

    def __len__(self) -> int:
        return -(-self._row // self.steps)

    def __iter__(self) -> Iterator[tuple[Ids, Ids]]:
        used = self.batch_size * self._row
        x = self.ids[:used].reshape(self.batch_size, self._row)
        target = self.ids[1 : used + 1].reshape(self.batch_size, self._row)
        for start in range(0, self._row, self.steps):
            window = slice(start, start + self.steps)
            yield np.ascontiguousarray(x[:, window].T), np.ascontiguousarray(target[:, window].T)

    def __repr__(self) -> str:
        return (
            f"TextStream({self._source}: {len(self.ids)} symbols, {len(self.vocabulary)} different, "
            f"in {len(self)} batches of {self.steps} x {self.batch_size})"
        )


def _codes(text: str | bytes) -> npt.NDArray[np.uint32]:
    if isinstance(text, bytes):
        return np.frombuffer(text, np.uint8).astype("<u4")
    if not isinstance(text, str):
        raise TypeError(f"text must be a str or bytes; got {type(text).__name__}. Fix: pass a str.")
    # Python allows surrogates as characters, so allow them here, too.
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _text(codes: npt.NDArray[np.uint32]) -> str:
    return codes.astype("<u4", copy=False).tobytes().decode("utf-32-le", "surrogatepass")


def _read(source: str | bytes | os.PathLike[str], encoding: str) -> tuple[str | bytes, str]:
    """Return the text, and its name in error messages."""
    if isinstance(source, os.PathLike):
        return _read_file(Path(source), encoding)
    if isinstance(source, bytes):
        return source, "bytes"
    if not isinstance(source, str):
        raise TypeError(
            f"source must be a path, a str or bytes; got {type(source).__name__}. "
            "Fix: pass a pathlib.Path, or the text itself."
        )
    # Common file systems allow names of at most 255 bytes. For a whole book, lexists would raise an error.
    name_like = 0 < len(source) <= 255 and not re.search(r"[\n\r\0]", source)
    if name_like and os.path.lexists(source):
        return _read_file(Path(source), encoding)
    if name_like and re.fullmatch(r"\S+\.\w{1,8}|\S*[/\\]\S*", source):
        raise FileNotFoundError(f"there is no file {source}. Fix: check its name and folder.")
    return source, "text, because there is no file of this name" if name_like else "text"


def _read_file(path: Path, encoding: str) -> tuple[str | bytes, str]:
    if codecs.lookup(encoding).name == "iso8859-1":
        return path.read_bytes(), str(path)
    try:
        return path.read_text(encoding=encoding), str(path)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} must be {encoding} text; got an invalid byte at position {error.start}. "
            "Fix: pass the encoding of the file."
        ) from None
