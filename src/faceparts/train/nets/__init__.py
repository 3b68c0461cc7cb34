"""Networks. One file a net; each defines ``build(outputs) -> nn.Module``."""
