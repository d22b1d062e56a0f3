"""The providers' side of all four channels, in memory, on one local port.

It writes provider shapes by itself from the channel facts and shares no code with the adapters: it is their oracle.
"""
