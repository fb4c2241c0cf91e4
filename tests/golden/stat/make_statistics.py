#!/usr/bin/env python3
"""Writes statistics.json: fixed inputs and what scipy, statsmodels and scikit-learn make of them.

    pip install scipy==1.17.1 statsmodels==0.15.0 scikit-learn==1.9.1
    python3 make_statistics.py > statistics.json

The inputs are drawn once from numpy's generator (seed 20) and stored rounded to 6 digits, so the file does not
depend on it. The tests read the file only.
"""
import json
import sys
import warnings

import numpy as np
import scipy
import sklearn
import statsmodels
from scipy import special, stats
from sklearn.calibration import _SigmoidCalibration
from sklearn.svm import SVC
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests

rng = np.random.default_rng(20)
R = lambda x: np.round(x, 6)
L = lambda x: np.asarray(x).tolist()
out = {"versions": {m.__name__: m.__version__ for m in (np, scipy, statsmodels, sklearn)}}

out["distributions"] = {
    "normal": [[z, stats.norm.cdf(z), stats.norm.ppf(p), p]
               for z, p in [(-8, 1e-12), (-2.5, 0.001), (-0.3, 0.02), (0, 0.5), (0.7, 0.8), (4, 0.975), (6, 0.9999)]],
    "chi_squared": [[x, k, stats.chi2.sf(x, k)] for x in (0.1, 1, 5, 20, 80) for k in (1, 2, 7, 30)],
    "f": [[x, a, b, stats.f.sf(x, a, b)] for x in (0.2, 1, 3.5, 40) for a, b in [(1, 4), (5, 20), (7, 98)]],
    "kolmogorov": [[x, special.kolmogorov(x)] for x in (0.2, 0.5, 0.9, 1.17, 1.19, 1.5, 2.5)],
}

values = R(rng.normal(0.8, 0.05, 7))
skewed = R(rng.gamma(1.5, 0.1, 60))
boot = [rng.integers(0, len(skewed), len(skewed)) for _ in range(500)]
# BCa from given resamples: scipy draws its own, so its formula is evaluated on ours (scipy.stats.bootstrap's own
# percentile arithmetic), then checked against a large run of scipy's.
means = np.array([skewed[i].mean() for i in boot])
z0 = stats.norm.ppf(((means < skewed.mean()).sum() + (means <= skewed.mean()).sum()) / (2 * len(means)))
jack = np.array([np.delete(skewed, i).mean() for i in range(len(skewed))])
d = jack.mean() - jack
a = (d**3).sum() / (6 * (d**2).sum() ** 1.5)
bounds = []
for p in (0.025, 0.975):
    z = z0 + stats.norm.ppf(p)
    bounds.append(np.percentile(means, 100 * stats.norm.cdf(z0 + z / (1 - a * z))))
large = stats.bootstrap((skewed,), np.mean, n_resamples=200000, method="BCa", rng=np.random.default_rng(1))
out["intervals"] = {
    "values": L(values),
    "t_low_high": L(stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))),
    "skewed": L(skewed), "resamples": [L(i) for i in boot], "bca": bounds,
    "bca_scipy_200000": [large.confidence_interval.low, large.confidence_interval.high],
}

merits = R(rng.normal(0, 1, (9, 5)) + np.array([0, 0.2, 0.6, 0.6, 1.5]))
tied = np.round(merits[:, :4], 0)
blocks = {}
for name, m in (("untied", merits), ("tied", tied)):
    chi, p = stats.friedmanchisquare(*m.T)
    n, k = m.shape
    f = (n - 1) * chi / (n * (k - 1) - chi)
    blocks[name] = {"merits": L(m), "average_ranks": L(stats.rankdata(-m, axis=1).mean(0)), "statistic": chi, "p": p,
                    "f": f, "f_p": stats.f.sf(f, k - 1, (k - 1) * (n - 1))}
out["friedman"] = blocks

pairs = []
for x in [R(rng.normal(0.4, 1, 6)), R(rng.normal(0, 1, 15)), R(rng.normal(0.2, 1, 50)),
          np.round(rng.normal(0.5, 2, 30), 0), R(rng.normal(0.1, 1, 120))]:
    nonzero = x[x != 0]
    exact = len(nonzero) <= 50 and len(np.unique(np.abs(nonzero))) == len(nonzero)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        w = stats.wilcoxon(x, zero_method="wilcox", correction=False, method="exact" if exact else "asymptotic")
    pairs.append({"differences": L(x), "exact": exact, "statistic": float(w.statistic), "p": float(w.pvalue),
                  "t_p": float(stats.ttest_1samp(x, 0).pvalue)})
out["paired"] = pairs

ps = [[0.01, 0.04, 0.03, 0.005], [0.5, 0.5, 0.9], [0.0001, 0.2, 0.03, 0.03, 0.8, 0.012]]
out["holm"] = [{"p": p, "adjusted": L(multipletests(p, method="holm")[1])} for p in ps]

x = R(np.log10([1e9, 3e9, 1e10, 3e10, 1e11, 4e11]))
y = R(0.9 - 0.12 * (x - 9) + rng.normal(0, 0.02, 6))
r = stats.linregress(x, y)
out["line"] = {"x": L(x), "y": L(y), "slope": r.slope, "intercept": r.intercept, "r2": r.rvalue**2,
               "slope_error": r.stderr, "p": r.pvalue, "slope_half": r.stderr * stats.t.ppf(0.975, 4)}

