"""What was asked: from a request's bytes to the facts that routing needs."""
