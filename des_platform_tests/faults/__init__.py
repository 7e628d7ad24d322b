"""What ingestion survives: killed workers, servers that fail and vanish, messages twice and in disorder."""
