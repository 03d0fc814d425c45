"""The commands as users run them, over a real Kafka, against what is known to be true."""
