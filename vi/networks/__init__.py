"""Encoders x `[N, *event]` → features `[N, F]` and decoders z `[N, L]` → outputs `[N, *outputs]`, in Keras."""

from vi.networks.conv import conv_decoder, conv_encoder
from vi.networks.mlp import mlp_decoder, mlp_encoder, no_decoder
from vi.networks.output_bias import set_output_bias

__all__ = ["conv_decoder", "conv_encoder", "mlp_decoder", "mlp_encoder", "no_decoder", "set_output_bias"]
