"""Workspaces, the people and bots who work in them, and how they prove who they are."""
