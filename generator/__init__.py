"""Synthetic logs: an organisation, honest chains, and attacks that bend them."""
