"""The gate atlas: a Markdown page and pictures for each gate, generated from the registry and nothing else."""

from graphc.cli.atlas.folder import images, index, pages, write
from graphc.cli.atlas.page import entry

__all__ = ["entry", "images", "index", "pages", "write"]
