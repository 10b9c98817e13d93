"""Results files and their Markdown tables. A results file is a small tracked file for one finished run."""
