"""Open-loop load, simulated vLLM servers and reports, for measuring the router."""
