"""The training code on a model of a few thousand numbers: python3 -m unittest discover -s tools/demo_model (skipped without torch)."""
import json
import os
import random
import sys
import tempfile
import types
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
try:
    import torch
    import export
    import optimizer
    from model import Rough, build, int4, read_config, share_rough
    from train import Marks, Trainer
except ImportError as missing:
    torch = None
    print(f"test_train: {missing.name} is not installed, so the training code was not tested")

TINY = dict(hidden_size=64, intermediate_size=64, moe_intermediate_size=64, num_hidden_layers=2, q_lora_rank=64, kv_lora_rank=64, num_attention_heads=2, vocab_size=50, max_position_embeddings=64)
TINY_LLAMA = dict(hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, head_dim=32, vocab_size=50, max_position_embeddings=64)
BOS, EOS, PAD, ASSISTANT, OUTPUT, OUTPUT_END, USER, THINK = range(8)


def tiny(name):
    config = read_config(os.path.join(HERE, "configs", name + ".json"))
    config.__dict__.update(TINY if name == "demo" else TINY_LLAMA)
    torch.manual_seed(1)
    return config, build(config)


def marks():
    m = Marks.__new__(Marks)
    m.bos, m.eos, m.pad, m.assistant, m.output, m.output_end, m.user = BOS, EOS, PAD, ASSISTANT, OUTPUT, OUTPUT_END, USER
    return m


def shake(model):
    """Matrices that begin at zero would hide mistakes."""
    with torch.no_grad():
        for p in model.parameters():
            p += 0.05 * torch.randn_like(p)


