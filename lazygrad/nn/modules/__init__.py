"""The layers of nn, by family."""
