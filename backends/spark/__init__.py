"""Spark and Databricks: the event view, the chain view and the rules as Spark SQL."""
