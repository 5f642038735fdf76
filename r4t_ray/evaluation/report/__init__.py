"""report.md: tables, paired tests, example answers and plots of one evaluation."""

from r4t_ray.evaluation.report.page import write_report

__all__ = ["write_report"]