@unittest.skipIf(torch is None, "torch is not installed")
class Training(unittest.TestCase):
    def test_sizes_of_the_published_models(self):
        for name, limit in (("demo", 24), ("demo-small", 8)):
            model = build(read_config(os.path.join(HERE, "configs", name + ".json")))
            size = sum(t.numel() * t.element_size() for t in export.flat(model).values())
            self.assertLess(size, limit * 2 ** 20, name)
            self.assertGreater(size, 0.9 * limit * 2 ** 20, name)

    def test_nothing_looks_ahead(self):
        for name in ("demo", "demo-small"):
            _, model = tiny(name)
            shake(model)
            a = torch.randint(8, 50, (1, 12))
            b = a.clone()
            b[0, 8] = (b[0, 8] - 8 + 1) % 42 + 8
            la, lb = model.logits(a), model.logits(b)
            self.assertTrue(torch.allclose(la[:, :8], lb[:, :8], atol=1e-5))
            self.assertFalse(torch.allclose(la[:, 8], lb[:, 8], atol=1e-4))
            if model.mtp is not None:                # at i it has read the token at i + 1, and none behind
                za, zb = model.ahead(model(a)[0], a)[0], model.ahead(model(b)[0], b)[0]
                self.assertTrue(torch.allclose(za[:, :7], zb[:, :7], atol=1e-5))
                self.assertFalse(torch.allclose(za[:, 7], zb[:, 7], atol=1e-4))

    def test_only_the_assistants_words_count(self):
        ids = torch.tensor([[BOS, USER, 20, 21, ASSISTANT, THINK, 30, 31, EOS, OUTPUT, 40, OUTPUT_END, 32, EOS, BOS, USER, 22, ASSISTANT, THINK, 33, EOS, PAD]])
        said = marks().loss_mask(ids)[0].nonzero().flatten() + 1
        self.assertEqual(ids[0, said].tolist(), [30, 31, EOS, 32, EOS, 33, EOS])

    def test_learns_a_text_by_heart_and_two_tokens_ahead(self):
        for name in ("demo", "demo-small"):
            config, _ = tiny(name)
            trainer = Trainer(types.SimpleNamespace(), config, marks(), torch.device("cpu"))
            trainer.begin()
            r = random.Random(3)
            row = [BOS, USER, 20, ASSISTANT, THINK] + [r.randrange(8, 50) for _ in range(24)] + [EOS]
            ids = torch.tensor([row, row])
            trainer.since_start = 150                                  # no warm-up
            for number in range(90):
                loss, second, loads = trainer.step(ids, 0.0, 0.5, number)
            self.assertLess(loss.item(), 0.4, name)
            if loads:
                self.assertLess(second.item(), 1.0)
                self.assertEqual([int(n.sum()) for n in loads], [60 * config.num_experts_per_tok] * len(loads))

    def test_a_compiled_loss_has_a_gradient(self):
        config, _ = tiny("demo-small")                     # without MTP the compiler takes the total for the loss itself
        trainer = Trainer(types.SimpleNamespace(), config, marks(), torch.device("cpu"))
        trainer.compiled = torch.compile(trainer.losses, dynamic=False)
        trainer.begin()
        loss, _, _ = trainer.step(torch.tensor([[BOS, USER, 20, ASSISTANT, THINK, 30, 31, 32, EOS]]), 0.0, 0.5, 0)
        self.assertFalse(loss.requires_grad)

    def test_rough_is_awq_and_float8(self):
        w = torch.randn(8, 128)
        q = int4(w)
        for group in q.unflatten(-1, (2, 64)).flatten(0, 1):
            self.assertLessEqual(len(group.unique()), 16)
        self.assertLess((q - w).abs().max().item(), (w.amax() - w.amin()).item() / 15)
        rough = Rough()
        self.assertTrue(torch.equal(rough.weights(w), w))
        rough.on.fill_(1.0)
        w.requires_grad_()
        rough.weights(w).sum().backward()
        self.assertTrue(torch.equal(w.grad, torch.ones_like(w)))       # straight through
        self.assertTrue(torch.allclose(rough.cached(torch.tensor([1.06, 1000.0])), torch.tensor([1.0, 448.0])))
        _, model = tiny("demo")
        shake(model)
        ids, switch = torch.randint(8, 50, (1, 12)), share_rough(model, "cpu")
        before = model.logits(ids)
        switch.on.fill_(1.0)
        self.assertFalse(torch.equal(before, model.logits(ids)))
        switch.on.zero_()
        self.assertTrue(torch.equal(before, model.logits(ids)))

    def test_a_checkpoint_comes_back(self):
        for name in ("demo", "demo-small"):
            config, model = tiny(name)
            shake(model)
            with torch.no_grad():
                for p in model.parameters():
                    p.copy_(p.bfloat16())
            names = set(export.flat(model))
            self.assertEqual("lm_head.weight" in names, not config.tie_word_embeddings)
            if model.mtp is not None:
                for part in ("embed_tokens", "enorm", "hnorm", "eh_proj", "shared_head.norm", "shared_head.head", "mlp.experts.11.down_proj", "self_attn.kv_b_proj"):
                    self.assertIn(f"model.layers.2.{part}.weight", names)
            with tempfile.TemporaryDirectory() as folder:
                for file in export.BESIDE:
                    with open(os.path.join(folder, file), "w") as f:
                        json.dump({}, f)
                out = os.path.join(folder, "checkpoint")
                export.save(model, folder, out)
                export.save(model, folder, out)                        # over what is there
                _, again = tiny(name)
                export.load(again, out)
                self.assertEqual(sorted(os.listdir(folder)), sorted(export.BESIDE + ("checkpoint",)))
            for (n, p), q in zip(model.state_dict().items(), again.state_dict().values()):
                self.assertTrue(torch.equal(p, q), n)

    def test_every_parameter_is_trained_once(self):
        for name in ("demo", "demo-small"):
            _, model = tiny(name)
            ids = [id(p) for o in optimizer.make(model, False) for g in o.param_groups for p in g["params"]]
            self.assertEqual(sorted(ids), sorted(id(p) for p in model.parameters()))


if __name__ == "__main__":
    unittest.main()
