"""What a service is compared with: programs that do the same job in another way."""
