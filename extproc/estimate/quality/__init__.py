"""How likely each model is to answer a prompt correctly, and what a failure says about the others."""
