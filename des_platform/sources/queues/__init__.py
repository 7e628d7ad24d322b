"""SQS queues: taking messages, keeping them while work lasts, letting go of them after the commit."""
