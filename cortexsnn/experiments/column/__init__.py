"""experiment=predictive_column: train columns to predict the next frame, show them paradigms of prediction errors, simulate them as biophysics."""
