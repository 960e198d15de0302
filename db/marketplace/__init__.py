"""What stores sell: products with their pictures, files and versions."""
