"""What is remembered of clients who judge answers for themselves and ask again."""
