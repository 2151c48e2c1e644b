"""A file that lies: forged values raise CheckpointError before anything uses them.

tests/fuzz/test_checkpoint_files.py replaces every value; here are those that once crashed the process, took
all its memory or went on for minutes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from tests.fuzz.test_checkpoint_files import File, signed, split, stream_run, windows_run

from bptt.files import CheckpointError, read_checkpoint

KINDS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")


def forge(content: bytes, change: Callable[[Any], Any]) -> bytes:
    about = json.loads(split(content)[0]["__metadata__"]["bptt"])
    change(about)
    return signed(about, safetensors.numpy.load(content))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, File]:
    folder = tmp_path_factory.mktemp("runs")
    return {"stream": stream_run(folder, "MT19937")} | {kind: windows_run(folder, kind) for kind in KINDS}


def refused(content: bytes, path: Path) -> str:
    """The message of the CheckpointError."""
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    return str(caught.value)


# Generators

OUT_OF_RANGE = {
    ("MT19937", "state", "pos"): (-1, 625, 2**31, 2**63, 1.5, None, "0"),
    ("Philox", "buffer_pos"): (-1, 5, 2**31, 2**63),
    ("PCG64", "state", "state"): (-1, 2**128, 1e308),
    ("PCG64DXSM", "state", "inc"): (-1, 0, 2, 2**128 + 1),
    ("SFC64", "uinteger"): (-1, 2**32),
    ("Philox", "has_uint32"): (-1, 2, True),
}


def check_a_generator_out_of_range(
    place: tuple[str, ...], value: Any, runs: dict[str, File], tmp_path: Path
) -> None:
    kind, *names = place

    def change(about: Any) -> None:
        inner = about["training"]["mapping"]["data"]["mapping"]["state"]["mapping"]["rng"]["mapping"]
        for name in names[:-1]:
            inner = inner[name]["mapping"]
        assert names[-1] in inner
        inner[names[-1]] = value

    assert names[-1] in refused(forge(runs[kind].content, change), tmp_path / "run")


def test_a_generator_out_of_range(runs: dict[str, File], tmp_path: Path, subtests: pytest.Subtests) -> None:
    for place, value in [(place, value) for place, values in OUT_OF_RANGE.items() for value in values]:
        with subtests.test(place=place):
            check_a_generator_out_of_range(place, value, runs, tmp_path)


def test_a_layer_s_generator_out_of_range(runs: dict[str, File], tmp_path: Path) -> None:
    def change(about: Any) -> None:
        states = about["training"]["mapping"]["generators"]["mapping"]["states"]
        states[0]["mapping"]["state"]["mapping"]["pos"] = 2**31 - 1

    message = refused(forge(runs["stream"].content, change), tmp_path / "run")
    assert "training.generators.states[0].state.pos must be a whole number from 0 to 624" in message


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_without_the_generator_that_it_had(kind: str, runs: dict[str, File], tmp_path: Path) -> None:
    """The layer keeps a generator of its own, and the run goes on."""
    file = runs[kind]
    about = json.loads(split(file.content)[0]["__metadata__"]["bptt"])
    shared = about["training"]["mapping"]["generators"]["mapping"]["shared"]
    for owner, index in enumerate(shared):
        if index is None or shared.count(index) == 1:
            continue

        def change(about: Any, owner: int = owner) -> None:
            about["training"]["mapping"]["generators"]["mapping"]["shared"][owner] = None

        path = tmp_path / "run"
        path.write_bytes(forge(file.content, change))
        assert file.resume is not None
        assert file.data is not None
        file.resume(path).fit(file.data(), 2, file.data())


@pytest.mark.parametrize("kind", KINDS)
def test_a_generator_goes_on_from_its_state(kind: str) -> None:
    from bptt.files.generator_state import generator_from_state

    rng = np.random.Generator(getattr(np.random, kind)(3))
    rng.integers(0, 100, 5, np.uint8)  # leaves half a word
    again = generator_from_state(rng.bit_generator.state)
    np.testing.assert_array_equal(again.integers(0, 2**31, 700), rng.integers(0, 2**31, 700))


@pytest.mark.parametrize("state", [None, {}, {"bit_generator": "os"}, {"bit_generator": ["PCG64"]}, []])
def test_the_state_of_no_generator(state: Any) -> None:
    from bptt.files.generator_state import generator_from_state

    with pytest.raises(ValueError, match="rng of layers and data must be one of PCG64, PCG64DXSM, MT19937"):
        generator_from_state(state)


@pytest.mark.parametrize("legacy", [True, False])
def test_the_state_of_a_random_state_in_a_state_dict(legacy: bool) -> None:
    """The user's own data may keep the older kind of generator."""
    from bptt.files.validate_training import free

    state: Any = np.random.RandomState(1).get_state(legacy=legacy)
    assert repr(free(state, "state")) == repr(state)
    lies: Any = (*state[:2], 2**31, *state[3:]) if legacy else state | {"state": state["state"] | {"pos": -1}}
    with pytest.raises(ValueError, match="pos must be a whole number from 0 to 624"):
        free(lies, "state")


