"""Causal attention that stays inside each document of a packed row."""
import torch
import torch.nn.functional as F
from torch.nn.attention.flex_attention import create_block_mask, flex_attention


class Flex:
    """For GPUs: skips the blocks between documents. Works only under torch.compile."""

    def __init__(self):
        self.make = torch.compile(create_block_mask, dynamic=False)

    def mask(self, docs):
        def inside(b, h, i, j):
            return (i >= j) & (docs[b, i] == docs[b, j])
        B, T = docs.shape
        return self.make(inside, B, None, T, T, device=docs.device)

    @staticmethod
    def attend(mask):
        return lambda q, k, v, scale: flex_attention(q, k, v, block_mask=mask, scale=scale)


class Masked:
    """Anywhere: a mask of T × T."""

    def mask(self, docs):
        same = docs[:, :, None] == docs[:, None, :]
        return same.tril()[:, None]

    @staticmethod
    def attend(mask):
        return lambda q, k, v, scale: F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
