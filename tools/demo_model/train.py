"""Train a model on one GPU (or, for a smoke test, on the CPU), in calls of bounded length.

    train.py OUT_DIR --base BASE_DIR --minutes 24 [--call-minutes 8] [--seed 1]

BASE_DIR holds config.json, generation_config.json and the tokenizer; the config says which model it is. The rates follow the
clock: they fall to nothing at the end of --minutes, all calls together. OUT_DIR/checkpoint is written every two minutes and at
the end of a call, with OUT_DIR/progress.json beside it; the next call goes on from there, with the moments of the optimizers
begun anew. OUT_DIR/log.jsonl grows over all calls; OUT_DIR/done appears at the end.
"""
import argparse
import json
import multiprocessing
import os
import random
import time
import zlib

import numpy as np
import torch

import chat
import export
import generate
import optimizer
import plot
import tokenizer as tokenizers
from attention import Flex, Masked
from model import build, read_config, share_rough

BIAS_SPEED, BIAS_UNTIL = 1e-3, 0.9     # of the correction bias against the load; it stands still in the last tenth
MTP_SHARE, EVEN_SHARE = 0.15, 1e-3     # of the losses beside the main one
ROUGH_FROM = 0.7                       # from there on every second step feels 4-bit weights and an fp8 cache
REPORT, WARM_UP = 100, 150             # steps
SAVE_SECONDS = 120


def produce(worker, workers, queue, seed, base, rows, length, start):
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    t, index = tokenizers.load(base), start + worker
    while True:
        queue.put(generate.chunk(t, seed, index, rows, length))
        index += workers


class Batches:
    """Chunks in the order of their index, whoever made them; each is given `reuse` times, later ones among newer chunks."""

    def __init__(self, a, start):
        mp = multiprocessing.get_context("fork")
        self.queues = [mp.Queue(maxsize=4) for _ in range(a.workers)]
        self.workers = [mp.Process(target=produce, args=(w, a.workers, q, a.seed, a.base, a.rows, a.length, start), daemon=True)
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
        self.bos, self.eos, self.pad, self.assistant, self.output, self.output_end, self.user = map(
            t.token_to_id, (chat.BOS, chat.EOS, chat.PAD, chat.ASSISTANT, chat.OUTPUT, chat.OUTPUT_END, chat.USER))

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


def masked_mean(logits, targets, said):
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
    return (losses * said.flatten()).sum() / said.sum()


class Trainer:
    """Model, optimizers and one step of training."""

    def __init__(self, a, config, marks, device):
        self.marks, self.device, self.model = marks, device, build(config).to(device)
        self.rough = share_rough(self.model, device)
        self.gpu = device.type == "cuda"
        self.attention = Flex() if self.gpu else Masked()
        self.compiled = torch.compile(self.losses, dynamic=False) if self.gpu else self.losses

    def begin(self):
        """Once the weights are there."""
        self.optimizers, self.since_start = optimizer.make(self.model, self.gpu), 0

    def losses(self, ids, mask):
        attend, m, said = self.attention.attend(mask), self.model, self.marks.loss_mask(ids)
        counted = (ids != self.marks.pad).flatten()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.gpu):
            hidden, loads = m(ids, attend, counted)
            logits, ahead = m.lm_head(hidden[:, :-1]), None
            if m.mtp is not None:
                z, load = m.ahead(hidden, ids, attend, counted)
                loads, ahead = loads + [load], m.lm_head(z[:, :-2])
        loss = masked_mean(logits, ids[:, 1:], said)
        second = masked_mean(ahead, ids[:, 2:], said[:, 1:]) if ahead is not None else loss.new_zeros(())
        uneven = torch.stack([u - 1 for _, u in loads]).sum() if loads else loss.new_zeros(())
        return loss + MTP_SHARE * second + EVEN_SHARE * uneven, loss, second, [n for n, _ in loads]

    def step(self, ids, p, peak, number):
        """-> loss, MTP loss, loads; p is the share of the training that is over."""
        self.rough.on.fill_(float(p >= ROUGH_FROM and number % 2))
        docs = (ids == self.marks.bos).int().cumsum(1)
        total, loss, second, loads = self.compiled(ids, self.attention.mask(docs))
        total.backward()
        loss, second = loss.detach(), second.detach()      # not in the compiled part: there a detached loss was taken for the total
        self.since_start += 1
        optimizer.set_rates(self.optimizers, peak * rate(p) * min(1.0, self.since_start / WARM_UP))
        for o in self.optimizers:
            o.step()
            o.zero_grad(set_to_none=True)
        if p < BIAS_UNTIL:
            with torch.no_grad():
                for gate, n in zip(self.model.gates(), loads):
                    gate.e_score_correction_bias += BIAS_SPEED * (n.mean() - n).sign()
        return loss, second, loads


