"""Nodes of Elasticsearch and OpenSearch, fetched from Maven Central and started on loopback for a test run."""
