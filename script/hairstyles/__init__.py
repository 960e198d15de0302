"""Draws the pictures of hairstyles that the seeds come with."""
