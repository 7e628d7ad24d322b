"""What messages say: events, and manifests of files in pieces; pure."""
