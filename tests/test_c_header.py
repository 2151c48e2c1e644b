"""What stands in an exported header: constants, names, sections, sizes; and errors of `export_c`."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.c_programs import C99, compiled, run_program

import bptt


def small() -> bptt.Sequential[Any]:
    return bptt.Sequential(bptt.LSTM(2, 3), bptt.Linear(3, 2), seed=0)


def exported(folder: Path, model: Any, name: str = "net", **options: Any) -> str:
    path = folder / f"{name}.h"
    bptt.export_c(model, path, **options)
    return path.read_text(encoding="ascii")


def test_constants_keep_their_bits(tmp_path: Path) -> None:
    """The compiler reads extreme and random numbers with the bits that they have in the model."""
    rng = np.random.default_rng(0)
    model = bptt.Linear(2, 500)
    values = rng.integers(0, 2**32, 1000, dtype=np.uint32).view(np.float32)
    values[~np.isfinite(values)] = 0.1
    values[:6] = [1e-45, -0.0, 3.4028235e38, 1.1754944e-38, 0.1, 16777216.0]
    model.parameters["weight"] = values.reshape(500, 2)
    exported(tmp_path, model)
    program = (
        '#include <stdio.h>\n#include "net.h"\n'
        "int main(void) {\n  for (int j = 0; j < 2; ++j) {\n    for (int k = 0; k < 500; ++k) {\n"
        '      printf("%08lx\\n", (unsigned long)net_bits(net_weight0[j][k]));\n    }\n  }\n  return 0;\n}\n'
    )
    header = (tmp_path / "net.h").read_text(encoding="ascii")
    bits = "static inline uint32_t net_bits(float x) { uint32_t b; memcpy(&b, &x, sizeof b); return b; }\n"
    (tmp_path / "net.h").write_text(header + bits, encoding="ascii")
    found = [int(word, 16) for word in run_program(tmp_path, C99, program).split()]
    assert found == model.parameters["weight"].T.ravel().view(np.uint32).tolist()


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    first = exported(tmp_path, small())
    assert first == exported(tmp_path, small())
    assert first == exported(tmp_path, small().freeze())
    assert f"written by bptt {bptt.__version__}" in first
    assert first.encode("ascii").isascii()
    assert max(map(len, first.splitlines())) <= 120


def test_names_of_two_headers_cannot_be_equal(tmp_path: Path) -> None:
    """Names end after the prefix and one word, so those of "net_x" cannot be among those of "net"."""
    layers = (
        bptt.LSTM(3, 9, 2, peephole=True, layer_norm=True, proj_size=2),
        bptt.MGU(2, 3, layer_norm=True),
    )
    model = bptt.Sequential(*layers, bptt.LayerNorm(3), bptt.GELU(), bptt.Linear(3, 9), bptt.Softmax())
    names = set(re.findall(r"\bnet_\w+", exported(tmp_path, model)))
    assert len(names) > 30
    assert [name for name in names if not re.fullmatch(r"net_[a-z0-9]+", name)] == []


def test_functions_are_accurate(tmp_path: Path) -> None:
    """Sigmoid, tanh and elu have at most 3 units in the last place of error. NaN stays NaN."""
    model = bptt.Sequential(bptt.LSTM(1, 1), bptt.RNN(1, 1, nonlinearity="elu"))
    exported(tmp_path, model)
    step = 4001
    program = (
        '#include <stdio.h>\n#include "net.h"\n'
        "int main(void) {\n  for (uint32_t bits = 0; bits < 0xff800000u; bits += STEPu) {\n"
        "    const float x = net_float(bits);\n"
        "    const float y[4] = {x, net_sigmoid(x), net_tanh(x), net_elu(x, 1.0f)};\n"
        "    if (fwrite(y, sizeof y, 1, stdout) != 1) return 1;\n  }\n  return 0;\n}\n"
    ).replace("STEP", str(step))
    target = compiled(tmp_path, C99, program)
    with open(tmp_path / "out", "wb") as file:
        subprocess.run([str(target)], stdout=file, check=True)
    x, *found = np.fromfile(tmp_path / "out", np.float32).reshape(-1, 4).T
    x = np.where(np.isnan(x), np.float32(np.nan), x)  # NumPy warns of other NaNs
    wide = x.astype(np.float64)
    finite = np.isfinite(x)
    assert np.isnan(found[0][np.isnan(x)]).all()
    assert np.isnan(found[1][np.isnan(x)]).all()
    with np.errstate(all="ignore"):
        expected = [
            1 / (1 + np.exp(-wide)),
            np.tanh(wide),
            np.where(wide < 0, np.expm1(np.minimum(wide, 0)), wide),
        ]
    for y, exact, where in zip(found, expected, (np.abs(x) <= 87, finite, finite), strict=True):
        ulp = np.spacing(np.maximum(np.abs(exact[where]), 1e-37).astype(np.float32)).astype(np.float64)
        error = np.abs(y[where].astype(np.float64) - exact[where]) / ulp
        assert error.max() <= 3.0
    assert found[0][x < -88].max() < 1e-38


def test_the_comment_has_the_true_sizes(tmp_path: Path) -> None:
    model = bptt.Sequential(bptt.GRU(3, 5, num_layers=2), bptt.LayerNorm(5), bptt.Linear(5, 4))
    text = exported(tmp_path, model)
    program = (
        '#include <stdio.h>\n#include "net.h"\nint main(void) {\n'
        '  printf("%d %d %lu", net_inputs, net_outputs, (unsigned long)sizeof(net_state));\n  return 0;\n}\n'
    )
    inputs, outputs, size = map(int, run_program(tmp_path, C99, program).split())
    assert (inputs, outputs) == (3, 4)
    match = re.search(r"Memory: (\d+) bytes of constants, (\d+) bytes for each state", text)
    assert match is not None
    assert int(match[2]) == size
    biases = 2 * 5 * 2  # the two biases of r and z are added
    assert int(match[1]) == 4 * (model.parameter_count - biases)


def test_the_state_belongs_to_the_caller(tmp_path: Path) -> None:
    """Two states do not disturb each other, init starts again, and y may be x."""
    model = small()
    exported(tmp_path, model)
    program = """\
