"""The shell around the core: gRPC, HTTP, timers and files."""
