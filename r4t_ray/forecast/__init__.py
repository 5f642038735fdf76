"""Minutes, memory and disk of every stage before anything runs, for `r4t pipeline CONFIG --dry-run`."""

from r4t_ray.forecast.estimate import Forecast, forecast, in_words

__all__ = ["Forecast", "forecast", "in_words"]
