"""Attacks, one module a chapter: each bends an honest chain. Nothing here reads a rule."""
