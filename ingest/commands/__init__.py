"""The commands of the console script, one a file; `__main__` says which there are."""
