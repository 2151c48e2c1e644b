"""Write the files of this version that later versions must open. Run it once before each minor release.

`python tests/older_files/write.py` makes a folder with the version as its name. `tests/test_older_files.py`
opens the files of all versions, and docs/contribute/versions.md says for how long.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import bptt
from bptt.cli import main
from bptt.interop import onnx

IDS = np.arange(12).reshape(4, 3) % 5
X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 2, 3)
TARGET = np.linspace(1, -1, 16, dtype=np.float32).reshape(4, 2, 2)
ROWS = [f"{np.sin(row / 3):.3f},{np.cos(row / 3):.3f}" for row in range(60)]


def layers() -> bptt.Sequential:
    return bptt.Sequential(
        bptt.Embedding(5, 4, dtype="float64"),
        bptt.Dropout(0.1, dtype="float64"),
        bptt.LSTM(4, 3, num_layers=2, bidirectional=True, peephole=True, dtype="float64"),
        bptt.LayerNorm(6, dtype="float64"),
        bptt.GRU(6, 4, reset_after=False, layer_norm=True, dtype="float64"),
        bptt.MGU(4, 3, zoneout=0.1, dtype="float64"),
        bptt.RNN(3, 3, nonlinearity="relu", dtype="float64"),
        bptt.Tanh(dtype="float64"),
        bptt.Last(dtype="float64"),
        bptt.Linear(3, 2, dtype="float64"),
        bptt.Softmax(dtype="float64"),
        seed=0,
    )


def network() -> bptt.Sequential:
    return bptt.Sequential(bptt.LSTM(3, 4, dropout=0.0), bptt.Linear(4, 2), seed=0)


def write(folder: Path) -> None:
    """Write a file of each form, with the outputs that it must give."""
    model = layers()
    bptt.save(folder / "layers.safetensors", model, extra={"y": model(IDS)[0].tolist()})
    frozen = network().freeze(precision="int8")
    bptt.save(folder / "int8.safetensors", frozen, extra={"y": frozen(X)[0].tolist()})
    trainer = bptt.Trainer(
        network(), bptt.MeanSquaredError(), bptt.Adam(0.01), clip=bptt.ClipNorm(1.0), progress=False
    )
    trainer.fit([(X, TARGET)], epochs=2)
    y = trainer.model(X)[0].tolist()
    trainer.save(folder / "run.safetensors", extra={"y": y})
    onnx.save(trainer.model, folder / "run.onnx")
    (folder / "rows.csv").write_text("\n".join(["sine,cosine", *ROWS]) + "\n")
    options = ("--hidden", "2", "--window", "4", "--epochs", "1", "--seed", "0")
    csv, csv_model, forecast = (
        str(folder / name) for name in ("rows.csv", "csv.safetensors", "forecast.csv")
    )
    assert main(["train", "csv", csv, "--model", csv_model, *options]) == 0
    assert main(["forecast", csv_model, csv, "--out", forecast]) == 0


if __name__ == "__main__":
    place = Path(__file__).parent / bptt.__version__
    place.mkdir()
    write(place)
