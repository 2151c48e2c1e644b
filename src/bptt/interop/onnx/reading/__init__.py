"""Read ONNX models: bytes to a checked graph, a graph to a chain of layers, a chain to a bptt model."""
