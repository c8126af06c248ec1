"""What pages and API share about a request."""
