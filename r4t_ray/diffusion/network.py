"""The denoising network: a transformer over a set of rows (arXiv 2603.06397, sec. 2.5 and Table 3).

Rows carry no positional encoding, so a permutation of the input rows permutes the output rows. The query enters by
cross-attention. The noise level enters by adaptive normalisation with zero-initialised gates (arXiv 2212.09748).

Choices that the paper leaves open:

1. One linear map turns z_q into ``num_query_tokens`` tokens of width d, because attention to a single token would give
   every row the same.
2. The embedding of the noise level is narrow (``noise_dim``). With the sizes of Table 3 the network has 54.1M
   parameters; the paper states 53.9M.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from r4t_ray.diffusion.settings import NetworkConfig

MAX_NOISE_FREQUENCY = 64.0
"""Highest angular frequency of the noise embedding; c_noise spans about 3.4 over [1e-4, 80]."""


class NoiseEmbedding(nn.Module):
    """Sines and cosines of c_noise at geometric frequencies, then a small MLP: (B,) -> (B, noise_dim)."""

    frequencies: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", MAX_NOISE_FREQUENCY ** torch.linspace(0, 1, dim // 2), persistent=False)
        self.mlp = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim), nn.SiLU())

    def forward(self, c_noise_B: Tensor) -> Tensor:
        """Embed ln(sigma) / 4 of each query."""
        angles = c_noise_B[:, None] * self.frequencies
        embedded: Tensor = self.mlp(torch.cat([angles.sin(), angles.cos()], dim=-1))
        return embedded


class Attention(nn.Module):
    """Multi-head attention of rows (B, L, hidden) to a context (B, N, context_dim)."""

    def __init__(self, hidden: int, context_dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.query = nn.Linear(hidden, hidden)
        self.key_value = nn.Linear(context_dim, 2 * hidden)
        self.out = nn.Linear(hidden, hidden)

    def forward(self, rows: Tensor, context: Tensor) -> Tensor:
        """Attend without mask and positions; returns (B, L, hidden)."""
        query = self.query(rows).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        key, value = self.key_value(context).unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Self-attention over the rows, cross-attention to the query, MLP; each modulated and gated by the noise level."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.norm = nn.LayerNorm(hidden, elementwise_affine=False)
        self.self_attention = Attention(hidden, hidden, config.num_heads, config.attention_dropout)
        self.cross_attention = Attention(hidden, config.dim, config.num_heads, config.attention_dropout)
        self.mlp = nn.Sequential(nn.Linear(hidden, config.mlp_size), nn.GELU(), nn.Linear(config.mlp_size, hidden))
        self.dropout = nn.Dropout(config.dropout)
        self.modulation = nn.Linear(config.noise_dim, 9 * hidden)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, rows: Tensor, query_tokens: Tensor, noise_emb: Tensor) -> Tensor:
        """(B, L, hidden), (B, N, d), (B, noise_dim) -> (B, L, hidden)."""
        modulations = self.modulation(noise_emb)[:, None, :].chunk(9, dim=-1)
        (shift, scale, gate), cross, mlp = (modulations[i : i + 3] for i in (0, 3, 6))
        normed = self._modulate(rows, shift, scale)
        rows = rows + gate * self.dropout(self.self_attention(normed, normed))
        shift, scale, gate = cross
        rows = rows + gate * self.dropout(self.cross_attention(self._modulate(rows, shift, scale), query_tokens))
        shift, scale, gate = mlp
        return rows + gate * self.dropout(self.mlp(self._modulate(rows, shift, scale)))

    def _modulate(self, rows: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        normed: Tensor = self.norm(rows)
        return normed * (1 + scale) + shift


class SetTransformer(nn.Module):
    """The network F of the preconditioned denoiser, equivariant to the order of the rows.

    Its inputs have unit variance. ``null_query_D`` replaces z_q where it is dropped. The output layer starts at zero,
    so D starts as c_skip z.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.rows_in = nn.Linear(config.dim, config.hidden_size)
        self.query_tokens = nn.Linear(config.dim, config.num_query_tokens * config.dim)
        self.null_query_D = nn.Parameter(torch.randn(config.dim) * config.dim**-0.5)
        self.noise_embedding = NoiseEmbedding(config.noise_dim)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm_out = nn.LayerNorm(config.hidden_size)
        self.rows_out = nn.Linear(config.hidden_size, config.dim)
        nn.init.zeros_(self.rows_out.weight)
        nn.init.zeros_(self.rows_out.bias)

    def forward(self, rows_BLD: Tensor, c_noise_B: Tensor, z_q_BD: Tensor, is_dropped_B: Tensor) -> Tensor:
        """Run the network.

        Args:
            rows_BLD: c_in z.
            c_noise_B: ln(sigma) / 4.
            z_q_BD: Unit query embeddings.
            is_dropped_B: Where True, the null embedding replaces z_q.

        Returns:
            F, shape (B, L, D).
        """
        out: Tensor = self.rows_out(self.hidden_rows(rows_BLD, c_noise_B, self.condition(z_q_BD, is_dropped_B)))
        return out

    def condition(self, z_q_BD: Tensor, is_dropped_B: Tensor) -> Tensor:
        """z_q, or the null embedding where z_q is dropped; (B, D)."""
        return torch.where(is_dropped_B[:, None], self.null_query_D, z_q_BD)

    def hidden_rows(self, rows_BLD: Tensor, c_noise_B: Tensor, z_q_BD: Tensor) -> Tensor:
        """The rows before the last layer, (B, L, hidden)."""
        # Entries of unit rows of width d have standard deviation 1 / sqrt(d); the network expects 1.
        tokens = self.query_tokens(z_q_BD * self.config.dim**0.5).unflatten(-1, (-1, self.config.dim))
        noise_emb = self.noise_embedding(c_noise_B)
        rows = self.rows_in(rows_BLD)
        for block in self.blocks:
            rows = block(rows, tokens, noise_emb)
        hidden: Tensor = self.norm_out(rows)
        return hidden
