#!/usr/bin/env python3
"""Writes sentences.json: token ids and sentence embeddings of all-MiniLM-L6-v2 as `transformers` gives them (mean over the tokens,
then length 1), for tests/golden/sentences_test.cpp.

    launch/fetch_model.sh minilm
    python3 tests/golden/make_sentences.py ~/.cache/expunge/models/minilm > tests/golden/sentences.json

Needs torch and transformers.
"""
import json
import sys

import torch
import transformers

SENTENCES = [
    "A man is eating food.",
    "A man is eating a piece of bread.",
    "The girl is carrying a baby.",
    "An old film, but the acting is superb; I'd watch it again!",
    "Naïve façade — 42 % of café-goers, déjà vu.",
    "Ibuprofen may increase the anticoagulant effect of warfarin.",
]

folder = sys.argv[1]
tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
model = transformers.BertModel.from_pretrained(folder, attn_implementation="eager").eval()
batch = tokenizer(SENTENCES, padding=True, return_tensors="pt")
with torch.no_grad():
    features = model(**batch).last_hidden_state
mask = batch["attention_mask"].unsqueeze(-1).to(features.dtype)
embeddings = torch.nn.functional.normalize((features * mask).sum(1) / mask.sum(1))
rows = []
for text, ids, real, embedding in zip(SENTENCES, batch["input_ids"].tolist(), batch["attention_mask"].tolist(), embeddings.tolist()):
    rows.append({"text": text, "ids": ids[: sum(real)], "embedding": [float(f"{value:.9g}") for value in embedding]})
print(json.dumps({"model": "all-MiniLM-L6-v2", "transformers": transformers.__version__, "torch": torch.__version__.split("+")[0], "rows": rows}, ensure_ascii=False))
