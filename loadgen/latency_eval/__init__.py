"""Holds latency estimates against measured and simulated latencies."""
