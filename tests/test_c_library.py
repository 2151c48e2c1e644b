"""libbptt: models of `bptt.save` run without Python, and bad files are errors.

The tests need a build of the library: `cmake -DBPTT_C_API=ON`. `.ci/sanitizers` makes one, with sanitizers.
"""

from __future__ import annotations

import copy
import ctypes
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.c_programs import Array, reference
from tests.test_c_export import OPTIONS, cases_of, chains, inputs

import bptt

PATH = os.environ.get("BPTT_LIBRARY")
ROOT = Path(__file__).parent.parent
OK, BAD_ARGUMENT, CANNOT_READ, BAD_FILE, UNSUPPORTED = range(5)

pytestmark = pytest.mark.skipif(
    not PATH,
    reason="BPTT_LIBRARY is not set. Build libbptt with cmake -DBPTT_C_API=ON, and set it to the path.",
)


class Library:
    """libbptt, with pointers and sizes in Python's types."""

    def __init__(self, path: str) -> None:
        self.c = ctypes.CDLL(path)
        self.c.bptt_error.restype = ctypes.c_char_p
        for name in ("bptt_inputs", "bptt_outputs", "bptt_state_size"):
            getattr(self.c, name).restype = ctypes.c_size_t
            getattr(self.c, name).argtypes = [ctypes.c_void_p]
        self.c.bptt_reads_ids.argtypes = self.c.bptt_free.argtypes = [ctypes.c_void_p]
        self.c.bptt_stream_free.argtypes = self.c.bptt_reset.argtypes = [ctypes.c_void_p]

    @property
    def error(self) -> str:
        text: bytes = self.c.bptt_error()
        return text.decode()

    def load(self, path: Path) -> tuple[int, ctypes.c_void_p]:
        model = ctypes.c_void_p()
        return self.c.bptt_load(os.fsencode(path), ctypes.byref(model)), model

    def load_memory(self, content: bytes) -> tuple[int, ctypes.c_void_p]:
        model = ctypes.c_void_p()
        size = ctypes.c_size_t(len(content))
        return self.c.bptt_load_memory(content, size, ctypes.byref(model)), model

    def stream(self, model: ctypes.c_void_p, rows: int = 1) -> ctypes.c_void_p:
        stream = ctypes.c_void_p()
        status = self.c.bptt_stream_new(model, ctypes.c_size_t(rows), ctypes.byref(stream))
        assert status == OK, self.error
        return stream

    def run(self, stream: ctypes.c_void_p, x: Array, outputs: int) -> Array:
        """x (T, B, I) or ids (T, B) -> y (T, B, O)."""
        ids = x.dtype.kind == "i"
        x = np.ascontiguousarray(x, np.int32 if ids else np.float32)
        y = np.full((*x.shape[:2], outputs), np.nan, np.float32)
        function = self.c.bptt_run_ids if ids else self.c.bptt_run
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in (x, y)]
        assert function(stream, *pointers, ctypes.c_size_t(len(x))) == OK, self.error
        return y


@pytest.fixture(scope="module")
def library() -> Library:
    assert PATH is not None
    return Library(PATH)


def saved(folder: Path, model: Any) -> Path:
    path = folder / "model.safetensors"
    bptt.save(path, model)
    return path


def test_models_agree(library: Library, tmp_path: Path, subtests: pytest.Subtests) -> None:
    """Every pair of options, and every layer without a state, for one row and for several."""
    cases = [*chains(), *(case for layer in OPTIONS for case in cases_of(layer))]
    for case in cases:
        with subtests.test(repr(case.model)[:100]):
            status, model = library.load(saved(tmp_path, case.model))
            assert status == OK, library.error
            expected = reference(case.model, case.x)
            outputs = expected.shape[1]
            width = 1 if case.x.dtype.kind == "i" else case.x.shape[1]
            assert (library.c.bptt_inputs(model), library.c.bptt_outputs(model)) == (width, outputs)
            one, three = library.stream(model), library.stream(model, 3)
            library.c.bptt_free(model)  # streams stay valid
            y = library.run(one, case.x[:, np.newaxis], outputs)[:, 0]
            np.testing.assert_allclose(y, expected, rtol=1e-3, atol=2e-5)
            rows = np.repeat(case.x[:, np.newaxis], 3, axis=1)
            np.testing.assert_allclose(
                library.run(three, rows, outputs)[:, 2], expected, rtol=1e-3, atol=2e-5
            )
            library.c.bptt_stream_free(one)
            library.c.bptt_stream_free(three)


