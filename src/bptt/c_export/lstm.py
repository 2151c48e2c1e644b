"""The LSTM in C, with its variants."""

from __future__ import annotations

from bptt.c_export.functions import activation
from bptt.c_export.recurrent import EPSILON, Cell, block
from bptt.c_export.source import literal, place
from bptt.layers import LSTM


def write_lstm(cell: Cell) -> str:
    """Write one layer in an array a of its gates: i, f, o, g, or those that it has."""
    out, layer, H = cell.out, _layer(cell), cell.layer.hidden_size
    h = out.field(f"h{cell.suffix}", layer.output_size, "hidden state")
    c = out.field(f"c{cell.suffix}", H, "cell state")
    gates = _gates(layer)
    G = len(gates)
    # In the parameters, g comes before o. Here the gates with the same function are side by side.
    rows = block(H, *range(G - 2), G - 1, G - 2)
    _comment(cell)
    with out.block():
        out.array("a", G * H)
        cell.set_bias("a", cell.bias(rows, "ih", "hh"), G * H)
        cell.product("ih", rows, (G * H,), "a", cell.x)
        cell.product("hh", rows, (G * H,), "a", h)
        _write_gates(cell, c, G)
        _write_state(cell, h, c, gates)
    return h


def _layer(cell: Cell) -> LSTM:
    assert isinstance(cell.layer, LSTM)
    return cell.layer


def _gates(layer: LSTM) -> str:
    return "fog" if layer.coupled else "ifog" if layer.forget_gate else "iog"


def _comment(cell: Cell) -> None:
    layer, out = _layer(cell), cell.out
    known = {"ifog": "i, f, o", "fog": "f, o", "iog": "i, o"}[_gates(layer)]
    fixed = {"ifog": "", "fog": "i = 1 - f, ", "iog": "f = 1, "}[_gates(layer)]
    peephole = " + p c" if layer.peephole else ""
    out.comment(
        f"{known} = s(W x + U h + b{peephole}), g = t(W x + U h + b), {fixed}c = f c + i g, h = o t(c)"
    )


def _gate(cell: Cell, argument: str, which: int = 0) -> str:
    """Return the activation of the gates (0), of the candidate (1) or of the output (2)."""
    layer = _layer(cell)
    limit = layer.gate_clip if which < 2 or layer.clip_mode == "spec" else None
    return activation(cell.out, layer.activations[which], argument, limit)


def _write_gates(cell: Cell, c: str, G: int) -> None:
    """Write the gates that do not depend on the new c: all of them, or with peepholes all but o."""
    out, H = cell.out, cell.layer.hidden_size
    peephole = cell.parameter("weight_peephole")
    count = G - 1
    if peephole is not None:
        count = G - 2
        for row in range(count):
            name = out.weight(f"peep{'ab'[row]}{cell.suffix}", peephole[row])
            out.loop(H, f"a[{row * H} + k] += {name}[k] * {c}[k];")
    out.loop(count * H, f"a[k] = {_gate(cell, 'a[k]')};")


def _write_state(cell: Cell, h: str, c: str, gates: str) -> None:
    """Write the new c and h: in one loop, or in several if something stands between c and h."""
    out, layer, H = cell.out, _layer(cell), cell.layer.hidden_size
    i, f, g, o = (place("a", gates.index(gate) * H) if gate in gates else "" for gate in "ifgo")
    candidate = _gate(cell, g, 1)
    new = f"{f} * {c}[k] + {i or f'(1.0f - {f})'} * {candidate}" if f else f"{c}[k] + {i} * {candidate}"
    if layer.cell_clip is not None:
        new = out.call("clip", new, literal(layer.cell_clip))
    update = f"{c}[k] = {cell.mixed(f'{c}[k]', 'e', 1)};"
    if not (layer.peephole or layer.layer_norm or layer.proj_size):
        output = cell.mixed(f"{h}[k]", f"{o} * {_gate(cell, 'e', 2)}")
        out.loop(H, f"const float e = {new};", update, f"{h}[k] = {output};")
        return
    out.array("q", H)
    lines = [f"const float e = {new};", "q[k] = e;", update]
    if layer.peephole:
        peephole = layer.parameters[f"weight_peephole_l{cell.index}"][-1]
        lines.append(f"{o} += {out.weight(f'peepo{cell.suffix}', peephole)}[k] * e;")
    out.loop(H, *lines)
    if layer.peephole:
        out.loop(H, f"{o} = {_gate(cell, o)};")
    out.loop(H, f"q[k] = {_gate(cell, _output_argument(cell), 2)};")
    if layer.proj_size:
        _write_projection(cell, h, o)
    else:
        out.loop(H, f"{h}[k] = {cell.mixed(f'{h}[k]', f'{o} * q[k]')};")


def _write_projection(cell: Cell, h: str, o: str) -> None:
    out, P = cell.out, _layer(cell).proj_size
    out.loop(cell.layer.hidden_size, f"q[k] *= {o};")
    out.array("r", P)
    out.loop(P, "r[k] = 0.0f;")
    out.add_product("r", f"hr{cell.suffix}", cell.layer.parameters[f"weight_hr_l{cell.index}"], "q")
    out.loop(P, f"{h}[k] = {cell.mixed(f'{h}[k]', 'r[k]')};")


def _output_argument(cell: Cell) -> str:
    """Return the argument of the output's activation: the new c, normalised if the layer has layer norm."""
    out, H = cell.out, cell.layer.hidden_size
    gain, bias = cell.parameter("weight_norm_c"), cell.parameter("bias_norm_c")
    if gain is None:
        return "q[k]"
    out.line(f"{out.call('normalize', 'q', str(H), literal(EPSILON))};")
    argument = f"q[k] * {out.weight(f'gainc{cell.suffix}', gain)}[k]"
    return argument if bias is None else f"{argument} + {out.weight(f'biasc{cell.suffix}', bias)}[k]"
