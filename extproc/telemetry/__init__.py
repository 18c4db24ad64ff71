"""What the service tells about itself: spans, traces, metrics and logs, fed by frozen records."""
