"""Where the tensors are in a model file: one module a format, `registry` chooses among them."""
