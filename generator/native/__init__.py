"""The same story as real products log it."""
