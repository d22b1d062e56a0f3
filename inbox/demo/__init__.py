"""The product with simulated customers, and the small programs that look at a running one from outside.

Everything here but the start of the processes goes through the public API.
"""
