"""Pretrained backbones as feature extractors, their weights, and the table of models."""
