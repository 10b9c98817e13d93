"""Results files, a small tracked file for each finished run of an experiment, and the Markdown tables of them."""
