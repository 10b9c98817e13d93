"""`python -m vi.compare` is `vi-compare`."""

from vi.compare.command import main

main()
