"""The recipes, a file for each family."""
