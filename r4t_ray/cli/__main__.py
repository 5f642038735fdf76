"""`python -m r4t_ray.cli` is `r4t`."""

from r4t_ray.cli import main

main()
