"""What a decision costs: the service against a no-op service and against no service, interleaved in one run."""
