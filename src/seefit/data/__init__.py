"""Images and labels: the one decoder, the sources, the scan, the split."""
