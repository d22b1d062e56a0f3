"""The schema's history, one script per revision in ``versions``. Run by ``inbox.kernel.migrate``."""
