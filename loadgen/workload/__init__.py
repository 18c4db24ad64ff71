"""What is asked: sizes and arrivals from recorded traces or from generators fitted to them, and prompt text."""
