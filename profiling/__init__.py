"""What the service costs: the whole-service bench and how CPU and memory are read."""