# The rest of the training part

IN_TRAINING: dict[str, tuple[str, Any, str]] = {
    "a shape without end": (
        "history",
        {"mapping": {"loss": {"integers": "int64", "shape": [2**40, 0], "values": []}}},
        "shape",
    ),
    "texts in the position": ("position", {"mapping": {"epoch": "0"}}, "position lacks the field 'batches'"),
    "a step without a state": ("states", [[5, None]], "a state for the step of training.position"),
    "a rate of nothing": ("next_lr", {"float": "nan"}, "next_lr must be a finite number of at least 0"),
    "a rate below 0": ("next_lr", -1, "next_lr must be a finite number of at least 0"),
    "a number for a truth": ("stopping", 1, "stopping must be true or false"),
    "a checksum of 64 bits": ("sum", 2**63, "sum must be a whole number from 0 to 4294967295"),
    "a generator that nobody has": (
        "generators",
        {"mapping": {"shared": [None, 0], "states": []}},
        "generators.shared must refer to each state",
    ),
    "a generator from the end": ("generators", {"mapping": {"shared": [-1], "states": []}}, "from 0 to"),
    "a field from the future": ("os", 3, "a field that this version does not know: 'os'"),
    "a callback without a name": ("callbacks", [[3, {"mapping": {}}]], "callbacks[0][0] must be a text"),
    "a clip below 0": (
        "clip",
        {"mapping": {"nonfinite_steps": 0, "max_norm": -1.0, "norms": []}},
        "clip.max_norm must be a number of at least 0",
    ),
}


def check_a_training_that_cannot_be(name: str, runs: dict[str, File], tmp_path: Path) -> None:
    field, value, message = IN_TRAINING[name]

    def change(about: Any) -> None:
        about["training"]["mapping"][field] = value

    assert message in refused(forge(runs["stream"].content, change), tmp_path / "run")


def test_a_training_that_cannot_be(runs: dict[str, File], tmp_path: Path, subtests: pytest.Subtests) -> None:
    for name in IN_TRAINING:
        with subtests.test(name):
            check_a_training_that_cannot_be(name, runs, tmp_path)


# Sizes


def described(model: Any, extra: Any = None) -> bytes:
    about = {"format": 1, "version": "0", "model": model, "optimizer": None, "extra": extra or {}}
    return signed(about, {})


EMPTY = {"kind": "Dropout", "config": {"p": 0.5, "dtype": "float32"}}


def test_a_type_that_numpy_cannot_parse(tmp_path: Path) -> None:
    model = {"kind": "Dropout", "config": {"p": 0.5, "dtype": "9" * 5000}}
    assert "type is neither float32 nor float64" in refused(described(model), tmp_path / "model")


def sequential(layers: list[Any]) -> Any:
    return {"kind": "Sequential", "config": {"layers": layers}}


def nested(depth: int) -> Any:
    model = EMPTY
    for _ in range(depth):
        model = sequential([model])
    return model


TOO_LARGE: dict[str, tuple[Callable[[], bytes], str]] = {
    "layers": (lambda: described(sequential([EMPTY] * 1001)), "more than 1000 layers"),
    "layers beyond count": (lambda: described(sequential([EMPTY] * 60_000)), "too many values in its header"),
    "layers of a stack": (
        lambda: described(
            {"kind": "LSTM", "config": {"input_size": 1, "hidden_size": 1, "num_layers": 2000}}
        ),
        "more than 1000 layers",
    ),
    "models in models": (lambda: described(nested(60)), "32 models in models"),
    "lists": (lambda: described(EMPTY, {"lists": [[]] * 200_000}), "too many values in its header"),
    "names": (
        lambda: described(EMPTY, {str(n): 0 for n in range(260_000)}),
        "too many values in its header",
    ),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_more_than_a_model_needs(name: str, tmp_path: Path) -> None:
    make, message = TOO_LARGE[name]
    assert message in refused(make(), tmp_path / "model")


def test_as_much_as_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(described(sequential([EMPTY] * 999)))
    assert len(read_checkpoint(tmp_path / "model").model) == 999
