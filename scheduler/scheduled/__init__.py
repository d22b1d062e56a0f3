"""Scheduled messages: what somebody writes now and the customer gets later, once or again and again."""
