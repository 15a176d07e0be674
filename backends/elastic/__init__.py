"""Elasticsearch and Kibana: rules in ES|QL, facts at query time."""
