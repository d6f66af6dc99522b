"""The proxy: the text of nginx's configuration, and the static files that nginx serves itself."""
