"""The node store: where a SuperNode keeps client state durably."""
