"""Write a model as a C header."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from bptt.arguments import choice, short
from bptt.c_export.chain import read_chain
from bptt.c_export.header import header_text
from bptt.c_export.names import parse_name
from bptt.files import atomic
from bptt.layers.module import Module


def export_c(
    model: object,
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    section: str | None = None,
    math: str = "inline",
) -> None:
    """Write a model as one C99 header, with its weights and the functions that run it.

    The header includes only headers of the C library, allocates no memory and also compiles as C++. It
    defines a type and three functions, here for the name "amp"::

        amp_state state;                    // owned by you: any number of them
        amp_init(&state);                   // the initial state, zeros
        amp_step(&state, x, y);             // one step: x (inputs,), y (outputs,)
        amp_run(&state, xs, ys, steps);     // several steps: xs (steps, inputs), ys (steps, outputs)

    The constants `amp_inputs` and `amp_outputs` are the sizes. The comment at the top of the header has the
    layers and the bytes of memory. If the model begins with an `Embedding`, x points to `int32_t`. Then
    `amp_step` and `amp_run` return 1 if an id is out of range, otherwise 0.

    Parameters
    ----------
    model : Module or Frozen
        A recurrent layer, or a `Sequential`. Its layers are `RNN`, `LSTM`, `GRU` and `MGU` with all options
        of inference, `Linear`, `TiedLinear`, `Embedding`, `LayerNorm`, `Softmax`, activations and `Dropout`,
        which does nothing. With `Last`, the output of the model is the y of the last step. Outputs are those
        of `model(x)`, in float32. Parameters of a float64 model are rounded to float32.
    path : str or PathLike
        The header. An existing file is replaced. A failed call does not change it.
    name : str, optional
        The prefix of all names in the header: a C identifier. Default: the name of the file without ".h".
    section : str, optional
        The section of the object file that holds the weights, such as ".flash". Default: the compiler's
        choice. Programs can define the macro `NAME_section` before they include the header, which replaces
        this argument.
    math : {"inline", "libm"}
        "inline": polynomials for the exponential function, which compilers vectorise. The errors of sigmoid
        and tanh are at most 3 units in the last place. "libm": `expf` and `tanhf` of the C library, which
        need less memory for code if the program uses them anyway.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a layer cannot run one step at a time: layers that read from the end of a sequence, `Ends`,
        `Repeat` and pools. If the model has another container than `Sequential`, or layers of your own. If a
        parameter is not finite in float32, or an argument is out of range.
    OSError
        If the file cannot be written.

    Notes
    -----
    The same model gives the same bytes. The constants are printed so that every compiler reads the same
    float32 bits. Results differ from those of `model(x)` by rounding errors.

    Examples
    --------
    >>> from pathlib import Path
    >>> import bptt
    >>> model = bptt.Sequential(bptt.LSTM(1, 16), bptt.Linear(16, 1))
    >>> bptt.export_c(model, "amp.h")
    >>> "amp_step" in Path("amp.h").read_text()
    True
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"path must be a str or a PathLike; got {short(path)} of type {type(path).__name__}. "
            'Fix: pass the name of the header, such as "amp.h".'
        )
    file = Path(path)
    prefix = parse_name(name, file)
    _check_section(section)
    chain = read_chain(model)
    for place, layer in enumerate(chain):
        _check_values(place, layer)
    content = header_text(chain, prefix, section, choice(math, "math", ("inline", "libm"))).encode("ascii")

    def verify(written: Path) -> None:
        if written.stat().st_size != len(content):
            raise OSError(f"{path}: the file was not written completely. Fix: check the space on the disk.")

    atomic.replace(file, content, verify)


def _check_section(section: object) -> None:
    if section is None:
        return
    if not isinstance(section, str):
        raise TypeError(
            f"section must be a str or None; got {short(section)} of type {type(section).__name__}. "
            'Fix: pass section=".flash".'
        )
    allowed = "._,$-"
    if not section or not all(c in allowed or (c.isascii() and c.isalnum()) for c in section):
        raise ValueError(
            f"section must be letters, digits and the characters {allowed}; got {section!r:.60}. "
            'Fix: pass the name of a section of your linker script, such as ".flash".'
        )


def _check_values(place: int, layer: Module) -> None:
    with np.errstate(over="ignore"):
        for name, values in layer.parameters.items():
            finite = np.isfinite(values.astype(np.float32))
            if not finite.all():
                raise ValueError(
                    f"model must have finite parameters; got {values[~finite][0]} in {name!r} of layer "
                    f"{place}. Fix: train the model with a smaller learning rate, or load an earlier "
                    "checkpoint."
                )
