"""`python -m seglib` is `seglib`."""

from seglib.cli import main

raise SystemExit(main())
