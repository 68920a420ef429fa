"""What differs between two sides: files, tensors, weights. Pure comparison, nothing is written."""
