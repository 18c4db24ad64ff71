"""What can be routed to: topology as configured, load as observed, and the snapshot that decisions are made on."""
