"""Training steps of eager PyTorch on one GPU, in bfloat16 autocast, beside the GPU's bf16 GEMM ceiling: a line of JSON.

    python peer_gpu_step.py --model resnet50|vit-base|bert-base [--batch N] [--seconds S] [--device cuda]

The model is transformers', with random weights; fused AdamW, clipping at norm 1, one synthetic batch that stays on the GPU. Of images
in both memory formats the faster one counts.
"""
import argparse
import json
import statistics
import time

import torch
import transformers as t

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", required=True, choices=["resnet50", "vit-base", "bert-base"])
parser.add_argument("--batch", type=int, default=128)
parser.add_argument("--seconds", type=float, default=5.0, help="least time measured")
parser.add_argument("--device", default="cuda")
args = parser.parse_args()
on_gpu = args.device != "cpu"
size = 224 if on_gpu else 64  # on a processor this file is tried out, no more


def build():
    if args.model == "resnet50":
        return t.ResNetForImageClassification(t.ResNetConfig(num_labels=1000))
    if args.model == "vit-base":
        return t.ViTForImageClassification(t.ViTConfig(image_size=size, num_labels=1000, attn_implementation="sdpa"))
    return t.BertForSequenceClassification(t.BertConfig(attn_implementation="sdpa"))


def batch_of(n):
    if args.model == "bert-base":
        ids = torch.randint(0, 30000, (n, 128))
        batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.randint(0, 2, (n,))}
    else:
        batch = {"pixel_values": torch.randn(n, 3, size, size), "labels": torch.randint(0, 1000, (n,))}
    return {name: value.to(args.device) for name, value in batch.items()}


def wait():
    if on_gpu:
        torch.cuda.synchronize()


def seconds_of(step, least):
    """Median over steps, each waited for."""
    for _ in range(10 if on_gpu else 1):
        step()
    wait()
    times, begin = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < least:
        start = time.perf_counter()
        step()
        wait()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def train_seconds(channels_last):
    torch.manual_seed(0)
    model, batch = build().to(args.device), batch_of(args.batch)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        batch["pixel_values"] = batch["pixel_values"].contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step():
        with torch.autocast(args.device, torch.bfloat16):
            loss = model(**batch)["loss"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return seconds_of(step, args.seconds)


def gemm_rate():
    """FLOP/s of the fastest square bf16 product."""
    rates = []
    for n in (4096, 8192) if on_gpu else (256,):
        a, b = (torch.randn(n, n, dtype=torch.bfloat16, device=args.device) for _ in range(2))
        c = torch.empty_like(a)
        rates.append(2 * n**3 / seconds_of(lambda: torch.mm(a, b, out=c), min(1.0, args.seconds)))
    return max(rates)


variants = {"nchw": train_seconds(False)} if args.model == "resnet50" else {"eager": train_seconds(False)}
if args.model == "resnet50":
    variants["nhwc"] = train_seconds(True)
best = min(variants, key=variants.get)
print(json.dumps({"model": args.model, "batch": args.batch, "variant": best, "samples_per_s": args.batch / variants[best],
                  "gemm_flops_per_s": gemm_rate(), "torch": torch.__version__,
                  "device": torch.cuda.get_device_name() if on_gpu else "cpu"}, separators=(",", ":")))
