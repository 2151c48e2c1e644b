"""`bptt export --c`."""

from __future__ import annotations

from pathlib import Path

from tests.commandline import CommandLine, weather, write_csv

import bptt


def test_export_of_a_header(bptt_command: CommandLine, folder: Path) -> None:
    model = bptt.Sequential(bptt.GRU(2, 4), bptt.Linear(4, 1), seed=0)
    bptt.save("model.safetensors", model)
    figures = bptt_command("export", "model.safetensors", "--c", "model.h", "--json").figures
    assert figures == {"model": "model.safetensors", "c": "model.h", "bytes": Path("model.h").stat().st_size}
    bptt.export_c(model, "same.h", name="model")
    assert Path("same.h").read_bytes() == Path("model.h").read_bytes()
    bptt_command("export", "model.safetensors", "--c", "a-b.h", "--name", "wind", "--section", ".flash")
    text = Path("a-b.h").read_text(encoding="ascii")
    assert "wind_step(" in text
    assert 'section(".flash")' in text
    for arguments, words in {
        ("--c", "a-b.h"): "must be a C identifier",
        ("--c", "model.safetensors"): "is an input",
        ("--onnx", "m.onnx", "--name", "a"): "--name is for --c; got --onnx",
        ("--c", "m.h", "--lengths"): "--lengths is for --onnx; got --c",
    }.items():
        failed = bptt_command("export", "model.safetensors", *arguments)
        assert failed.code == 1
        assert words in failed.err
    assert not Path("m.onnx").exists()


def test_a_trained_model_with_scales(bptt_command: CommandLine, folder: Path) -> None:
    """The header of a forecasting model comes with a note, because the scales stay in the model file."""
    write_csv(folder / "weather.csv", weather(300))
    options = ("--columns", "wind", "--target", "wind", "--epochs", 1, "--hidden", 2, "--window", 6)
    trained = bptt_command("train", "csv", "weather.csv", *options)
    assert trained.code == 0, trained.err
    result = bptt_command("export", "weather.safetensors", "--c", "wind.h")
    assert result.code == 0, result.err
    assert "load_preprocessing('weather.safetensors') has the scales" in result.err
    assert "Last: y of the last step" in Path("wind.h").read_text(encoding="ascii")
