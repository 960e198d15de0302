"""What the slices of the schema share: context, errors, ids and scalars."""
