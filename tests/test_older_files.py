"""Files of older versions still open, and give the outputs that they gave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.commandline import CommandLine
from tests.older_files.write import IDS, TARGET, X

import bptt

FOLDERS = sorted((Path(__file__).parent / "older_files").glob("[0-9]*"))
TOLERANCE = {"layers": 1e-12, "int8": 1e-2, "run": 1e-5}
"""Largest difference of outputs. In int8, a last bit can move an input of a product by one step."""


def test_files_of_older_versions_give_the_same_outputs(
    subtests: pytest.Subtests, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bptt.__version__.rpartition(".")[0] in {folder.name.rpartition(".")[0] for folder in FOLDERS}
    for folder in FOLDERS:
        for name, tolerance in TOLERANCE.items():
            with subtests.test(name, version=folder.name):
                path = folder / f"{name}.safetensors"
                expected = bptt.files.read_checkpoint(path).extra["y"]
                y, _ = bptt.load(path)(IDS if name == "layers" else X)
                np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance)
        with subtests.test("resume", version=folder.name):
            trainer = bptt.Trainer.resume(
                folder / "run.safetensors",
                bptt.MeanSquaredError(),
                bptt.Adam(0.01),
                clip=bptt.ClipNorm(1.0),
                progress=False,
            )
            assert len(trainer.fit([(X, TARGET)], epochs=3)["loss"]) == 3
        with subtests.test("forecast", version=folder.name):
            out = tmp_path / "forecast.csv"
            result = CommandLine(capsys)(
                "forecast", folder / "csv.safetensors", folder / "rows.csv", "--out", out
            )
            assert result.code == 0, result.err
            rows, expected = (
                np.genfromtxt(path, delimiter=",", skip_header=1) for path in (out, folder / "forecast.csv")
            )
            np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-4)
        with subtests.test("ONNX", version=folder.name):
            onnx = pytest.importorskip("bptt.interop.onnx", exc_type=ImportError)
            y, _ = onnx.load(folder / "run.onnx")(X)
            expected = bptt.files.read_checkpoint(folder / "run.safetensors").extra["y"]
            np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)
