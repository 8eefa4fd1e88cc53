"""Translators behind HTTP, for the clients that people have: LibreTranslate's, DeepL's, a browser."""
