#!/usr/bin/env bash
# Prediction intervals of statsmodels' ThetaModel are up to several times too wide, ahead in time and in a season.
#
# Expected: of a series that the Theta method's own model makes, which is ARIMA(0,1,1) with theta = alpha - 1, an 80 %
# interval h steps ahead is 2 * 1.28 * sigma * sqrt(1 + (h - 1) * alpha^2) wide (Hyndman & Billah 2003), and of a series
# with a season, which is taken out before the fit, sigma is that of what is left.
# Version: statsmodels 0.15.0, Python 3.11.
# Seen: the variance grows by 1 + (alpha - 1)^2 a step, as its documentation has it too, where alpha^2 is right: an 80 %
# interval covers all values from the fourth step on. And sigma is fitted to the series with its season still in it: one
# step ahead an interval is 3 times as wide. Point forecasts are right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet statsmodels==0.15.0 numpy==2.4.6
cat > "$folder/find.py" <<'END'
import sys
import warnings

import numpy as np
from statsmodels.tsa.forecasting.theta import ThetaModel

warnings.simplefilter("ignore")
generator = np.random.default_rng(1)
alpha, ahead, inside = 0.2, 12, []
for _ in range(20):
    errors = generator.standard_normal(120 + ahead)
    values = 50 + np.concatenate([[0], np.cumsum(alpha * errors)[:-1]]) + errors
    fitted = ThetaModel(values[:120], deseasonalize=False).fit()
    low, high = np.asarray(fitted.prediction_intervals(ahead, alpha=0.2)).T
    inside.append((values[120:] >= low) & (values[120:] <= high))
covered = np.mean(inside, axis=0)
print("covered by 80 % intervals, 1 to 12 steps ahead:", covered.round(2).tolist())
months = np.arange(120)
seasonal = 50 + 10 * np.sin(2 * np.pi * months / 12) + generator.standard_normal(120)
low, high = np.asarray(ThetaModel(seasonal, period=12).fit().prediction_intervals(1, alpha=0.2))[0]
print(f"width one step ahead of a season with noise of deviation 1: {high - low:.2f}, right is about 2.6")
if covered[0] > 0.9 or covered[4:].min() < 0.95 or high - low < 6:
    sys.exit("no longer as seen")
END
"$folder/venv/bin/python" "$folder/find.py"
