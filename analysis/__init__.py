"""Measures on recordings: rates, irregularity, distances between two recordings.

Everything here sees recordings as xarray and nothing else. The figures live in
``cortexsnn.analysis.figures``, imported by whoever draws: this package itself loads no matplotlib.
"""

from .balance import ei_balance as ei_balance
from .balance import synaptic_current as synaptic_current
from .bursts import bursts as bursts
from .bursts import plateaus as plateaus
from .correlation import mean_correlation as mean_correlation
from .correlation import pairwise_correlation as pairwise_correlation
from .correlation import signal_and_noise_correlation as signal_and_noise_correlation
from .counts import fano_factor as fano_factor
from .distance import distances as distances
from .distance import ks_distance as ks_distance
from .distance import seed_spread as seed_spread
from .distance import wilson_interval as wilson_interval
from .fidelity import BOUNDS as BOUNDS
from .fidelity import Bound as Bound
from .fidelity import Fidelity as Fidelity
from .fidelity import fidelity as fidelity
from .fidelity import fidelity_curve as fidelity_curve
from .gain import Line as Line
from .gain import effect_of_inhibition as effect_of_inhibition
from .gain import gain_and_offset as gain_and_offset
from .intervals import intervals as intervals
from .intervals import isi_cv as isi_cv
from .intervals import local_variation as local_variation
from .paired import Difference as Difference
from .paired import Estimate as Estimate
from .paired import estimate as estimate
from .paired import paired_difference as paired_difference
from .rates import active_fraction as active_fraction
from .rates import neuron_rates as neuron_rates
from .rates import population_rates as population_rates
from .rates import psth as psth
from .rates import spike_trains as spike_trains
from .spectra import rate_spectrum as rate_spectrum
from .spectra import spike_field_coherence as spike_field_coherence
from .statistics import activity_statistics as activity_statistics
from .synchrony import population_fano as population_fano
from .synchrony import synchrony as synchrony
from .trains import spiking_populations as spiking_populations
