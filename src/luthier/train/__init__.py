"""One training loop that ends with the same bits whether or not it was stopped: `loop.fit`."""
