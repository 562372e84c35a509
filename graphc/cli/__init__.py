"""The command line: ``graphc demo``, ``draw``, ``check``, ``gates``, ``doctor``, ``cache``."""
