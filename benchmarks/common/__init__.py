"""What several benchmarks need: intervals, command lines, machines, Markdown."""
