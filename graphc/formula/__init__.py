"""The language: scalar bodies, affine index maps, guards, reductions; adjoints; the door to SymPy."""
