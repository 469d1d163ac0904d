"""The same tail under servers that others wrote: each program is what their own docs suggest."""
