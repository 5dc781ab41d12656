import numpy as np

from horosphere.evaluation import class_bootstrap, too_few
from horosphere.evaluation.bootstrap import FEW


def sample(classes, seed=0, size=4):
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), size)
    return (generator.random(classes)[labels] > generator.random(len(labels))).astype(float)[:, None], labels


def test_is_deterministic_and_does_not_depend_on_order():
    values, labels = sample(50)
    interval = class_bootstrap(values, labels)
    np.testing.assert_array_equal(interval, class_bootstrap(values, labels))
    np.testing.assert_array_equal(interval, class_bootstrap(values[::-1], labels[::-1]))
    assert not np.array_equal(interval, class_bootstrap(values, labels, seed=1))


def test_shrinks_with_more_classes_and_grows_with_the_level():
    few, many = (np.diff(class_bootstrap(*sample(classes))).item() for classes in (50, 5000))
    assert 5 < few / many < 20  # the square root of 100, give or take the sample
    assert np.diff(class_bootstrap(*sample(50), level=0.99)).item() > few


def test_covers_the_true_mean():
    """Images of a class that succeed together: an interval over classes covers; one over images would not."""
    covered = 0
    for seed in range(200):
        values, labels = sample(60, seed, size=10)
        low, high = class_bootstrap(values, labels, draws=300)[0]
        covered += low <= 0.5 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_matches_a_plain_loop():
    values, labels = np.random.default_rng(0).random((40, 2)), np.random.default_rng(1).integers(7, size=40)
    names = np.unique(labels)
    generator = np.random.default_rng(5)
    means = []
    for _ in range(100):
        rows = np.concatenate([np.flatnonzero(labels == names[c]) for c in generator.integers(7, size=7)])
        means.append(values[rows].mean(0))
    expected = np.quantile(means, [0.025, 0.975], axis=0).T
    np.testing.assert_allclose(class_bootstrap(values, labels, draws=100, seed=5), expected, rtol=1e-12)


def test_one_class_has_no_spread():
    np.testing.assert_array_equal(class_bootstrap(np.array([[0.0], [1.0]]), np.zeros(2)), [[0.5, 0.5]])


def test_few_classes_conclude_nothing():
    assert too_few(FEW) is None and f"{FEW - 1} classes are too few" in (too_few(FEW - 1) or "")
