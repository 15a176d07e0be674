"""Lucene query strings: for rules that read what a log says, and nothing that a view computes."""
