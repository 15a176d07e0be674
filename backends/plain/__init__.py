"""The rules as they are, for people with other tools."""
