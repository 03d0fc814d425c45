"""What Prometheus calls things, and the bytes in which it takes them."""