class Progress:
    """What of the training is over; on disk beside the checkpoint."""

    def __init__(self, out):
        self.out, self.path = out, os.path.join(out, "progress.json")
        self.step, self.spent, self.chunk = 0, 0.0, 0
        if os.path.exists(self.path):
            with open(self.path) as f:
                self.__dict__.update(json.load(f))

    @property
    def begun(self):
        return self.step > 0

    def save(self, model, base):
        export.save(model, base, os.path.join(self.out, "checkpoint"))
        with open(self.path + ".new", "w") as f:
            json.dump(dict(step=self.step, spent=round(self.spent, 1), chunk=self.chunk), f)
        os.replace(self.path + ".new", self.path)


def parse():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out")
    ap.add_argument("--base", required=True)
    ap.add_argument("--minutes", type=float, default=24.0, help="of the whole training")
    ap.add_argument("--call-minutes", type=float, default=1e9, help="of this call")
    ap.add_argument("--max-steps", type=int, default=10 ** 9)
    ap.add_argument("--peak", type=float, default=1.0, help="scales all rates")
    ap.add_argument("--seed", default="1")
    ap.add_argument("--rows", type=int, default=16)
    ap.add_argument("--length", type=int, default=4096)
    ap.add_argument("--reuse", type=int, default=1, help="times that each row of text is given")
    ap.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    return ap.parse_args()


def entry(progress, loss, second, loads, tokens_per_s, waited):
    e = dict(step=progress.step, seconds=round(progress.spent, 1), loss=round(loss.item(), 4), tokens_per_s=int(tokens_per_s), waited=round(waited, 1))
    if loads:
        ratios = torch.stack([n / n.mean() for n in loads])
        e.update(mtp_loss=round(second.item(), 4), load_low=round(ratios.min().item(), 2), load_high=round(ratios.max().item(), 2))
    return e


def train(a, trainer, progress, batches):
    """Until the call or the training is over. -> whether the training is"""
    began, before = time.time(), progress.spent
    last_save = last_report = began
    reported = progress.step
    with open(os.path.join(a.out, "log.jsonl"), "a") as log:
        for array in batches:
            now = time.time()
            progress.spent, progress.chunk = before + now - began, batches.index
            p = max(progress.spent / (60 * a.minutes), progress.step / a.max_steps)
            if p >= 1 or now - began > 60 * a.call_minutes:
                return p >= 1
            ids = torch.from_numpy(array.astype(np.int64)).to(trainer.device, non_blocking=True)
            loss, second, loads = trainer.step(ids, p, a.peak, progress.step)
            progress.step += 1
            if progress.step % REPORT == 0 or progress.step < 4:
                rate_now = (progress.step - reported) * ids.numel() / (time.time() - last_report)
                last_report, reported = time.time(), progress.step
                line = json.dumps(entry(progress, loss, second, loads, rate_now, batches.waited))
                log.write(line + "\n")
                log.flush()
                if progress.step % (10 * REPORT) == 0 or progress.step <= REPORT:
                    print(line, flush=True)
            if now - last_save > SAVE_SECONDS:
                last_save = now
                progress.save(trainer.model, a.base)


def main():
    a = parse()
    os.makedirs(a.out, exist_ok=True)
    progress = Progress(a.out)
    batches = Batches(a, progress.chunk)                      # forks before the GPU is touched
    torch.manual_seed(zlib.crc32(a.seed.encode()))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trainer = Trainer(a, read_config(os.path.join(a.base, "config.json")), Marks(tokenizers.load(a.base)), device)
    if progress.begun:
        export.load(trainer.model, os.path.join(a.out, "checkpoint"))
    trainer.begin()
    print(f"{sum(p.numel() for p in trainer.model.parameters())} parameters, {a.workers} workers, from step {progress.step}", flush=True)
    over = train(a, trainer, progress, batches)
    batches.stop()
    progress.save(trainer.model, a.base)
    plot.write(os.path.join(a.out, "log.jsonl"), os.path.join(a.out, "curve.svg"))
    if over:
        open(os.path.join(a.out, "done"), "w").close()
    print(f"step {progress.step}, {progress.spent / 60:.1f} of {a.minutes} minutes" + (": done" if over else ""), flush=True)


if __name__ == "__main__":
    main()
