"""A continuous-batching LLM engine as a pure state machine in virtual time: no I/O, no clock, no randomness."""
