"""What a request would cost: prompt tokens, output length, work."""
