"""Retrieval metrics restated plainly: one query at a time, one pair at a time, from float64 distances."""

import numpy as np
import torch


def distances(space, points):
    """All float64 distances by difference, one pair at a time.

    A pair fills a whole batch of its own, because the last bit of torch's sinh depends on an element's place in a batch.
    """
    x = torch.as_tensor(points).double()
    with torch.no_grad():
        rows = [[space.distance(a.expand(64, -1), b.expand(64, -1))[0].item() for b in x] for a in x]
    return np.array(rows)


def one_query(d, labels, query, gallery):
    """(rank of the nearest positive, average precision at R, R-precision, nearest), or None without a positive."""
    others = [j for j in gallery if j != query]
    same = [j for j in others if labels[j] == labels[query]]
    if not same:
        return None
    nearest = min(d[query, j] for j in same)
    rank = sum(1 for j in others if labels[j] != labels[query] and d[query, j] < nearest)
    order = sorted(others, key=lambda j: (d[query, j], labels[j] != labels[query], j))
    needed, found, total = len(same), 0, 0.0
    for place, j in enumerate(order[:needed], 1):
        if labels[j] == labels[query]:
            found += 1
            total += found / place
    return rank, total / needed, found / needed, order[0]


def evaluate(space, points, labels, ks, queries=None, gallery=None):
    labels = [int(label) for label in labels]
    queries = range(len(labels)) if queries is None else [int(q) for q in queries]
    gallery = range(len(labels)) if gallery is None else [int(g) for g in gallery]
    d = distances(space, points)
    answers = {q: one_query(d, labels, q, gallery) for q in queries}
    judged = {q: answer for q, answer in answers.items() if answer is not None}
    rank, precision, r_precision, nearest = (list(column) for column in zip(*judged.values(), strict=True))
    return {
        "index": list(judged),
        "rank": rank,
        "average_precision": precision,
        "r_precision": r_precision,
        "nearest": nearest,
        "recall": {k: sum(r < k for r in rank) / len(rank) for k in ks},
        "skipped": len(answers) - len(judged),
    }
