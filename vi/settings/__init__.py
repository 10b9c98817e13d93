"""What a config may hold, how it is composed, and how it is read and written; without TensorFlow."""
