"""The text of a header: its opening comment, weights, functions and entry points."""

from __future__ import annotations

from collections.abc import Callable

from bptt._version import __version__
from bptt.c_export.chain import count, describe, input_width, width_of
from bptt.c_export.functions import definitions
from bptt.c_export.lstm import write_lstm
from bptt.c_export.recurrent import Cell, write_gru, write_mgu, write_rnn
from bptt.c_export.source import LANES, Source, c_array
from bptt.c_export.stateless import write_stateless
from bptt.layers import GRU, LSTM, MGU, RNN, Embedding, Module
from bptt.layers.recurrent import Recurrent

CELLS: dict[type[Module], Callable[[Cell], str]] = {
    RNN: write_rnn,
    LSTM: write_lstm,
    GRU: write_gru,
    MGU: write_mgu,
}

MATH_FUNCTIONS = ("expf(", "tanhf(", "expm1f(", "log1pf(", "erfcf(", "sqrtf(")


def header_text(chain: list[Module], name: str, section: str | None, math: str) -> str:
    """Return the whole header of a checked chain of layers."""
    out = Source(name)
    inputs = input_width(chain)
    ids = isinstance(chain[0], Embedding)
    expression, width = "x", inputs
    for place, layer in enumerate(chain):
        out.comment(f"layer {place}: {describe(layer)}")
        expression = _write_layer(out, place, layer, expression, width)
        width = width_of(layer, width)
    out.loop(width, f"y[k] = {expression}[k];")
    functions = definitions(out.functions, name, math)
    libm = any(function in functions for function in MATH_FUNCTIONS)
    parts = [
        _opening(out, chain, inputs, width, libm=libm, ids=ids),
        f"#ifndef BPTT_HEADER_{name}\n#define BPTT_HEADER_{name}\n",
        _includes(libm),
        _section(name, section),
        f"enum {{ {name}_inputs = {inputs}, {name}_outputs = {width} }};\n",
        _state(out),
        *(c_array(label, values, f"static const {name}_section") for label, values in out.weights),
        functions,
        _entry_points(out, inputs, width, ids=ids),
        f"#endif /* BPTT_HEADER_{name} */\n",
    ]
    return "\n".join(part for part in parts if part)


def _write_layer(out: Source, place: int, layer: Module, expression: str, width: int) -> str:
    if not isinstance(layer, Recurrent):
        return write_stateless(out, place, layer, expression, width)
    for index in range(layer.num_layers):
        suffix = f"{place}l{index}" if layer.num_layers > 1 else f"{place}"
        expression = CELLS[type(layer)](Cell(out, layer, index, suffix, expression))
    return expression


def _opening(out: Source, chain: list[Module], inputs: int, outputs: int, *, libm: bool, ids: bool) -> str:
    name = out.name
    constants = 4 * sum(values.size for _, values in out.weights)
    state = 4 * sum(size for _, size, _ in out.state)
    reads, declare, x = count(inputs, "number"), f"float x[{name}_inputs] = {{0}}", "x"
    rule = f"y may be the array x{' in both functions' if outputs <= inputs else ' of one step'}."
    if ids:
        reads, declare, x = "an integer", "int32_t x = 0", "&x"
        rule = "step and run return 0; or 1 if an x is out of range, and then nothing changes."
    lines = [
        f"{name}: a recurrent network, written by bptt {__version__}.",
        "",
        *(f"  layer {place}: {describe(layer)}" for place, layer in enumerate(chain)),
        "",
        f"Each step reads {reads} and writes {count(outputs, 'number')}.",
        f"Memory: {constants} bytes of constants, {state} bytes for each state,",
        f"at most {4 * (out.stack_floats + LANES)} bytes of arrays on the stack.",
        "",
        f"  {name}_state state;",
        f"  {declare};",
        f"  float y[{name}_outputs];",
        f"  {name}_init(&state);             before the first step, and to start again",
        f"  {name}_step(&state, {x}, y);      one step",
        f"  {name}_run(&state, xs, ys, n);   n steps, with all inputs in xs and all outputs in ys",
        "",
        "No function allocates memory or has a global variable. Use each state in one thread at a time.",
        rule,
        "Optimise for your processor, for example with -O3 -march=native.",
    ]
    if libm:
        lines.append("Link with the mathematical library, -lm.")
    return "/* " + "\n".join(f"   {line}".rstrip() for line in lines).strip() + " */\n"


def _includes(libm: bool) -> str:
    names = ["math.h"] * libm + ["stddef.h", "stdint.h", "string.h"]
    return "".join(f"#include <{name}>\n" for name in names)


def _section(name: str, section: str | None) -> str:
    value = f' __attribute__((section("{section}")))' if section else ""
    return (
        "/* Where the constants lie. Define this macro before the #include to put them somewhere else. */\n"
        f"#ifndef {name}_section\n#define {name}_section{value}\n#endif\n"
    )


def _state(out: Source) -> str:
    fields = out.state or [("unused", 1, "C has no empty structures")]
    lines = (f"  float {field}[{size}]; /* {comment} */\n" for field, size, comment in fields)
    return f"typedef struct {{\n{''.join(lines)}}} {out.name}_state;\n"


def _entry_points(out: Source, inputs: int, outputs: int, *, ids: bool) -> str:
    name, result = out.name, "int" if ids else "void"
    x = "const int32_t *x" if ids else "const float *x"
    lines = [
        f"static inline void {name}_init({name}_state *state) {{ memset(state, 0, sizeof *state); }}",
        "",
        f"static inline {result} {name}_step({name}_state *state, {x}, float *y) {{",
        *(["  (void)state;"] if not out.state else []),
        *([f"  if (*x < 0 || *x >= {_rows(out)}) {{", "    return 1;", "  }"] if ids else []),
        *out.body,
        *(["  return 0;"] if ids else []),
        "}",
        "",
        f"static inline {result} {name}_run({name}_state *state, {x}, float *y, size_t steps) {{",
    ]
    if ids:
        lines += [
            "  for (size_t t = 0; t < steps; ++t) {",
            f"    if (x[t] < 0 || x[t] >= {_rows(out)}) {{",
            "      return 1;",
            "    }",
            "  }",
        ]
    at = "x + t" if ids else f"x + t * {inputs}"
    lines += [
        "  for (size_t t = 0; t < steps; ++t) {",
        f"    {'(void)' if ids else ''}{name}_step(state, {at}, y + t * {outputs});",
        "  }",
        *(["  return 0;"] if ids else []),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _rows(out: Source) -> int:
    """Return the number of rows of the embedding, whose table is the first constant."""
    return len(out.weights[0][1])
