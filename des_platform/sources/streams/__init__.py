"""Kinesis streams, as a source of messages, as a sink, and as the place of files in pieces."""
