"""What others see of the log while it grows, and later: spans of turns, and numbers."""
