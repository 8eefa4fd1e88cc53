"""How fast a recipe trains and translates here, compared with the textbook's way and the machine's limit."""