def on_every_isa(model: Any, x: Array) -> Iterator[Array]:
    """The outputs with each set of kernels: the library may be built with fewer sets than the package."""
    used = bptt.isa()
    try:
        for name in bptt.available_isas():
            bptt.use_isa(name)
            yield model(x)[0]
    finally:
        bptt.use_isa(used)


def test_bits_of_the_python_stream(library: Library, tmp_path: Path) -> None:
    """Steps have the bits of the Python engine, also across calls, and after the state is put back."""
    model = bptt.Sequential(bptt.LSTM(2, 9, num_layers=2), bptt.Linear(9, 3), bptt.Tanh(), seed=0)
    status, loaded = library.load(saved(tmp_path, model))
    assert status == OK, library.error
    stream = library.stream(loaded)
    x = inputs(2, 0).astype(np.float32)[:, np.newaxis]
    first = library.run(stream, x[:70], 3)
    expected = next(y for y in on_every_isa(model, x) if np.array_equal(y[:70], first))
    state = np.empty(library.c.bptt_state_size(stream), np.float32)
    assert state.size == 2 * 2 * 9
    assert library.c.bptt_get_state(stream, ctypes.c_void_p(state.ctypes.data)) == OK
    np.testing.assert_array_equal(np.concatenate([first, library.run(stream, x[70:], 3)]), expected)
    assert library.c.bptt_set_state(stream, ctypes.c_void_p(state.ctypes.data)) == OK
    np.testing.assert_array_equal(library.run(stream, x[70:], 3), expected[70:])
    library.c.bptt_reset(stream)
    np.testing.assert_array_equal(library.run(stream, x, 3), expected)
    library.c.bptt_stream_free(stream)
    library.c.bptt_free(loaded)
    words = bptt.Embedding(5, 4)
    own: dict[str, Any] = {"precision": "bfloat16"}
    models = {
        "own": (bptt.Sequential(bptt.GRU(2, 9, **own), bptt.Linear(9, 3, **own), seed=0), x),
        "frozen": (model.freeze("bfloat16"), x),
        "highest": (bptt.LSTM(2, 3, **own, seed=0).freeze("highest"), x),
        "tied": (bptt.Sequential(words, bptt.RNN(4, 4), bptt.TiedLinear(words, **own)), x[..., 0] > 0),
        "int8": (model.freeze("int8"), x),
    }
    models["tied int8"] = (models["tied"][0].freeze("int8"), x[..., 0] > 0)
    for name, (rounded, values) in models.items():
        values = values.astype(np.int64) if "tied" in name else values
        status, loaded = library.load(saved(tmp_path, rounded))
        assert status == OK, library.error
        y = library.run(library.stream(loaded), values, 5 if "tied" in name else 3)
        fresh = on_every_isa(lambda x, rounded=rounded: copy.deepcopy(rounded)(x), values)  # packs again
        assert any(np.array_equal(y, other) for other in fresh), name