#include <stdio.h>
#include "net.h"
static void put(const float *y, int n) { for (int k = 0; k < n; ++k) { printf("%.9g ", (double)y[k]); } }
int main(void) {
  float x[6] = {0.1f, -0.2f, 0.3f, 0.4f, -0.5f, 0.6f}, y[6], z[6];
  net_state one, two;
  net_init(&one);
  net_init(&two);
  for (int t = 0; t < 3; ++t) {
    net_step(&one, x + 2 * t, y + 2 * t);
    net_step(&two, x, z);
  }
  put(y, 6);
  net_init(&two);
  net_run(&two, x, z, 3);
  put(z, 6);
  net_init(&two);
  net_run(&two, x, x, 3);
  put(x, 6);
  net_init(&two);
  net_run(&two, x, x, 0);
  put(two.h0, 3);
  return 0;
}
"""
    found = np.array(run_program(tmp_path, C99, program).split(), np.float64)
    x = np.array([0.1, -0.2, 0.3, 0.4, -0.5, 0.6], np.float32).reshape(3, 1, 2)
    expected = model(x)[0].ravel()
    for start in (0, 6, 12):
        np.testing.assert_allclose(found[start : start + 6], expected, rtol=0, atol=1e-6)
    assert not found[18:].any()


def test_an_id_out_of_range_changes_nothing(tmp_path: Path) -> None:
    exported(tmp_path, bptt.Sequential(bptt.Embedding(4, 2), bptt.GRU(2, 3), seed=0))
    program = """\
