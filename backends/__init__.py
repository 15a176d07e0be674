"""Targets: the engines that the schema, the views and the rules are compiled for."""
