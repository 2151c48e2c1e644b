"""From a model to the nodes of an ONNX graph."""
