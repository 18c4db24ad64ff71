"""Envoy's wire messages, trimmed to what is used; regenerate the stubs with `python -m extproc.protocol.wire.generate`."""
