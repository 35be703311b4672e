"""One module for each resource; each returns its routes for a desk."""