#include <stdio.h>
#include "net.h"
int main(void) {
  int32_t ids[3] = {3, 4, 0}, low = -1;
  float y[9] = {7.0f};
  net_state state;
  net_init(&state);
  printf("%d ", net_run(&state, ids, y, 3));
  printf("%d ", net_step(&state, &low, y));
  printf("%d ", net_step(&state, ids + 1, y));
  printf("%g %g ", (double)y[0], (double)state.h1[0]);
  printf("%d", net_run(&state, ids, y, 1));
  return 0;
}
"""
    assert run_program(tmp_path, C99, program).split() == ["1", "1", "1", "7", "0", "0"]


def test_sections(tmp_path: Path) -> None:
    """The weights lie in the section of the argument, or of the macro that the program defines."""
    text = exported(tmp_path, small(), section=".flash-1")
    assert 'section(".flash-1")' in text
    program = '#include "net.h"\nint main(void) { net_state s; net_init(&s); return (int)s.h0[0]; }\n'
    assert b".flash-1\0" in compiled(tmp_path, C99, program).read_bytes()
    redefined = '#define net_section __attribute__((section(".other")))\n' + program
    content = compiled(tmp_path, C99, redefined).read_bytes()
    assert b".other\0" in content
    assert b".flash-1\0" not in content


def test_errors_change_no_file(tmp_path: Path, subtests: pytest.Subtests) -> None:
    path = tmp_path / "net.h"
    path.write_text("before", encoding="ascii")
    infinite = small()
    infinite.parameters["1.weight"][0, 0] = np.inf
    too_large = bptt.Linear(1, 1, dtype="float64")
    too_large.parameters["weight"][0, 0] = 1e39
    both = bptt.Sequential(bptt.LSTM(2, 3, bidirectional=True), bptt.Linear(6, 1))

    @bptt.register
    class Doubled(bptt.Tanh):
        pass

    cases: dict[str, tuple[type[Exception], str, Any, dict[str, Any]]] = {
        "a path": (TypeError, r"must be a layer.*got 'model.safetensors'", "model.safetensors", {}),
        "an infinite weight": (ValueError, r"finite.*inf in 'weight' of layer 1", infinite, {}),
        "too large for float32": (ValueError, r"finite.*1e\+39 in 'weight' of layer 0", too_large, {}),
        "bidirectional": (ValueError, r"got LSTM as layer 0, with bidirectional=True", both, {}),
        "reverse": (ValueError, r"with reverse=True", bptt.GRU(1, 2, reverse=True), {}),
        "Ends": (ValueError, r"got Ends as layer 0.*without Ends", bptt.Ends(), {}),
        "a pool": (ValueError, "got MaxPool as layer 1", bptt.Sequential(bptt.GRU(1, 2), bptt.MaxPool()), {}),
        "another container": (ValueError, "which has no form", bptt.Parallel(a=bptt.Linear(1, 2)), {}),
        "an own layer": (ValueError, "got Doubled", bptt.Sequential(bptt.Linear(1, 2), Doubled()), {}),
        "no size": (ValueError, "model must have a layer with a size", bptt.Tanh(), {}),
        "sizes that do not fit": (ValueError, r"model\[1\] must read the 2 outputs",
                                  bptt.Sequential(bptt.Linear(1, 2), bptt.Linear(3, 1)), {}),
        "a keyword": (ValueError, "got 'while', a keyword", small(), {"name": "while"}),
        "a space": (ValueError, "name must be a C identifier", small(), {"name": "my net"}),
        "two underscores": (ValueError, "reserves", small(), {"name": "my__net"}),
        "an underscore at the end": (ValueError, "reserves", small(), {"name": "net_"}),
        "a long name": (ValueError, "more than 40", small(), {"name": "n" * 41}),
        "a letter of another alphabet": (ValueError, "C identifier", small(), {"name": "naïve"}),
        "a number as name": (TypeError, "name must be a str", small(), {"name": 3}),
        "a section with a quote": (ValueError, "section must be letters", small(), {"section": 'a"'}),
        "an empty section": (ValueError, "section must be letters", small(), {"section": ""}),
        "a number as section": (TypeError, "section must be a str", small(), {"section": 1}),
        "unknown functions": (ValueError, "math must be", small(), {"math": "fast"}),
    }  # fmt: skip
    for name, (error, message, model, options) in cases.items():
        with subtests.test(name), pytest.raises(error, match=f"(?s){message}") as caught:
            bptt.export_c(model, path, **options)
        with subtests.test(f"{name}: fix"):
            assert "Fix: " in str(caught.value)
    with subtests.test("the name of the file"), pytest.raises(ValueError, match=r'pass name="model"'):
        bptt.export_c(small(), tmp_path / "my-net.h")
    with subtests.test("no path"), pytest.raises(TypeError, match="path must be a str"):
        bptt.export_c(small(), 3)  # type: ignore[arg-type]
    with subtests.test("no folder"), pytest.raises(FileNotFoundError):
        bptt.export_c(small(), tmp_path / "none" / "net.h")
    assert path.read_text(encoding="ascii") == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["net.h"]
