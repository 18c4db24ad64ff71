"""The whole system on one machine, shown at work on replayed traffic."""
