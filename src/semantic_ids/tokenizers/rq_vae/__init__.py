"""RQ-VAE: an autoencoder around a residual quantiser.

`model.RQVAE` is the tokenizer, `options.RQVAEOptions` what it takes. Importing this room is cheap.
"""