def test_arguments(library: Library, tmp_path: Path) -> None:
    c = library.c
    assert c.bptt_load(None, ctypes.byref(ctypes.c_void_p())) == BAD_ARGUMENT
    assert c.bptt_load(b"x", None) == BAD_ARGUMENT
    status, model = library.load(tmp_path / "none.safetensors")
    assert status == CANNOT_READ
    assert "none.safetensors" in library.error
    assert model.value is None
    assert library.load(tmp_path)[0] == CANNOT_READ
    status, model = library.load(saved(tmp_path, bptt.Sequential(bptt.Embedding(4, 2), bptt.GRU(2, 3))))
    assert status == OK
    assert c.bptt_reads_ids(model) == 1
    stream = ctypes.c_void_p()
    assert c.bptt_stream_new(model, ctypes.c_size_t(0), ctypes.byref(stream)) == BAD_ARGUMENT
    assert c.bptt_stream_new(None, ctypes.c_size_t(1), ctypes.byref(stream)) == BAD_ARGUMENT
    stream = library.stream(model)
    before = library.run(stream, np.array([[3]]), 3)
    ids = np.array([1, 4, 0], np.int32)
    y = np.zeros((3, 3), np.float32)
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (ids, y)]
    assert c.bptt_run_ids(stream, *pointers, ctypes.c_size_t(3)) == BAD_ARGUMENT
    assert c.bptt_run(stream, *pointers, ctypes.c_size_t(3)) == BAD_ARGUMENT
    assert c.bptt_run_ids(stream, None, None, ctypes.c_size_t(1)) == BAD_ARGUMENT
    assert c.bptt_run_ids(stream, None, None, ctypes.c_size_t(0)) == OK
    assert not y.any()
    c.bptt_reset(stream)
    np.testing.assert_array_equal(library.run(stream, np.array([[3]]), 3), before)
    c.bptt_stream_free(stream)
    c.bptt_free(model)
    c.bptt_free(None)
    c.bptt_stream_free(None)


def header_of(content: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def with_header(header: Any, data: bytes) -> bytes:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(text)) + text + data


def with_valid_sum(header: dict[str, Any], data: bytes) -> bytes:
    """The file with the checksum that fits, so that the checks after the checksum are reached."""
    metadata = header["__metadata__"]
    digest = hashlib.sha256(metadata["bptt"].encode())
    for name, entry in sorted(header.items()):
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            dtype = {"F32": "float32", "F64": "float64"}[entry["dtype"]]
            digest.update(f"\n{name} {dtype} {tuple(entry['shape'])}\n".encode())
            digest.update(data[begin:end])
    return with_header({**header, "__metadata__": {**metadata, "sha256": digest.hexdigest()}}, data)


def example(folder: Path) -> bytes:
    layers = (
        bptt.Embedding(5, 3),
        bptt.LSTM(3, 4, peephole=True, activations=("sigmoid", ("elu", 0.5), "tanh")),
    )
    model = bptt.Sequential(*layers, bptt.Sequential(bptt.LayerNorm(4), bptt.Linear(4, 2)), seed=0)
    return saved(folder, model).read_bytes()


def test_cut_and_changed_files(library: Library, tmp_path: Path) -> None:
    """Files that are cut anywhere, and files with any bit changed, are errors."""
    content = example(tmp_path)
    for size in range(len(content)):
        status, _ = library.load_memory(content[:size])
        assert status in (BAD_FILE, UNSUPPORTED), size
    assert library.load_memory(content + b"\0")[0] == BAD_FILE
    rng = np.random.default_rng(0)
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << int(rng.integers(8))
        status, model = library.load_memory(bytes(changed))
        if status == OK:  # white space, or a letter of a name that no check needs
            assert place < content.index(b'{"') + len(content), library.error
            library.c.bptt_free(model)
        header_end = 8 + struct.unpack("<Q", content[:8])[0]
        assert status != OK or place < header_end


NUMBERS = (-1, 0, 1, 2, 2**31, 2**63, 1e308, 0.5, None, True, "1", [], {})


def test_every_value_replaced(library: Library, tmp_path: Path) -> None:
    """Every value of the description replaced by numbers and other types: an error, or a model that runs."""
    header, data = header_of(example(tmp_path))
    about = json.loads(header["__metadata__"]["bptt"])
    loaded = 0
    for path in paths(about):
        for value in NUMBERS:
            changed = json.loads(json.dumps(about))
            target = changed
            for key in path[:-1]:
                target = target[key]
            target[path[-1]] = value
            metadata = {"bptt": json.dumps(changed)}
            status, model = library.load_memory(with_valid_sum({**header, "__metadata__": metadata}, data))
            if status == OK:
                loaded += 1
                stream = library.stream(model)
                library.run(stream, np.array([[1], [4]]), library.c.bptt_outputs(model))
                library.c.bptt_stream_free(stream)
                library.c.bptt_free(model)
    assert loaded > 50  # values that only matter in training


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield (*at, key)
        yield from paths(part, (*at, key))


