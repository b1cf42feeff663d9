"""The Open Inference Protocol: one input, ``text`` BYTES [N] or [N, 1]; two outputs, ``label`` and ``scores``."""
