"""Where answers go: lines, pictures, video."""