def test_tensors_replaced(library: Library, tmp_path: Path) -> None:
    """Every number in the table of tensors replaced: an error."""
    header, data = header_of(example(tmp_path))
    name = "1.weight_hh_l0"
    for key, index in (("shape", 0), ("shape", 1), ("data_offsets", 0), ("data_offsets", 1)):
        for value in NUMBERS:
            if value == header[name][key][index]:
                continue
            changed = json.loads(json.dumps(header))
            changed[name][key][index] = value
            assert library.load_memory(with_header(changed, data))[0] == BAD_FILE, (key, index, value)
    for text in (
        "[]",
        "{}",
        "[" * 200,
        '{"a":1,"a":2}',
        '{"a":01}',
        '{"a":"\\x"}',
        '{"__metadata__":{}}',
        "nul",
        '"',
    ):
        assert library.load_memory(with_header(text, data))[0] == BAD_FILE, text


def test_random_changes(library: Library, tmp_path: Path) -> None:
    """Pieces of both JSON texts removed, repeated or replaced, with a checksum that fits if possible."""
    content = example(tmp_path)
    header, data = header_of(content)
    for case in range(int(os.environ.get("BPTT_FUZZ_CASES", "2000"))):
        rng = np.random.default_rng(case)
        about = mutated(header["__metadata__"]["bptt"], rng)
        inner = with_valid_sum({**header, "__metadata__": {"bptt": about}}, data)
        outer = with_header(mutated(json.dumps(header), rng), data)
        for changed in (inner, outer):
            status, model = library.load_memory(changed)
            assert status in (OK, BAD_FILE, UNSUPPORTED), case
            if status == OK:
                library.c.bptt_stream_free(library.stream(model))
                library.c.bptt_free(model)


def mutated(text: str, rng: np.random.Generator) -> str:
    pieces = ("", "0", "-1", "9" * 400, '"', "[", "]", "{", "}", ",", ":", "null", "\\ud800", "1e99", "é")
    for _ in range(int(rng.integers(1, 4))):
        begin = int(rng.integers(len(text)))
        end = min(len(text), begin + int(rng.integers(1, 12)))
        new = text[begin:end] * 2 if rng.integers(3) == 0 else pieces[rng.integers(len(pieces))]
        text = text[:begin] + new + text[end:]
    return text


def test_models_that_cannot_run(library: Library, tmp_path: Path) -> None:
    for model, words in {
        bptt.LSTM(2, 3, bidirectional=True): "bidirectional=True",
        bptt.GRU(2, 3, reverse=True): "reverse=True",
        bptt.Sequential(bptt.GRU(2, 3), bptt.MaxPool()): "'MaxPool'",
        bptt.Parallel(a=bptt.Linear(2, 3)): "'Parallel'",
    }.items():
        status, _ = library.load(saved(tmp_path, model))
        assert status == UNSUPPORTED
        assert words in library.error
        assert "model.safetensors" in library.error
    trained = bptt.Sequential(bptt.GRU(2, 3), bptt.Last(), seed=0)
    bptt.save(tmp_path / "a", trained, optimizer=bptt.Adam(), extra={"note": 'a "note" é\n'})
    assert library.load(tmp_path / "a")[0] == OK, library.error


COUNTING = """\
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "bptt.h"
extern void *__libc_malloc(size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
static long calls;
void *malloc(size_t size) { ++calls; return __libc_malloc(size); }
void *aligned_alloc(size_t alignment, size_t size) { ++calls; return __libc_memalign(alignment, size); }
int posix_memalign(void **memory, size_t alignment, size_t size) {
  ++calls;
  *memory = __libc_memalign(alignment, size);
  return *memory ? 0 : ENOMEM;
}
int main(void) {
  static float y[400];
  int32_t x[200] = {0};
  bptt_model *model;
  bptt_stream *stream;
  if (bptt_load("model.safetensors", &model) || bptt_stream_new(model, 2, &stream)) return 1;
  if (calls == 0 || bptt_run_ids(stream, x, y, 100)) return 2;
  calls = 0;
  for (int t = 0; t < 100; ++t) {
    bptt_run_ids(stream, x + 2 * t, y + 4 * t, 1);
  }
  bptt_run_ids(stream, x, y, 100);
  bptt_reset(stream);
  return calls == 0 ? 0 : 3;
}
"""


