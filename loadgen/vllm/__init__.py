"""A simulated vLLM server: its HTTP surface over `loadgen.engine`, in real time."""
