"""Which files are films, whose they are, and on which side of the split; no TensorFlow."""
