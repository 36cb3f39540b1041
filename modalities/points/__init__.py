"""Shapes as sets of points: readers, procedural furniture, distances of sets, published protocols, pictures."""
