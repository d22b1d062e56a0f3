"""A fifth channel, complete in one folder: proof that one more needs nothing of the core, and the guide's example.

"Pigeon" is an invented provider of a common make: signed JSON webhooks with several events in a body, a bearer token,
one endpoint to send to. ``docs/adding-a-channel.md`` walks through these files in the order in which they were written.
"""
