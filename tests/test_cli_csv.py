"""`bptt train csv`: columns by name, parts by time, scales from the first, figures beside naive forecasts."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from tests.commandline import CommandLine, fails, weather, write_csv

import bptt
from bptt.cli.models import judging
from bptt.files import read_checkpoint
from bptt.metrics import RMSE, Accuracy

SMALL = ("--hidden", 4, "--window", 6, "--epochs", 1)


@pytest.fixture
def table(folder: Path) -> Path:
    """160 rows of temperature and wind."""
    return write_csv(folder / "weather.csv", weather())


def test_figures_are_those_of_the_test_part(bptt_command: CommandLine, table: Path) -> None:
    options = ("--target", "temperature", "--horizon", 3, "--season", 6, *SMALL)
    figures = bptt_command("train", "csv", table, "--json", *options).figures
    assert figures["columns"] == ["temperature", "wind"]
    assert figures["target"] == ["temperature"]
    y = weather()[:, 0]
    starts = range(144, 160 - 2)  # the last tenth, and the two steps after the first that is told
    assert figures["test_windows"] == len(starts)
    truth = np.array([y[i : i + 3] for i in starts])
    last = np.array([[y[i - 1]] * 3 for i in starts])
    before = np.array([y[i - 6 : i - 3] for i in starts])
    found = figures["test"]["temperature"]
    for name, told in (("persistence", last), ("seasonal naive", before)):
        assert found[name]["rmse"] == pytest.approx(np.sqrt(np.mean((told - truth) ** 2)))
        assert found[name]["mae"] == pytest.approx(np.mean(np.abs(told - truth)))
    assert figures["beats_baselines"] is False
    saved = read_checkpoint(figures["model_file"])
    assert saved.extra["figures"]["test"] == figures["test"]


def test_the_scale_is_that_of_the_training_part(bptt_command: CommandLine, table: Path) -> None:
    assert bptt_command("train", "csv", table, "--validation", 0.2, *SMALL).code == 0
    scaling = bptt.load_preprocessing("weather.safetensors")["series"].to_dict()
    training = weather()[: 160 - 32 - 16]
    np.testing.assert_allclose(scaling["mean"], training.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaling["scale"], training.std(axis=0), rtol=1e-12)


def test_what_comes_later_changes_nothing_in_training(bptt_command: CommandLine, folder: Path) -> None:
    values = weather()
    write_csv(folder / "a.csv", values)
    values[144:] += 1000.0  # the test part
    write_csv(folder / "b.csv", values)
    for name in ("a.csv", "b.csv"):
        assert bptt_command("train", "csv", name, *SMALL).code == 0
    a, b = (bptt.load(f"{name}.safetensors").flat_parameters for name in "ab")
    np.testing.assert_array_equal(a, b)


def test_the_summary_says_what_to_do_next(bptt_command: CommandLine, folder: Path) -> None:
    lines = [f"{20 + i % 12};{a:.3f}\n".replace(".", ",") for i, a in enumerate(weather()[:, 1].tolist())]
    Path("my data.csv").write_text("hour;wind\n" + "".join(lines))
    options = ("--columns", "wind", "--window", 12, "--hidden", 8, "--delimiter", ";", "--time", "off")
    good = bptt_command("train", "csv", "my data.csv", *options, "--epochs", 40, "--season", 12)
    *_, sentence, verdict, model, following = good.out.splitlines()
    figures = read_checkpoint("my data.safetensors").extra["figures"]
    errors = {name: row["rmse"] for name, row in figures["test"]["wind"].items()}
    ours = errors.pop("model")
    name = min(errors, key=lambda name: errors[name])
    share = 100 * (1 - ours / errors[name])
    assert share > 0
    assert sentence.startswith(f"wind: RMSE {ours:.4g} is {share:.3g}% below the {errors[name]:.4g} of ")
    assert verdict == "The model is better than the naive forecasts."
    assert model == "model    my data.safetensors"
    words = shlex.split(following)
    assert words[:2] == ["next", "bptt"]
    assert bptt_command(*words[2:]).code == 0  # the command works as printed
    assert re.search(r"Training ran to its end, 40 epochs|--patience stopped training after", good.out)
    bad = bptt_command("train", "csv", "my data.csv", *options, "--epochs", 1, "--learning-rate", 1e-9).out
    assert re.search(r"wind: RMSE \S+ is \S+% above the \S+ of persistence\.\nThe model is not better", bad)
    assert "Training ran to its end, 1 epoch. The validation loss was lowest at the end." in bad


CASES_OF_VERDICTS = [
    (RMSE, {"model": 1.0, "persistence": 2.0}, "v: RMSE 1 is 50% below the 2 of persistence."),
    (RMSE, {"model": 3.0, "a": 2.0, "mean": 1.5}, "v: RMSE 3 is 100% above the 1.5 of the mean."),
    (RMSE, {"model": 3.0, "persistence": 0.0}, "v: RMSE 3 is above the 0 of persistence."),
    (RMSE, {"model": 2.0, "persistence": 2.0}, "v: RMSE 2 equals the 2 of persistence."),
    (RMSE, {"model": float("nan"), "persistence": 2.0}, "v: the RMSE of the model is not finite."),
    (Accuracy, {"model": 0.9, "b": 0.5}, "v: accuracy 0.9 is 40 percentage points above the 0.5 of b."),
]


def test_verdicts_by_hand(subtests: pytest.Subtests) -> None:
    for metric, values, sentence in CASES_OF_VERDICTS:
        with subtests.test(sentence):
            figures = {"v": {name: {metric.name: value} for name, value in values.items()}}
            assert judging.verdicts(figures, metric) == [sentence]


def test_constant_targets_are_remarked_on(bptt_command: CommandLine, folder: Path) -> None:
    rows = "".join(f"0.1,{value!r}\n" for value in weather()[:, 1].tolist())
    Path("a.csv").write_text("v,w\n" + rows)
    note = "v: every row of the training part has the same value"
    assert note in bptt_command("train", "csv", "a.csv", *SMALL).err
    assert note not in bptt_command("train", "csv", "a.csv", "--target", "w", *SMALL).err


def test_it_learns(bptt_command: CommandLine, table: Path) -> None:
    options = ("--window", 12, "--hidden", 16, "--epochs", 40, "--season", 12, "--horizon", 2)
    figures = bptt_command("train", "csv", table, "--json", *options).figures
    assert figures["beats_baselines"]
    found = figures["test"]["temperature"]
    assert found["model"]["rmse"] < 0.5 * found["persistence"]["rmse"]


def test_seed_decides(bptt_command: CommandLine, table: Path) -> None:
    def rmse(seed: int) -> object:
        return bptt_command("train", "csv", table, "--json", "--seed", seed, *SMALL).figures["test"]

    assert rmse(1) == rmse(1) != rmse(2)


def test_columns_without_numbers_are_left_out(bptt_command: CommandLine, table: Path) -> None:
    result = bptt_command("train", "csv", table, *SMALL)
    assert "columns not used as features: day (no numbers: line 2 has 'day 0')" in result.err
    assert all(word in result.out for word in ("persistence", "temperature", "wind", "LSTM, 1 layer of 4"))


def test_target_that_is_not_read(bptt_command: CommandLine, table: Path) -> None:
    options = ("--columns", "wind", "--target", "temperature", *SMALL)
    figures = bptt_command("train", "csv", table, "--json", *options).figures
    assert list(figures["test"]) == ["temperature"]
    model = bptt.load("weather.safetensors")
    assert isinstance(model, bptt.Sequential)
    assert model[0].config()["input_size"] == 1


def test_other_formats(bptt_command: CommandLine, folder: Path) -> None:
    rows = "".join(f"{a:.3f};{b:.3f}\n" for a, b in weather())
    Path("e.csv").write_text('"Größe; cm";b,c\n' + rows, encoding="latin-1")
    options = ("--delimiter", ";", "--encoding", "latin-1", "--columns", '"b,c",Größe; cm', *SMALL)
    figures = bptt_command("train", "csv", "e.csv", "--json", *options).figures
    assert figures["columns"] == ["b,c", "Größe; cm"]


def test_folder_of_series(bptt_command: CommandLine, folder: Path) -> None:
    (folder / "stations").mkdir()
    for name, rows in (("a", 160), ("b", 200)):
        write_csv(folder / "stations" / f"{name}.csv", weather(rows, seed=rows))
    (folder / "stations" / "readme.txt").write_text("no series")
    figures = bptt_command("train", "csv", "stations", "--json", *SMALL).figures
    assert figures["test_windows"] == 16 + 20
    assert figures["model_file"] == "stations.safetensors"


def test_patience_stops_and_keeps_the_best(bptt_command: CommandLine, table: Path) -> None:
    options = ("--patience", 2, "--epochs", 50, "--learning-rate", 0.5, "--hidden", 4, "--window", 6)
    figures = bptt_command("train", "csv", table, "--json", *options).figures
    assert figures["epochs"] < 50
    never = bptt_command("train", "csv", table, "--json", "--patience", 0, *options[2:]).figures
    assert never["epochs"] == 50


@pytest.mark.parametrize(
    "options",
    [
        ("--optimizer", "sgd", "--momentum", 0.9, "--schedule", "plateau", "--clip", "auto"),
        ("--optimizer", "adamw", "--weight-decay", 0.1, "--schedule", "step", "--clip", "off"),
        ("--optimizer", "rmsprop", "--schedule", "constant", "--warm-up", 5, "--clip-state", 0.1),
        ("--truncate", 3, "--recompute", "auto", "--no-standardize"),
        ("--bidirectional", "--accumulate", 3, "--precision", "bfloat16"),
        ("--cell", "rnn", "--pascanu", 4.0),
        ("--cell", "gru", "--layers", 2, "--dropout", 0.3, "--recompute", 2, "--batch", 7),
    ],
    ids=lambda options: " ".join(map(str, options)),
)
def test_options_of_the_trainer(bptt_command: CommandLine, table: Path, options: tuple[object, ...]) -> None:
    plain = bptt_command("train", "csv", table, "--json", *SMALL).figures
    figures = bptt_command("train", "csv", table, "--json", *SMALL, *options).figures
    assert figures["test"]["temperature"]["model"] != plain["test"]["temperature"]["model"]


def test_recompute_changes_no_bit(bptt_command: CommandLine, table: Path) -> None:
    plain, less = (
        bptt_command("train", "csv", table, "--json", *SMALL, *options).figures["test"]
        for options in ((), ("--recompute", 2))
    )
    assert plain == less


def test_momentum_for_adam(bptt_command: CommandLine, table: Path) -> None:
    fails(bptt_command("train", "csv", table, "--momentum", 0.9, *SMALL), "--momentum", "adam")


def test_log(bptt_command: CommandLine, table: Path) -> None:
    figures = bptt_command("train", "csv", table, "--json", "--log", "log.csv", *SMALL).figures
    assert len(Path("log.csv").read_text().splitlines()) == 1 + figures["updates"] + 1


HEAD = "day,temperature,wind\n"
ROWS = "".join(f"{i},{i % 7}.5,{i % 5}.25\n" for i in range(100))
BAD = {
    "empty": ("", ("is empty", "line of names")),
    "names alone": (HEAD, ("no rows",)),
    "NaN": (HEAD + ROWS + "100,nan,3\n", ("line 102", "column temperature", "'nan'")),
    "infinite": (HEAD + ROWS + "100,1,-inf\n", ("line 102", "column wind", "'-inf'")),
    "nothing in a cell": (HEAD + ROWS + "100,,3\n" + ROWS, ("line 102", "column temperature", "empty")),
    "a step without values": (HEAD + ROWS + "\n,,\n" + ROWS, ("line 103", "column day", "empty", "--fill")),
    "a word": (HEAD + ROWS + "100,n/a,3\n", ("line 102", "'n/a'")),
    "ragged": (HEAD + ROWS + "100,1\n" + ROWS, ("same number of columns", "line 102 has 2", "first 3")),
    "cut in half": (HEAD + ROWS + "100,1", ("line 102 has 2", "cut short")),
    "cut inside quotes": (HEAD + ROWS + '100,"1', ("complete CSV file",)),
    "two of a name": ("a,wind,wind\n" + ROWS, ("several columns", "'wind'")),
    "too short": (HEAD + "1,2,3\n" * 30, ("30 rows", "validation part has 9", "12")),
    "hardly any": (HEAD + "1,2,3\n", ("got 1.", "three parts")),
    "no numbers at all": (
        "a,b\n" + "x,y\n" * 100,
        ("must have a column of numbers", "a (no numbers: line 2 has 'x'), b"),
    ),
}


def test_bad_files(bptt_command: CommandLine, folder: Path, subtests: pytest.Subtests) -> None:
    for name in BAD:
        with subtests.test(name):
            text, words = BAD[name]
            Path("bad.csv").write_text(text, encoding="utf-8")
            fails(bptt_command("train", "csv", "bad.csv", "--horizon", 6, *SMALL), "bad.csv", *words)
            assert [path.name for path in folder.iterdir()] == ["bad.csv"]
            assert Path("bad.csv").read_text(encoding="utf-8") == text


def test_bad_paths(bptt_command: CommandLine, folder: Path, table: Path) -> None:
    (folder / "nothing").mkdir()
    fails(bptt_command("train", "csv", "nothing", *SMALL), "nothing", "without a .csv file")
    fails(bptt_command("train", "csv", "missing.csv", *SMALL), "missing.csv", "No such file")
    Path("binary.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    fails(
        bptt_command("train", "csv", "binary.csv", "--encoding", "utf-8", *SMALL),
        *("binary.csv", "UTF-8", "--encoding"),
    )
    fails(bptt_command("train", "csv", table, "--encoding", "klingon", *SMALL), "klingon")
    fails(bptt_command("train", "csv", table, "--encoding", "utf-16", *SMALL), "weather.csv", "UTF-16")
    fails(bptt_command("train", "csv", table, "--columns", "rain", *SMALL), "'rain'", "temperature, wind")
    fails(bptt_command("train", "csv", table, "--target", "rain", *SMALL), "'rain'", "temperature, wind")
    fails(bptt_command("train", "csv", table, "--season", 7, *SMALL), "--season", "--window, 6")
    before = table.read_bytes()
    fails(bptt_command("train", "csv", table, "--model", table, *SMALL), "weather.csv", "overwritten")
    fails(bptt_command("train", "csv", table, "--log", "x", "--model", "x", *SMALL), "two names")
    fails(bptt_command("train", "csv", table, "--model", "no/x", *SMALL), "there is no folder no")
    assert table.read_bytes() == before
    assert not list(folder.glob("*.safetensors"))


def test_a_file_that_may_be_cut_is_remarked_on(bptt_command: CommandLine, folder: Path) -> None:
    Path("cut.csv").write_text(HEAD + ROWS + "100,1,3", encoding="utf-8")
    result = bptt_command("train", "csv", "cut.csv", *SMALL)
    assert result.code == 0
    assert "does not end with a line break" in result.err


def test_gradflow_reads_the_models_own_columns(bptt_command: CommandLine, table: Path) -> None:
    options = ("--columns", "wind,temperature", *SMALL)
    assert bptt_command("train", "csv", table, *options).code == 0
    command = ("gradflow", "weather.safetensors", "--json", "--steps", 20, "--rows", 1)
    figures = bptt_command(*command, "--data", table).figures
    saved = read_checkpoint("weather.safetensors")
    scaling = bptt.load_preprocessing("weather.safetensors")["series"]
    x = scaling.apply(weather()[:20, ::-1])[:, None]
    assert figures["dh_norm"] == bptt.gradient_flow(saved.model, x).to_dict()["dh_norm"]


def test_tensorboard(bptt_command: CommandLine, table: Path) -> None:
    pytest.importorskip(
        "tensorboardX", reason="tensorboardX is not installed: pip install 'bptt[tensorboard]'"
    )
    assert bptt_command("train", "csv", table, "--tensorboard", "events", *SMALL).code == 0
    assert len(list(Path("events").iterdir())) == 1


def test_a_run_that_fails_leaves_the_model_that_was_there(
    bptt_command: CommandLine, table: Path, folder: Path
) -> None:
    assert bptt_command("train", "csv", table, *SMALL).code == 0
    before = {path: path.read_bytes() for path in folder.iterdir()}
    options = ("--optimizer", "sgd", "--learning-rate", 1e30, "--clip", "off", "--schedule", "constant")
    fails(bptt_command("train", "csv", table, *SMALL, *options), "not finite")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_gradients_that_are_not_finite_may_be_skipped(bptt_command: CommandLine, table: Path) -> None:
    options = ("--optimizer", "sgd", "--learning-rate", 1e60, "--clip", "off", "--nonfinite", "skip")
    figures = bptt_command("train", "csv", table, "--json", *SMALL, *options).figures
    assert figures["updates"] > 1
    assert figures["test"]["temperature"]["model"]["rmse"] is None
    assert figures["beats_baselines"] is False
    assert bptt.load(figures["model_file"])
