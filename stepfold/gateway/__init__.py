"""People and programs over HTTP: it verifies who calls, reads the log and appends to it."""
