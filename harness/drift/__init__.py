"""Drift: what a SIEM has installed, compared with the pack. Nothing here changes anything there."""
