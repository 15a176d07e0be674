"""The OpenSearch target: facts at ingest, rules as monitors."""
