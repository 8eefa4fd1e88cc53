"""A run, taken to where there is no torch: a page, JavaScript, ONNX."""
