"""Load for the service: a seeded corpus, a null sink, a cheap generator."""
