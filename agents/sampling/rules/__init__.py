"""First-match rules: the first rule that a trace meets decides, by itself or by its sampler."""
