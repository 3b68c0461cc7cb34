"""Our own trained nets (``*.onnx``), each with its card inside."""
