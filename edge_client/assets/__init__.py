"""The bundled clip and the script that makes it."""
