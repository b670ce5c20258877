"""Train the demo model on one GPU (or, for a smoke test, on the CPU).

    train.py OUT_DIR --minutes 8 [--resume OUT_DIR] [--seed 1]

MODEL_DIR (default models/demo) gives config.json and tokenizer.json. The rates follow the clock: they fall to
nothing at the end of --minutes. OUT_DIR/state.pt is written every minute and continues an interrupted run with
everything it had; --resume EXPORT_DIR starts from an exported checkpoint with a fresh optimizer instead.
At the end OUT_DIR holds the checkpoint and log.jsonl.
"""
import argparse
import json
import multiprocessing
import os
import random
import time

import numpy as np

import chat
import generate
import tokenizer as tokenizers

HERE = os.path.dirname(os.path.abspath(__file__))
BIAS_SPEED = 1e-3                      # DeepSeek's, until the last tenth
REPORT = 100                           # steps
WARM_UP = 150                          # steps


def produce(worker, workers, queue, seed, model_dir, rows, length, start):
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    t, index = tokenizers.load(model_dir), start + worker
    while True:
        queue.put(generate.chunk(t, seed, index, rows, length))
        index += workers


class Batches:
    """Chunks in the order of their index, whoever made them; each is given `reuse` times, later ones among newer chunks."""

    def __init__(self, a, start):
        mp = multiprocessing.get_context("fork")
        self.queues = [mp.Queue(maxsize=4) for _ in range(a.workers)]
        self.workers = [mp.Process(target=produce, args=(w, a.workers, q, a.seed, a.model_dir, a.rows, a.length, start), daemon=True)
                        for w, q in enumerate(self.queues)]
        for w in self.workers:
            w.start()
        self.index, self.reuse, self.old, self.random, self.waited = start, a.reuse, [], random.Random(a.seed), 0.0

    def stop(self):
        for w in self.workers:
            w.kill()

    def __iter__(self):
        while True:
            t = time.time()
            new = self.queues[self.index % len(self.queues)].get()
            self.waited += time.time() - t
            self.index += 1
            yield new
            self.old = self.old[-1023:] + [new]
            for _ in range(self.reuse - 1):        # rows of several old chunks
                yield np.stack([self.random.choice(self.old)[self.random.randrange(len(new))] for _ in range(len(new))])


class Marks:
    """Which predictions are the assistant's, from the ids alone."""

    def __init__(self, t):
        self.bos, self.eos, self.assistant, self.output, self.output_end, self.user = map(
            t.token_to_id, (chat.BOS, chat.EOS, chat.ASSISTANT, chat.OUTPUT, chat.OUTPUT_END, chat.USER))

    def loss_mask(self, ids):
        """ids [B, T] -> bool [B, T-1]: the token at i+1 was said by the assistant."""
        begin = (ids == self.assistant).roll(2, 1)          # after <｜Assistant｜> and its <think> or </think>
        after = ids.roll(-1, 1)
        begin |= ((ids == self.output_end) & (after != self.output) & (after != self.user)).roll(1, 1)
        begin[:, :2] = False
        end = (ids == self.eos).roll(1, 1)
        end[:, 0] = False
        said = begin.int().cumsum(1) - (end & ~begin).int().cumsum(1)
        return (said > 0)[:, 1:]


