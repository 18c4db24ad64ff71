"""Does it pay to collect requests before deciding on them? A study in virtual time."""