def test_steps_allocate_nothing(library: Library, tmp_path: Path) -> None:
    assert PATH is not None
    if sys.platform != "linux" or sanitized(PATH):
        pytest.skip("counting allocations needs the C library of GNU, without sanitizers")
    model = bptt.Sequential(
        *(bptt.Embedding(5, 3), bptt.LSTM(3, 9, 2, layer_norm=True, proj_size=4, zoneout=0.1), bptt.ReLU()),
        *(bptt.LayerNorm(4, elementwise_affine=False), bptt.GRU(4, 5, reset_after=False), bptt.Softmax()),
        bptt.Linear(5, 2),
    )
    saved(tmp_path, model)
    (tmp_path / "main.c").write_text(COUNTING, encoding="ascii")
    folder = Path(PATH).resolve().parent
    include = ROOT / "cpp" / "capi"
    links = ("-L", folder, "-lbptt", f"-Wl,-rpath,{folder}")
    call("cc", "-std=gnu11", "-I", include, "main.c", "-o", "main", *links, cwd=tmp_path)
    call("./main", cwd=tmp_path)


def sanitized(path: str) -> bool:
    return b"__asan_init" in Path(path).read_bytes()


def call(*command: object, **options: Any) -> str:
    """Run a program without the libraries that the sanitizers load into Python."""
    env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=env, **options)
    assert done.returncode == 0, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def test_the_example_and_the_page(library: Library, tmp_path: Path) -> None:
    """examples/c builds with the installed package of CMake; the program of docs/howto/c.md compiles."""
    assert PATH is not None
    build = Path(PATH).resolve().parent
    if shutil.which("cmake") is None or not (build / "cmake_install.cmake").exists():
        pytest.skip("cmake is not installed, or BPTT_LIBRARY is not in its build folder")
    sanitize = "-fsanitize=address,undefined" if sanitized(PATH) else ""
    installed, work = tmp_path / "installed", tmp_path / "work"
    call("cmake", "--install", build, "--prefix", installed)
    options = (f"-DCMAKE_PREFIX_PATH={installed}", f"-DCMAKE_EXE_LINKER_FLAGS={sanitize}")
    call("cmake", "-S", ROOT / "examples" / "c", "-B", work, *options)
    call("cmake", "--build", work)
    model = bptt.Sequential(bptt.LSTM(1, 16), bptt.Linear(16, 1), seed=0)
    x = np.sin(0.05 * np.arange(64, dtype=np.float32))
    lines = "".join(f"{value:.9g}\n" for value in x)
    printed = call(work / "stream", saved(tmp_path, model), input=lines)
    expected = model(x[:, None, None])[0][:, 0, 0]
    np.testing.assert_allclose(np.array(printed.split(), float), expected, rtol=0, atol=1e-6)

    page = (ROOT / "docs" / "howto" / "c.md").read_text(encoding="utf-8")
    program = re.findall(r"^```c\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[1]
    (tmp_path / "main.c").write_text(program, encoding="utf-8")
    library_folder = next(installed.glob("lib*"))
    flags = f"-std=c99 -Wall -Wextra -Wpedantic -Werror -I{installed}/include -L{library_folder}".split()
    run_path = f"-Wl,-rpath,{library_folder}"
    call("cc", *flags, *sanitize.split(), "main.c", "-o", "main", "-lbptt", "-lm", run_path, cwd=tmp_path)
    bptt.save(tmp_path / "amp.safetensors", model)
    printed = call("./main", cwd=tmp_path)
    np.testing.assert_allclose(np.array(printed.split(), float), expected, rtol=0, atol=2e-6)