def rate(p):
    """Hold, then fall in a line."""
    return min(1.0, max((1 - p) / 0.65, 0.0))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out")
    ap.add_argument("--model-dir", default=os.path.join(HERE, "..", "..", "models", "demo"))
    ap.add_argument("--minutes", type=float, default=8.0)
    ap.add_argument("--max-steps", type=int, default=10 ** 9)
    ap.add_argument("--resume")
    ap.add_argument("--peak", type=float, default=1.0, help="scales all rates; below 1 for a second training")
    ap.add_argument("--seed", default="1")
    ap.add_argument("--rows", type=int, default=16)
    ap.add_argument("--length", type=int, default=4096)
    ap.add_argument("--reuse", type=int, default=1)
    ap.add_argument("--attention", choices=("flex", "masked"), default="flex", help="masked: slower, and the only one for the CPU")
    ap.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    a = ap.parse_args()
    os.makedirs(a.out, exist_ok=True)
    state_path = os.path.join(a.out, "state.pt")
    start = int(a.resume is not None) * 10 ** 6
    import torch
    state = torch.load(state_path, map_location="cpu", weights_only=True) if os.path.exists(state_path) else None
    if state:
        start = state["chunk"]
    batches = Batches(a, start)                      # forks before the GPU is touched

    import export
    import optimizer
    from attention import Flex, Masked
    from model import Model, read_config
    torch.manual_seed(0)
    gpu = torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    t = tokenizers.load(a.model_dir)
    marks = Marks(t)
    model = Model(read_config(os.path.join(a.model_dir, "config.json"))).to(device)
    if a.resume and not state:
        export.load(model, a.resume)
    optimizers = optimizer.make(model, gpu)
    step, spent = 0, 0.0
    if state:
        model.load_state_dict(state["model"])
        for o, s in zip(optimizers, state["optimizers"]):
            o.load_state_dict(s)
        step, spent = state["step"], state["spent"]
    gates = model.gates()
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {a.workers} workers, step {step}", flush=True)

    attention = Flex() if a.attention == "flex" else Masked()

    def loss_of(ids, mask):
        attend = attention.attend(mask)
        with torch.autocast(device.type, torch.bfloat16):
            hidden, chosen = model(ids, attend)
            logits = model.lm_head(hidden[:, :-1])
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none")
        said = marks.loss_mask(ids).flatten()
        load = torch.stack([c.sum(0) for c in chosen])
        return (losses * said).sum() / said.sum(), said.sum(), load

    compiled = torch.compile(loss_of, dynamic=False) if gpu else loss_of
    began, last_save, last_report, total = time.time(), time.time(), time.time(), 0.0
    limit, tokens = a.minutes * 60, 0
    log = open(os.path.join(a.out, "log.jsonl"), "a")
    for array in batches:
        elapsed = spent + time.time() - began
        p = max(elapsed / limit, step / a.max_steps)
        if p >= 1:
            break
        ids = torch.from_numpy(array.astype(np.int64)).to(device, non_blocking=True)
        docs = (ids == marks.bos).int().cumsum(1)
        loss, said, load = compiled(ids, attention.mask(docs))
        loss.backward()
        optimizer.set_rates(optimizers, a.peak * rate(p) * min(1.0, (step + 1) / WARM_UP))
        for o in optimizers:
            o.step()
            o.zero_grad(set_to_none=True)
        if p < 0.9:
            with torch.no_grad():
                for g, n in zip(gates, load):
                    g.e_score_correction_bias += BIAS_SPEED * (n.mean() - n).sign()
        step, tokens = step + 1, tokens + ids.numel()
        if step % REPORT == 0 or step < 4:
            entry = dict(step=step, loss=round(loss.item(), 4), seconds=round(elapsed, 1), tokens_per_s=int(REPORT * ids.numel() / (time.time() - last_report)),
                         said=round(said.item() / ids.numel(), 3), load=round((load.max(1).values / load.mean(1)).max().item(), 2), waited=round(batches.waited, 1))
            last_report = time.time()
            log.write(json.dumps(entry) + "\n")
            log.flush()
            if step % (10 * REPORT) == 0 or step <= REPORT:
                print(entry, flush=True)
        if time.time() - last_save > 60:
            last_save = time.time()
            torch.save(dict(model=model.state_dict(), optimizers=[o.state_dict() for o in optimizers], step=step, spent=elapsed, chunk=batches.index), state_path + ".new")
            os.replace(state_path + ".new", state_path)
    batches.stop()
    export.save(model, a.model_dir, a.out)
    print(f"trained {step} steps", flush=True)


if __name__ == "__main__":
    main()
