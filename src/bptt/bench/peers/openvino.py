"""OpenVINO, inference only, with the model of ONNX Runtime.

There is no int8: `nncf.compress_weights` and `nncf.quantize` leave recurrent layers in float32.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

from bptt.bench.peers import onnx_runtime
from bptt.bench.problem import Array, Call, Problem

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # sends no usage data
openvino: Any = import_module("openvino")


def inference(problem: Problem, threads: int) -> Call:
    """Run a whole sequence."""
    return onnx_runtime.sequence(problem, _binder(problem, threads))


def streaming(problem: Problem, threads: int) -> Call:
    """Run one step per call."""
    return onnx_runtime.steps(problem, _binder(problem, threads))


def _binder(problem: Problem, threads: int) -> onnx_runtime.Binder:
    core = openvino.Core()
    graph = core.read_model(onnx_runtime.model(problem).SerializeToString())
    hint = "bf16" if problem.case.precision == "bfloat16" else "f32"
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    with ThreadPoolExecutor(1) as pool:
        # Signal handlers of the thread that compiles get a stack that OpenVINO frees with the model: a Ctrl-C
        # after that would crash the process.
        compiled = pool.submit(core.compile_model, graph, "CPU", settings).result()

    def bind(inputs: dict[str, Array], outputs: dict[str, Array]) -> Callable[[], Any]:
        request: Any = compiled.create_infer_request()
        for name, value in (inputs | outputs).items():
            request.set_tensor(name, openvino.Tensor(value, shared_memory=True))
        run: Callable[[], Any] = request.infer
        return run

    return bind
