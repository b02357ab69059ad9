"""Networks as a Brian2 user writes them by hand, without the package: what it is measured against."""
