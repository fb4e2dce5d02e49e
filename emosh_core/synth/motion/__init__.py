"""What synthetic people do: drawn as a score, then put on a body."""
