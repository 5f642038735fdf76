"""Pretrain the small base model that the package ships: recipes in, a Hugging Face directory out."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from r4t_ray.encoders import EncoderConfig
from r4t_ray.folm.pretraining.model_card import write_model_card
from r4t_ray.folm.pretraining.pretrain import PretrainConfig, pretrain


def main() -> None:
    """Parse the arguments, train, write the model card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--recipes", type=Path, required=True, help="gzipped JSON lines, each with a title and its ingredients"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("r4t_ray/folm/base_model"), help="folder to write (default: %(default)s)"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    config = PretrainConfig()
    history = pretrain(arguments.recipes, arguments.out, config, EncoderConfig().build().encode)
    losses = [float(entry["loss"]) for entry in history]
    write_model_card(arguments.out, config, arguments.recipes, losses)


if __name__ == "__main__":
    main()
