"""Replay kits: attacks and honest work as a SIEM takes them in, and the question which rules fired."""