ks = []
for u, v in [(R(rng.normal(0, 1, 40)), R(rng.normal(0.5, 1, 40))), (R(rng.normal(0, 1, 300)), R(rng.normal(0, 1, 300))),
             (np.round(rng.normal(0, 1, 25), 1), np.round(rng.normal(0, 1, 25), 1)),
             (R(rng.normal(0, 1, 120)), R(rng.normal(0.3, 1, 70)))]:
    t = stats.ks_2samp(u, v, method="exact" if len(u) == len(v) else "asymp")
    n = len(u) * len(v) / (len(u) + len(v))
    p = t.pvalue if len(u) == len(v) else special.kolmogorov(np.sqrt(n) * t.statistic)
    ks.append({"a": L(u), "b": L(v), "distance": float(t.statistic), "p": float(p)})
out["kolmogorov_smirnov"] = ks

out["harmonic"] = [{"values": v, "mean": float(stats.hmean(v))} for v in ([0.9, 0.6], [0.2, 0.4, 0.8], [1.0, 1.0])]

# Nested variance components: balanced design, from the mean squares of statsmodels' ANOVA.
rows = [(t, 10 * t + u, round(float(v), 6)) for t in range(4)
        for u in range(3) for v in 0.8 + 0.03 * rng.normal(size=2) + 0.05 * t + 0.02 * u * (-1) ** t]
import pandas as pd
frame = pd.DataFrame(rows, columns=["t", "u", "y"]).assign(v=lambda f: f.u % 10)
table = anova_lm(ols("y ~ C(t) + C(t):C(v)", frame).fit())
ms = [table.loc["C(t)", "mean_sq"]]
ss_u = sum((g.y.mean() - frame[frame.t == t].y.mean()) ** 2 * len(g) for (t, u), g in frame.groupby(["t", "u"]))
ms += [ss_u / 8, table.loc["Residual", "mean_sq"]]
out["variance"] = {"rows": [list(r) for r in rows], "evaluation": ms[2], "unlearning": (ms[1] - ms[2]) / 2,
                   "training": (ms[0] - ms[1]) / 6}

svm = []
for n, shift in ((60, 1.2), (150, 0.4), (300, 0.15)):
    u = np.concatenate([R(rng.gamma(1.0, 0.3, n)), R(rng.gamma(1.0 + shift, 0.3, n))])
    label = np.array([1] * n + [0] * n)
    model = SVC(C=3, kernel="rbf", gamma=1.0, tol=1e-6).fit(u[:, None], label)
    probe = R(np.linspace(0, 2.5, 40))
    svm.append({"x": L(u), "positive": L(label), "probe": L(probe), "decision": L(model.decision_function(probe[:, None])),
                "intercept": float(model.intercept_[0]), "dual": float(np.abs(model.dual_coef_).sum()),
                "share": float((model.predict(probe[:, None]) == 1).mean())})
two = R(rng.normal(size=(80, 3)))
label = (two[:, 0] * two[:, 1] + 0.3 * rng.normal(size=80) > 0).astype(int)
model = SVC(C=1.5, kernel="rbf", gamma=0.7, tol=1e-6).fit(two, label)
svm_many = {"x": L(two), "positive": L(label), "decision": L(model.decision_function(two))}
out["svm"] = {"one": svm, "many": svm_many}

decision = R(np.concatenate([rng.normal(0.8, 1, 50), rng.normal(-0.4, 1, 70)]))
label = np.array([1] * 50 + [0] * 70)
platt = _SigmoidCalibration().fit(decision, label)
out["sigmoid"] = {"decisions": L(decision), "positive": L(label), "a": float(platt.a_), "b": float(platt.b_)}

# KLoM as numpy writes it; U-LiRA with scipy's normal density.
def klom(p, q):
    p, q = np.clip(p, -100, 100), np.clip(q, -100, 100)
    edges = np.linspace(min(p.min(), q.min()), max(p.max(), q.max()), 21)
    h = [np.histogram(v, edges)[0] / len(v) + 1e-5 for v in (p, q)]
    return stats.entropy(h[0] / h[0].sum(), h[1] / h[1].sum())

out["klom"] = []
for p, q in [(rng.normal(2, 1, 30), rng.normal(2, 1, 30)), (rng.normal(-1, 2, 12), rng.normal(3, 2, 9)),
             (rng.normal(0, 90, 20), rng.normal(0, 90, 20))]:
    p, q = R(p), R(q)
    out["klom"].append({"retrained": L(p), "unlearned": L(q), "kl": float(klom(p, q))})
u, v = R(rng.normal(1, 1, 6)), R(rng.normal(0, 1, 6))
fit = lambda w: (w.mean(), w.std(ddof=1))
ratio = lambda s, i: stats.norm.logpdf(s, *fit(np.delete(u, i))) - stats.norm.logpdf(s, *fit(np.delete(v, i)))
out["likelihood_ratios"] = {"unlearned": L(u), "retrained": L(v), "ratios_unlearned": [float(ratio(u[i], i)) for i in range(6)],
                            "ratios_retrained": [float(ratio(v[i], i)) for i in range(6)]}
json.dump(out, sys.stdout, indent=None, separators=(",", ":"))
print()
