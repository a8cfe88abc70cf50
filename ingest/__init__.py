"""High-throughput Elasticsearch ingestion service."""
