"""How fast a recipe trains and translates here, beside the textbook's way and the machine's limit."""
