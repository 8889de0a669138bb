"""Checked, frozen configs: what a JSON file may say, and errors that name the path, what was found and what fits."""

from snac_plugin.config.codec_training_keys import CodecModelConfig, CodecTraining
from snac_plugin.config.codec_training_rules import check_codec_config, check_codec_section, snac_config
from snac_plugin.config.dataset_config import check_dataset_config
from snac_plugin.config.model_fits_codec import check_against_codec, check_dataset_against_model
from snac_plugin.config.model_keys import SnacModelConfig
from snac_plugin.config.model_rules import check_model_config, check_pretransform_config
from snac_plugin.config.network_keys import NetworkConfig, SamplingConfig
from snac_plugin.config.read_json import load_json
from snac_plugin.config.training_keys import CurriculumPhase, DemoSection, TrainingSection
from snac_plugin.config.training_rules import check_training_config

__all__ = [
    "CodecModelConfig",
    "CodecTraining",
    "CurriculumPhase",
    "DemoSection",
    "NetworkConfig",
    "SamplingConfig",
    "SnacModelConfig",
    "TrainingSection",
    "check_against_codec",
    "check_codec_config",
    "check_codec_section",
    "check_dataset_against_model",
    "check_dataset_config",
    "check_model_config",
    "check_pretransform_config",
    "check_training_config",
    "load_json",
    "snac_config",
]
