"""`python -m service` is `second-reader`."""

from service.cli import main

main()
