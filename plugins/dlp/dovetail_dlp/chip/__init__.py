"""The device process: memory, queues, and instructions in NumPy."""
