"""What an auditor reads: histories, timelines, the verdict and its report."""
